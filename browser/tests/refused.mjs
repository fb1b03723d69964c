// Pages that are not listed, or no longer: nothing is created, the visitor is told in words and the site's owner why.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { Widget } from '../rig/widget.mjs';
import { world } from '../rig/world.mjs';

/** The issue's own bound on how long a chat outlives its permission. */
const ONE_SECOND = 1_000;

async function isRefused(origin) {
  const bot = await world.server.makeBot(world.model, 'echo');
  const key = await world.server.makeWidgetKey('example.com');
  const asked = world.model.asked.length;
  await world.visit({}, async (page) => {
    const attributes = { 'widget-key': key.key, 'agent-id': bot.id };
    const widget = await Widget.at(page, { origin, attributes });
    const since = world.proxy.requests.length;
    await widget.open();
    await widget.sees('not available on this page');
    const isReason = (line) => /^error: Chatelaine: .*(allowed_domains|allowed domains)/.test(line);
    await until(() => `the reason on the console, not ${page.seen.console}`, () => page.seen.console.some(isReason));
    const reason = page.seen.console.find(isReason);
    assert.ok(!reason.includes(key.key), 'the console does not repeat the key');
    const tries = world.proxy.requests.slice(since).filter(({ method }) => method === 'POST');
    assert.deepEqual(tries.map(({ status }) => status), [403], 'asked once, and not again');
  });
  assert.deepEqual(await world.server.conversationsOf(bot), []);
  assert.equal(world.model.asked.length, asked, 'no model was asked');
}

/** A chat in the middle of a reply; `end` ends it from outside. */
async function endsWithin(end) {
  const bot = await world.server.makeBot(world.model, 'manual');
  const key = await world.server.makeWidgetKey('example.com');
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page, { attributes: { 'widget-key': key.key, 'agent-id': bot.id } });
    await widget.open();
    await widget.say('Are you still there?');
    const asked = await world.model.next('Are you still there?');
    asked.say('Yes, ', 'as long as ');
    await widget.sees('as long as');
    await page.evaluate(() => {
      const root = document.querySelector('chatelaine-chat').shadowRoot;
      const look = () => {
        if (/not available/i.test(root.querySelector('[part~=panel]').innerText)) window.endedAt ??= Date.now();
      };
      new MutationObserver(look).observe(root, { subtree: true, childList: true, characterData: true, attributes: true });
    });
    const begin = Date.now();
    await end(key);
    await widget.sees('not available');
    const took = (await page.evaluate(() => window.endedAt)) - begin;
    assert.ok(took < ONE_SECOND, `the chat ended after ${took} ms`);
    await asked.left;
    const since = world.proxy.requests.length;
    await widget.say('Hello?');
    assert.equal(world.model.count('Hello?'), 0);
    assert.ok(!world.proxy.requests.slice(since).some(({ status }) => status < 300), 'nothing gets through any more');
    assert.equal(await widget.isOpen(), true);
  });
}

export default () =>
  describe('a page that is not listed', () => {
    it('https://evil-example.com is refused and costs nothing', () => isRefused('https://evil-example.com'));
    it('https://example.com.evil.test is refused and costs nothing', () => isRefused('https://example.com.evil.test'));
    it('a running chat ends within a second of its domain', () =>
      endsWithin((key) => world.server.ask('PATCH', `/v1/api-keys/${key.id}`, { allowed_domains: ['example.org'] })));
    it('a running chat ends within a second of its key', () =>
      endsWithin((key) => world.server.ask('DELETE', `/v1/api-keys/${key.id}`)));
  });
