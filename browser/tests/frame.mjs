// The frame for pages that want no script of ours, and the demo page.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Program, temporaryFolder } from '../rig/process.mjs';
import { BINARY } from '../rig/server.mjs';
import { until } from '../rig/patience.mjs';
import { Widget } from '../rig/widget.mjs';
import { CHAT, SHOP, world } from '../rig/world.mjs';

/** A customer's page that embeds the frame and tells it key and bot once it is ready. */
function putEmbedder(origin, key, bot) {
  const script = `
    const frame = document.querySelector('iframe');
    const message = { type: 'chatelaine', key: '${key.key}', agent: '${bot.id}', options: {} };
    window.heard = [];
    addEventListener('message', (event) => { if (event.origin === '${CHAT}') window.heard.push(event.data); });
    frame.addEventListener('load', () => frame.contentWindow.postMessage(message, '${CHAT}'));`;
  const html = `<!doctype html><html lang="en"><title>embedder</title><h1>Embedder</h1>
    <iframe title="Chat" src="${CHAT}/widget/frame/${key.id}" width="420" height="600"></iframe><script>${script}</script></html>`;
  return world.front.put(`${origin}/embedder`, html);
}

async function chatsInTheFrame() {
  const bot = await world.server.makeBot(world.model, 'manual');
  await world.visit({}, async (page) => {
    const since = world.proxy.requests.length;
    await page.goto(putEmbedder(SHOP, world.key, bot));
    const frame = await until('the frame', () => page.frames().find((one) => one.url().startsWith(`${CHAT}/widget/frame/`)));
    await until('the widget in the frame', () => frame.evaluate(() => !!document.querySelector('chatelaine-chat')?.shadowRoot?.querySelector('[part~=panel]')));
    const widget = new Widget(frame, page);
    await widget.say('From inside a frame');
    (await world.model.next('From inside a frame')).end('Heard.');
    await widget.sees('Heard.');
    const [opened] = world.proxy.requests.slice(since).filter(({ method, path }) => method === 'POST' && path === '/v1/chat/sessions');
    assert.equal(opened.headers.origin, CHAT);
    assert.equal(opened.headers['x-embedding-origin'], SHOP);
    assert.equal(opened.status, 201);

    const sent = world.proxy.requests.find(({ path, headers }) => path.endsWith('/messages') && headers['x-embedding-origin'] === SHOP);
    const ask = async (headers) => (await fetch(`${world.server.url}${sent.path}`, { headers: { authorization: sent.headers.authorization, ...headers } })).status;
    assert.equal(await ask({ origin: CHAT, 'x-embedding-origin': SHOP }), 200);
    assert.equal(await ask({ origin: SHOP }), 200);
    assert.equal(await ask({ origin: CHAT, 'x-embedding-origin': 'https://other.example.com' }), 403, 'bound to the page around the frame');
    assert.equal(await ask({ origin: CHAT }), 403);
    await world.server.ask('GET', '/v1/me');
  });
}

async function isBlockedElsewhere() {
  const bot = await world.server.makeBot(world.model, 'manual');
  await world.visit({}, async (page) => {
    await page.goto(putEmbedder('https://evil-example.com', world.key, bot));
    await until(() => `the browser's refusal: ${page.seen.console}`, () => page.seen.console.some((line) => line.includes('frame-ancestors')));
    for (const frame of page.frames().slice(1)) {
      assert.ok(!(await frame.evaluate(() => !!document.querySelector('chatelaine-chat')).catch(() => false)));
    }
  });
  assert.deepEqual(await world.server.conversationsOf(bot), []);
}

async function demoWorks() {
  const settings = { CHATELAINE_DATA: `${temporaryFolder()}/data`, CHATELAINE_LISTEN: '127.0.0.1:0' };
  const trial = new Program(BINARY, ['try'], settings);
  try {
    const [link] = await trial.line(/https?:\/\/\S+\/demo#key=\S+/);
    await world.visit({}, async (page) => {
      await page.goto(link);
      const widget = await Widget.on(page);
      await widget.open();
      await widget.say('Hello from the demo');
      await until('an answer', async () => (await widget.count('Hello from the demo')) === 2);
      assert.deepEqual(await page.evaluate(() => window.violations), []);
      assert.deepEqual(page.seen.errors, []);
      await page.screenshot({ path: world.picture('demo') });
    });
  } finally {
    await trial.stop();
  }
}

export default () =>
  describe('the frame and the demo', () => {
    it('a listed page chats in the frame, bound to the page around it', chatsInTheFrame);
    it('the browser blocks the frame on a page that is not listed', isBlockedElsewhere);
    it('/demo chats with what `chatelaine try` prints', demoWorks);
  });
