"""Verifies a voice token with LiveKit's own SDK for servers: {token, api_key, api_secret} as JSON on stdin, the
verified claims as JSON on stdout; a token that is not good ends with an error and status 1."""

import dataclasses
import datetime
import json
import sys

from livekit.api import TokenVerifier

asked = json.load(sys.stdin)
# Without tolerance: a token must be good now.
verifier = TokenVerifier(asked["api_key"], asked["api_secret"], leeway=datetime.timedelta(0))
claims = verifier.verify(asked["token"])
shown = {
    "sub": claims.identity,
    "name": claims.name,
    "metadata": claims.metadata,
    "video": dataclasses.asdict(claims.video),
}
print(json.dumps(shown))
