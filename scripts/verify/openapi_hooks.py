"""What schemathesis has to know of our credentials: `x-admits` of an operation says who gets in."""

import json
import os
import urllib.error
import urllib.request
import uuid

import schemathesis

with open(os.environ["CHATELAINE_CREDENTIALS"], encoding="utf-8") as file:
    KNOWN = json.load(file)
CREDENTIALS, IDS, KEPT = KNOWN["credentials"], KNOWN["ids"], set(KNOWN["kept"])
ABSENT = "key_00000000000000000000000000"
# Where an operation of one of these kinds says who is asking.
WHO = {"member": "/v1/me", "session_token": "/v1/chat/sessions/{id}/messages"}


@schemathesis.auth(refresh_interval=None)
class ByOperation:
    """The first door that we hold a credential for."""

    def get(self, case, context):
        doors = context.operation.definition.raw.get("x-admits", [])
        return next((CREDENTIALS[door] for door in doors if CREDENTIALS.get(door)), None)

    def set(self, case, data, context):
        if data:
            case.headers = {**(case.headers or {}), **data}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Ids that exist where a caller would have them, fresh idempotency keys, and nobody saws off the branch that all sit on."""
    doors = case.operation.definition.raw.get("x-admits", [])
    names = case.path_parameters or {}
    for name, value in list(names.items()):
        for door, ids in IDS.items():
            # One in eight stays as it was: what is absent is answered, too.
            if door in doors and name in ids and not case.operation.path.endswith("/end") and hash(str(value)) % 8:
                names[name] = ids[name]
        if names[name] in KEPT and case.method.upper() != "GET":
            names[name] = ABSENT
    # Two requests with one key and two bodies are a caller's fault (422), and not what is looked for here.
    for name, value in list((case.headers or {}).items()):
        if name.lower() == "idempotency-key" and isinstance(value, str) and 0 < len(value) < 200 and value.isascii() and value.isprintable():
            case.headers[name] = f"{value}{uuid.uuid4().hex}"


def ask(path, headers, body=None):
    """Status, body and headers of an answer."""
    request = urllib.request.Request(KNOWN["base"] + path, data=body and json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.loads(answer.read() or b"{}"), answer.headers
    except urllib.error.HTTPError as refused:
        refused.read()
        return refused.code, {}, refused.headers


def renew(door):
    """What was signed out, ended or deleted on the way is made anew: else everything after it would only ever be 401."""
    if door == "member":
        _, _, headers = ask("/v1/sign-in", {"Content-Type": "application/json"}, KNOWN["owner"])
        if cookie := headers.get("Set-Cookie"):
            CREDENTIALS[door] = {**CREDENTIALS[door], "Cookie": cookie.split(";")[0]}
        return
    key = {**CREDENTIALS["secret_key"], "Content-Type": "application/json"}
    _, bot, _ = ask("/v1/bots", key, {"name": "Ada"})
    status, session, _ = ask("/v1/chat/sessions", key, {"agent_id": bot["data"]["id"]})
    if status < 300:
        CREDENTIALS[door] = {"Authorization": f"Bearer {session['session_token']}"}
        IDS[door]["id"] = session["conversation_id"]


@schemathesis.hook
def after_call(context, case, response):
    if response.status_code != 401:
        return
    doors = case.operation.definition.raw.get("x-admits", [])
    door = next((door for door in doors if CREDENTIALS.get(door)), None)
    if door in WHO and ask(WHO[door].format(**IDS.get(door, {})), CREDENTIALS[door])[0] == 401:
        renew(door)
