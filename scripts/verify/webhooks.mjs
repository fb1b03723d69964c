// Verifies deliveries with other people's libraries, unmodified, and as a receiver does that signs what its framework
// has parsed and written again: {deliveries: [{headers, body}], secrets, wrong, plain} as JSON on stdin, how many were
// verified as JSON on stdout. `plain` are the secrets of the plain header, one for each delivery. Anything that is not
// as it must be ends with an error and status 1. The libraries are looked for in CHATELAINE_TEST_NODE_MODULES.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CHATELAINE_TEST_NODE_MODULES}/`);
const libraries = [require("standardwebhooks").Webhook, require("svix").Webhook];

const asked = JSON.parse(readFileSync(0, "utf8"));
let verified = 0;
for (const [place, { headers, body }] of asked.deliveries.entries()) {
  for (const Webhook of libraries) {
    for (const secret of asked.secrets) {
      new Webhook(secret).verify(body, headers);
      verified += 1;
    }
    let taken = true;
    try {
      new Webhook(asked.wrong).verify(body, headers);
    } catch {
      taken = false;
    }
    if (taken) throw new Error("a signature of another secret was taken");
  }
  const again = JSON.stringify(JSON.parse(body));
  const expected = `sha256=${createHmac("sha256", asked.plain[place]).update(again).digest("hex")}`;
  if (headers["x-chatbot-signature"] !== expected) throw new Error(`the plain signature is not of ${again}`);
}
console.log(JSON.stringify({ verified }));
