"""Sends what the OpenAPI document allows, and what it forbids, to every operation of a real server (schemathesis, all checks).

usage: target/verify-venv/bin/python scripts/verify/openapi.py [--binary target/debug/chatelaine] [--examples 200] [MORE FOR SCHEMATHESIS]

`scripts/test` installs what it needs. Starts a throw-away server, makes a credential of each kind, and gives each operation the one that it admits. Exit code 1 when a check fails.
"""

import argparse
import http.cookies
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
PASSWORD = "a password for this test alone " + secrets.token_hex(8)
# Budgets are tested elsewhere; here they would hide what is behind them.
BUDGETS = """\
workspace_per_minute sessions_per_minute messages_per_minute history_per_minute public_per_minute failures_per_minute
widget_messages_per_minute participant_per_minute participant_per_address_per_minute public_starts_per_minute public_starts_per_day
public_replies_per_day triggers_per_minute sign_ins_per_minute sign_ins_per_account_per_minute""".split()
WORKFLOW = {
    "type": "Workflow",
    "id": "root",
    "participants": [{"name": "guest"}],
    "children": [{"type": "Input", "id": "q", "role": "guest", "prompt": "How was it?", "input_type": "text"}],
}


def config(settings):
    known = set(settings)
    lines = ["[limits]", *(f"{name} = 1000000" for name in BUDGETS if name in known)]
    lines += ["[dropin]", "rate_limit_max_requests = 1000000"]
    lines += ["[livekit]", 'url = "wss://livekit.example.com"', 'api_key = "devkey"', f'api_secret = "{secrets.token_hex(32)}"']
    return "\n".join(lines) + "\n"


def call(base, path, body, token=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(base + path, method="POST", data=json.dumps(body).encode(), headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"{}"), answer.headers


def member(base, owner):
    """A signed-in owner's cookie, where the server has a sign-in."""
    try:
        _, headers = call(base, "/v1/sign-in", owner)
    except urllib.error.HTTPError:
        return None
    jar = http.cookies.SimpleCookie(headers.get("Set-Cookie", ""))
    return "; ".join(f"{name}={morsel.value}" for name, morsel in jar.items())


def credentials(base, setup_token):
    owner = {"email": "owner@example.com", "password": PASSWORD}
    made = call(base, "/v1/setup", {"token": setup_token, "workspace_name": "Test", **owner})[0]
    key = made["key"]
    bot = call(base, "/v1/bots", {"name": "Ada"}, key)[0]["data"]["id"]
    session = call(base, "/v1/chat/sessions", {"agent_id": bot}, key)[0]
    workflow = call(base, "/v1/workflows", {"name": "w", "definition": WORKFLOW}, key)[0]["data"]["id"]
    deployed = call(base, f"/v1/workflows/{workflow}/deployments", {"survey_mode": True}, key)[0]["data"]
    deployment = deployed["key"]
    run = call(base, "/api/v1/runs", {}, deployment)[0]["run_id"]
    token = call(base, f"/api/v1/runs/{run}/tokens", {"role": "guest"}, deployment)[0]["participant_token"]

    def bearer(text):
        return {"Authorization": f"Bearer {text}"}

    signed_in = member(base, owner)
    doors = {
        "any_credential": bearer(key),
        "secret_key": bearer(key),
        "session_token": bearer(session["session_token"]),
        "deployment_key": bearer(deployment),
        "participant_token": bearer(token),
        "static_widget_key": {"X-API-Key": os.environ["WIDGET_API_KEY"]},
        "static_admin_key": {"X-Admin-Api-Key": os.environ["ADMIN_API_KEY"]},
        "member": signed_in and {"Cookie": signed_in, "Sec-Fetch-Site": "same-origin"},
    }
    ids = {
        "session_token": {"id": session["conversation_id"]},
        "deployment_key": {"id": run},
        "participant_token": {"step_id": "q"},
        "anyone": {"deployment_id": deployed["id"]},
    }
    # Who deletes one of these has nothing to go on with.
    kept = [made["key_id"], made["owner_id"], deployed["id"], deployed["id"].replace("dep_", "key_")]
    return {"base": base, "owner": owner, "credentials": doors, "ids": ids, "kept": kept}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", default="target/debug/chatelaine")
    arguments.add_argument("--examples", default="200")
    options, more = arguments.parse_known_args()
    os.environ["WIDGET_API_KEY"], os.environ["ADMIN_API_KEY"] = secrets.token_hex(24), secrets.token_hex(24)
    # Addresses that a generated body may name are refused, as everywhere; nothing leaves this machine.
    with tempfile.TemporaryDirectory(prefix="chatelaine-openapi.") as scratch:
        settings = re.findall(r"^#? ?(\w+) =", subprocess.check_output([options.binary, "config"], text=True), re.M)
        pathlib.Path(scratch, "config.toml").write_text(config(settings), encoding="utf-8")
        log = open(pathlib.Path(scratch, "log"), "w+", encoding="utf-8")
        server = subprocess.Popen(
            [options.binary, "serve", "--config", f"{scratch}/config.toml", "--data", f"{scratch}/data", "--listen", "127.0.0.1:0"],
            stdout=log, stderr=subprocess.STDOUT,
        )
        try:
            for _ in range(200):
                printed = pathlib.Path(log.name).read_text(encoding="utf-8")
                found = re.search(r"/setup#(\S+)", printed)
                if found or server.poll() is not None:
                    break
                time.sleep(0.1)
            if not found:
                sys.exit("the server did not start:\n" + printed)
            base = re.search(r"\((http://[^)]+)\)", printed)[1]
            kept = pathlib.Path(scratch, "credentials.json")
            kept.write_text(json.dumps(credentials(base, found[1])), encoding="utf-8")
            environment = os.environ | {
                "CHATELAINE_CREDENTIALS": str(kept), "SCHEMATHESIS_HOOKS": "openapi_hooks", "PYTHONPATH": str(HERE),
            }
            done = subprocess.run(
                [
                    pathlib.Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml",
                    "run", base + "/openapi.json", "--max-examples", options.examples, *more,
                ],
                env=environment, cwd=scratch, check=False,
            )
            alive = server.poll() is None
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    if not alive:
        sys.exit("the server died")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
