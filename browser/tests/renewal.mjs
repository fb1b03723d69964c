// A server whose session tokens live for a minute, the shortest it takes: the chat begins with the first test and goes on after the last.

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { visit } from '../rig/browser.mjs';
import { until } from '../rig/patience.mjs';
import { Server } from '../rig/server.mjs';
import { Widget } from '../rig/widget.mjs';
import { world } from '../rig/world.mjs';

const SHORT = 'https://short.test';
const LIFE = 60_000;

let server, proxy, bot, key, page, widget, opened;

async function begin() {
  server = await Server.start(SHORT, { CHATELAINE_TOKENS__SESSION_SECONDS: LIFE / 1000 });
  proxy = world.front.serve(server);
  bot = await server.makeBot(world.model, 'manual');
  key = await server.makeWidgetKey('example.com');
  page = await visit(world.browser);
  const attributes = { 'widget-key': key.key, 'agent-id': bot.id, server: SHORT };
  widget = await Widget.at(page, { path: '/short', attributes });
  await widget.open();
  await widget.say('In the first minute');
  (await world.model.next('In the first minute')).end('Here.');
  await widget.sees('Here.');
  opened = Date.now();
}

const sends = () => proxy.requests.filter(({ method, path }) => method === 'POST' && path.endsWith('/messages'));
const renewals = () => proxy.requests.filter(({ path }) => path.endsWith('/renew'));

async function goesOn() {
  await until('the first token is renewed', () => renewals().some(({ status }) => status === 200), LIFE);
  const [first] = sends();
  const history = { headers: { authorization: first.headers.authorization, origin: first.headers.origin } };
  const isOver = async () => (await fetch(server.url + first.path, history)).status === 401;
  await until('the first token has ended', isOver, opened + LIFE + 5_000 - Date.now());
  await widget.say('In the second minute');
  (await world.model.next('In the second minute')).end('Still here.');
  await widget.sees('Still here.');
  const last = sends().at(-1);
  assert.equal(last.path, first.path, 'the same conversation');
  assert.notEqual(last.headers.authorization, first.headers.authorization);
  assert.deepEqual(proxy.requests.filter(({ status }) => status >= 400), [], 'no call of the widget was refused');
  assert.equal((await server.conversationsOf(bot)).length, 1);
  assert.equal(await widget.count('In the first minute'), 1);
}

async function costsNothingWithoutCredits() {
  await server.ask('PATCH', '/v1/credits', { metered: true });
  await widget.say('For nothing');
  await widget.sees('not available right now');
  assert.equal(proxy.requests.at(-1).status, 402);
  assert.equal(world.model.count('For nothing'), 0);
  const [conversation] = await server.conversationsOf(bot);
  assert.ok(!(await server.messagesOf(conversation)).some(([, content]) => content === 'For nothing'), 'it is not stored');
}

export const renewal = {
  begins: () => it('a chat begins under a token of one minute', begin),
  goesOn: () => {
    it("the chat goes on past its first token's end, in the same conversation", goesOn);
    it('without credits it says so, and no model is asked', costsNothingWithoutCredits);
  },
  stop: async () => {
    await page?.browserContext().close();
    await server?.stop();
  },
};
