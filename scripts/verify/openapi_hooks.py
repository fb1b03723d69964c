"""What schemathesis has to know of our credentials: `x-admits` of an operation says who gets in."""

import json
import os
import uuid

import schemathesis

with open(os.environ["CHATELAINE_CREDENTIALS"], encoding="utf-8") as file:
    KNOWN = json.load(file)
CREDENTIALS, IDS, KEPT = KNOWN["credentials"], KNOWN["ids"], set(KNOWN["kept"])
ABSENT = "key_00000000000000000000000000"


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
