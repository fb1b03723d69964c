"""Verifies deliveries with other people's libraries, unmodified: {deliveries: [{headers, body}], secrets, wrong} as
JSON on stdin, how many were verified as JSON on stdout. Each delivery must be good under each of the secrets, and under
the wrong one it must not be; else this ends with an error and status 1."""

import json
import sys

import standardwebhooks
import svix

LIBRARIES = [
    (standardwebhooks.Webhook, standardwebhooks.WebhookVerificationError),
    (svix.Webhook, svix.WebhookVerificationError),
]

asked = json.load(sys.stdin)
verified = 0
for delivery in asked["deliveries"]:
    headers, body = delivery["headers"], delivery["body"]
    for webhook, error in LIBRARIES:
        for secret in asked["secrets"]:
            payload = webhook(secret).verify(body, headers)
            assert payload is None or payload["type"] == json.loads(body)["type"]
            verified += 1
        try:
            webhook(asked["wrong"]).verify(body, headers)
        except error:
            continue
        raise SystemExit(f"{webhook} took a signature of another secret")
print(json.dumps({"verified": verified}))
