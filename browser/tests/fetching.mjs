// A page's own script, without the widget: what a browser lets it do with a widget key.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CHAT, SHOP, world } from '../rig/world.mjs';

/** Opens a session from a page of this origin: the answer as the page's script sees it. */
async function openSessionFrom(origin, key, bot) {
  const url = world.front.put(`${origin}/fetching`, '<!doctype html><title>shop</title>');
  return world.visit({}, async (page) => {
    await page.goto(url);
    return page.evaluate(
      async (address, credential, agent_id) => {
        const headers = { authorization: `Bearer ${credential}`, 'content-type': 'application/json' };
        try {
          const answer = await fetch(address, { method: 'POST', headers, body: JSON.stringify({ agent_id }) });
          return { status: answer.status, body: await answer.json(), requestId: answer.headers.get('x-request-id') };
        } catch (error) {
          return { error: String(error) };
        }
      },
      `${CHAT}/v1/chat/sessions`,
      key,
      bot.id,
    );
  });
}

export default () =>
  describe("a page's own script", () => {
    it('opens a session on a listed origin and reads the answer', async () => {
      const answer = await openSessionFrom(SHOP, world.key.key, world.echo);
      assert.equal(answer.status, 201, JSON.stringify(answer));
      assert.match(answer.body.conversation_id, /^conv_/);
      assert.ok(answer.requestId, 'the request id is exposed to the page');
    });

    it('is told why on an origin that is not listed, and nothing is created', async () => {
      const bot = await world.server.makeBot(world.model, 'echo');
      for (const origin of ['https://evil-example.com', 'https://example.com.evil.test', 'https://example.co']) {
        const answer = await openSessionFrom(origin, world.key.key, bot);
        assert.equal(answer.status, 403, JSON.stringify(answer));
        assert.equal(answer.body.error.code, 'ORIGIN_NOT_ALLOWED');
      }
      assert.deepEqual(await world.server.conversationsOf(bot), []);
    });

    it('gets nothing with a secret key, anywhere', async () => {
      const answer = await openSessionFrom(SHOP, world.server.secret, world.echo);
      assert.equal(answer.status, 403, JSON.stringify(answer));
      assert.ok(!answer.body.conversation_id, JSON.stringify(answer));
    });
  });
