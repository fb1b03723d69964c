// A customer's strict Content-Security-Policy changes nothing.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Widget } from '../rig/widget.mjs';
import { CHAT, world } from '../rig/world.mjs';

const STRICT = `default-src 'none'; script-src ${CHAT}; connect-src ${CHAT}`;

/** The widget's picture after a chat on a page with this policy, and what the policy refused. */
async function pictureUnder(policy) {
  const bot = await world.server.makeBot(world.model, 'manual', { greeting: 'Welcome.' });
  return world.visit({}, async (page) => {
    // The only things that differ from one minute, and from one look, to the next.
    await page.evaluateOnNewDocument(() => {
      Intl.DateTimeFormat.prototype.format = () => '12:34';
      Date.prototype.toLocaleTimeString = () => '12:34';
    });
    const headers = policy ? { 'content-security-policy': policy } : {};
    const widget = await Widget.at(page, { headers, attributes: { 'agent-id': bot.id } });
    await widget.open();
    await widget.sees('Welcome.');
    await widget.say('Under a policy');
    (await world.model.next('Under a policy')).end('A **bold** one.\n\n```\ncode\n```\n\n- [a link](https://example.com)');
    await widget.sees('a link');
    await widget.isIdle();
    // With a draft the send button is opaque: Chromium rounds the half-transparent one now up, now down.
    await widget.type('A draft');
    await widget.look((root) => root.activeElement?.blur());
    await page.mouse.move(1, 1);
    const picture = await page.screenshot({ path: world.picture(`policy-${policy ? 'strict' : 'none'}${policy?.includes('trusted') ? '-trusted' : ''}`) });
    const violations = await page.evaluate(() => window.violations);
    return { picture, violations, errors: page.seen.errors, console: page.seen.console.filter((line) => line.startsWith('error')) };
  });
}

async function changesNothing(policy, reference) {
  const strict = await pictureUnder(policy);
  // The icon of the test's own page is refused by the policy, and nothing else.
  assert.deepEqual(strict.violations.filter((violation) => !violation.startsWith('img-src data')), []);
  assert.deepEqual(strict.errors, []);
  assert.deepEqual(strict.console.filter((line) => !line.includes("'data:,'")), []);
  assert.ok(Buffer.compare(strict.picture, reference) === 0, 'the pictures differ: target/browser/policy-*.png');
}

export default () =>
  describe('a strict policy', () => {
    let reference;
    const ofNone = async () => (reference ??= (await pictureUnder(undefined)).picture);
    it("default-src 'none' changes nothing in a picture", async () => changesNothing(STRICT, await ofNone()));
    it('nor do Trusted Types', async () =>
      changesNothing(`${STRICT}; require-trusted-types-for 'script'; trusted-types 'none'`, await ofNone()));
  });
