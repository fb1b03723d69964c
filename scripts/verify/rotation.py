"""Rotates a key that is in use, as its owners do it: create, deploy, see that only the new secret is used, end the grace.

usage: scripts/verify/rotation.py [--binary target/debug/chatelaine] [--clients 8] [--seconds 3]
       scripts/verify/rotation.py --url https://chat.example.com --key sk_live_... --rate 5

Clients read their key from a file before each request, as services do with a mounted secret, and go on all the time.
Without --url a throw-away server is started. With --url, keep --rate (requests a second, of all clients) below the
workspace's budget. Exit code 1 when one request has failed. Python's standard library is all that is needed.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PASSWORD = "a password for this run alone " + secrets.token_hex(8)
CONFIG = "[limits]\nworkspace_per_minute = 100000000\n"


def call(base, key, method, path, body=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, method=method, data=data, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read() or b"{}")


class Load:
    """Clients that ask who they are, each on a connection of its own, with whatever key the file holds."""

    def __init__(self, base, file, clients, rate):
        self.base, self.file, self.pause = urllib.parse.urlsplit(base), file, clients / rate if rate else 0
        self.sent, self.failures, self.lock, self.done = 0, [], threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self):
        kind = http.client.HTTPSConnection if self.base.scheme == "https" else http.client.HTTPConnection
        connection = kind(self.base.netloc, timeout=30)
        while not self.done.is_set():
            key = self.file.read_text(encoding="ascii")
            try:
                connection.request("GET", "/v1/me", headers={"Authorization": f"Bearer {key}"})
                answer = connection.getresponse()
                text = answer.read()
                failure = None if answer.status == 200 else f"{answer.status} {text[:200]!r}"
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
            with self.lock:
                self.sent += 1
                if failure:
                    self.failures.append(failure)
            if self.pause:
                time.sleep(self.pause)

    def stop(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


def deploy(file, key):
    """In one step, so that nobody reads half a key."""
    following = file.with_suffix(".next")
    following.write_text(key, encoding="ascii")
    following.replace(file)


def rotate(base, owner, options):
    began = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - began:7.2f} s  {text}", flush=True)

    made = call(base, owner, "POST", "/v1/api-keys", {"name": "Rotation", "scopes": ["bots:read"], "purpose": "verify/rotation"})["data"]
    path = f"/v1/api-keys/{made['id']}"
    with tempfile.TemporaryDirectory(prefix="chatelaine-rotation.") as scratch:
        file = pathlib.Path(scratch, "key")
        deploy(file, made["key"])
        load = Load(base, file, options.clients, options.rate)
        say(f"created {made['display']}; {options.clients} clients use it")
        time.sleep(options.seconds)
        rotated = call(base, owner, "POST", path + "/rotate", {})["data"]
        say(f"rotated: {rotated['display']} is new, {made['display']} works until {rotated['previous_expires_at']}")
        time.sleep(options.seconds)
        deploy(file, rotated["key"])
        say("deployed the new one")
        before = None
        while True:
            time.sleep(max(1, options.seconds / 2))
            new, old = call(base, owner, "GET", path)["data"]["secrets"]
            say(f"new: {new['uses']} uses, last {new['last_used_at']}; old: {old['uses']} uses, last {old['last_used_at']}")
            if old["uses"] == before and new["uses"] > 0:
                break
            before = old["uses"]
        call(base, owner, "POST", path + "/end-grace", {})
        say("only the new one is used: ended the grace")
        try:
            call(base, made["key"], "GET", "/v1/me")
            load.failures.append("the old secret still works")
        except urllib.error.HTTPError as error:
            say(f"the old one is refused: {error.code}")
        time.sleep(options.seconds)
        load.stop()
        shown = call(base, owner, "GET", path)["data"]["secrets"]
        counted = before + shown[0]["uses"]
        call(base, owner, "DELETE", path)
        say(f"{load.sent} requests, {len(load.failures)} failed; the server counted {counted}")
        for failure in load.failures[:10]:
            say(f"  {failure}")
        return not load.failures and counted == load.sent


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binary", default="target/debug/chatelaine")
    arguments.add_argument("--url")
    arguments.add_argument("--key", default=os.environ.get("CHATELAINE_KEY"))
    arguments.add_argument("--clients", type=int, default=8)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--rate", type=float, default=0)
    options = arguments.parse_args()
    if options.url:
        sys.exit(0 if rotate(options.url.rstrip("/"), options.key, options) else 1)
    with tempfile.TemporaryDirectory(prefix="chatelaine-rotation.") as scratch:
        pathlib.Path(scratch, "config.toml").write_text(CONFIG, encoding="utf-8")
        with open(pathlib.Path(scratch, "log"), "w+", encoding="utf-8") as log:
            command = [options.binary, "serve", "--config", f"{scratch}/config.toml", "--data", f"{scratch}/data", "--listen", "127.0.0.1:0"]
            server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
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
                setup = {"token": found[1], "workspace_name": "Test", "email": "owner@example.com", "password": PASSWORD}
                owner = call(base, None, "POST", "/v1/setup", setup)["key"]
                held = rotate(base, owner, options)
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(60)
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
