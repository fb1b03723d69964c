// Verifies a voice token with LiveKit's own SDK for servers: {token, api_key, api_secret} as JSON on stdin, the
// verified claims as JSON on stdout; a token that is not good ends with an error and status 1.
// The SDK is looked for in CHATELAINE_TEST_NODE_MODULES.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CHATELAINE_TEST_NODE_MODULES}/`);
const { TokenVerifier } = require("livekit-server-sdk");

const { token, api_key, api_secret } = JSON.parse(readFileSync(0, "utf8"));
// Without tolerance: a token must be good now.
const claims = await new TokenVerifier(api_key, api_secret).verify(token, 0);
console.log(JSON.stringify(claims));
