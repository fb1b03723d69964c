"""What schemathesis has to know of our credentials: `x-admits` of an operation says who gets in."""

import json
import os
import uuid

import schemathesis

with open(os.environ["CHATELAINE_CREDENTIALS"], encoding="utf-8") as file:
    CREDENTIALS = json.load(file)


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
    """Two requests with one key and two bodies are a caller's fault (422), and not what is looked for here."""
    for name, value in list((case.headers or {}).items()):
        if name.lower() == "idempotency-key" and isinstance(value, str) and 0 < len(value) < 200 and value.isascii() and value.isprintable():
            case.headers[name] = f"{value}{uuid.uuid4().hex}"
