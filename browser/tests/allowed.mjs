// A page on a listed origin: it chats, streams, and survives what happens to connections, pages and tokens.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until, within } from '../rig/patience.mjs';
import { Widget } from '../rig/widget.mjs';
import { SHOP, world } from '../rig/world.mjs';

/** A bot of the test's own, so that what is stored is what this test did. */
const makeBot = () => world.server.makeBot(world.model, 'manual', { greeting: 'Welcome to the shop.' });

/** The one conversation of the bot and what was said in it after the greeting. */
async function stored(bot) {
  const conversations = await world.server.conversationsOf(bot);
  assert.equal(conversations.length, 1, 'one conversation');
  const [greeting, ...said] = await world.server.messagesOf(conversations[0]);
  assert.deepEqual(greeting, ['assistant', 'Welcome to the shop.']);
  return said;
}

/** Waits until the bot's one conversation holds this. */
async function isStored(bot, expected) {
  let last;
  const matches = async () => JSON.stringify((last = await stored(bot))) === JSON.stringify(expected);
  await until(() => `stored ${JSON.stringify(expected)}, not ${JSON.stringify(last)}`, matches);
}

/** The requests with this method to the messages of a session, as the proxy saw them. */
const sends = (since) => world.proxy.requests.slice(since).filter(({ method, path }) => method === 'POST' && path.endsWith('/messages'));

const chat = (bot, use, attributes = {}) =>
  world.visit({}, async (page) => {
    const since = world.proxy.requests.length;
    const widget = await Widget.at(page, { attributes: { 'agent-id': bot.id, ...attributes } });
    return use(widget, page, since);
  });

async function greetsStreamsAndStores() {
  const bot = await makeBot();
  await chat(bot, async (widget, page, since) => {
    assert.ok(!world.proxy.requests.slice(since).some(({ path }) => path.startsWith('/v1/')), 'no request before it is opened');
    await widget.open();
    await widget.sees('Welcome to the shop.');
    await widget.say('Where is my parcel?');
    const asked = await world.model.next('Where is my parcel?');
    asked.say('It ', 'is ', 'on ');
    await widget.sees('It is on');
    asked.end('its ', 'way.');
    await widget.sees('It is on its way.');
    await isStored(bot, [['user', 'Where is my parcel?'], ['assistant', 'It is on its way.']]);
    assert.equal(world.model.count('Where is my parcel?'), 1);
    assert.equal(await widget.count('It is on its way.'), 1);

    await page.reload();
    const again = await Widget.on(page);
    await again.open();
    await again.sees('It is on its way.');
    assert.equal(await again.count('Where is my parcel?'), 1);
    assert.equal(await again.count('Welcome to the shop.'), 1, 'one greeting, though the history has it too');
    await again.say('And when?');
    (await world.model.next('And when?')).end('Tomorrow.');
    await again.sees('Tomorrow.');
    await isStored(bot, [
      ['user', 'Where is my parcel?'],
      ['assistant', 'It is on its way.'],
      ['user', 'And when?'],
      ['assistant', 'Tomorrow.'],
    ]);
    assert.deepEqual(page.seen.errors, []);
  });
}

async function resumesAfterACut() {
  const bot = await makeBot();
  await chat(bot, async (widget, page, since) => {
    await widget.open();
    await widget.say('Count to six');
    const asked = await world.model.next('Count to six');
    asked.say('one ', 'two ', 'three ');
    await widget.sees('one two three');
    world.proxy.cut();
    asked.say('four ', 'five ');
    await widget.sees('one two three four five');
    asked.end('six');
    await widget.sees('one two three four five six');
    await isStored(bot, [['user', 'Count to six'], ['assistant', 'one two three four five six']]);
    assert.equal(world.model.count('Count to six'), 1, 'the model was asked once');
    assert.equal(await widget.count('three'), 1, 'nothing is shown twice');
    assert.equal(await widget.count('Count to six'), 1);
    const [first, second, ...more] = sends(since);
    assert.deepEqual(more, []);
    assert.equal(second.headers['idempotency-key'], first.headers['idempotency-key']);
    assert.match(second.headers['last-event-id'], /^\d+-\d+$/);
    assert.equal(first.headers['last-event-id'], undefined);
  });
}

async function survivesAnOutage() {
  const bot = await makeBot();
  await chat(bot, async (widget) => {
    await widget.open();
    await widget.say('Hello through the tunnel');
    const asked = await world.model.next('Hello through the tunnel');
    asked.say('Good ');
    await widget.sees('Good');
    world.proxy.refuses = true;
    world.proxy.cut();
    asked.end('morning.');
    await isStored(bot, [['user', 'Hello through the tunnel'], ['assistant', 'Good morning.']]);
    assert.equal(await widget.count('morning'), 0, 'the answer cannot have come through');
    world.proxy.refuses = false;
    await widget.sees('Good morning.');
    assert.equal(world.model.count('Hello through the tunnel'), 1);
    assert.equal(await widget.count('Good'), 1);
  });
}

async function sendsLaterWhatCouldNotBeSent() {
  const bot = await makeBot();
  await chat(bot, async (widget, page) => {
    await widget.open();
    await widget.say('First');
    (await world.model.next('First')).end('Yes.');
    await widget.sees('Yes.');
    await page.setOfflineMode(true);
    await widget.say('Written in the tunnel');
    await widget.sees('Written in the tunnel');
    assert.equal(world.model.count('Written in the tunnel'), 0);
    await page.setOfflineMode(false);
    (await world.model.next('Written in the tunnel')).end('Read outside.');
    await widget.sees('Read outside.');
    assert.equal(await widget.count('Written in the tunnel'), 1);
    assert.equal((await stored(bot)).length, 4);
  });
}

async function stopsWhenAsked() {
  const bot = await makeBot();
  await chat(bot, async (widget) => {
    await widget.open();
    await widget.say('Tell me everything');
    const asked = await world.model.next('Tell me everything');
    asked.say('In the beginning ');
    await widget.sees('In the beginning');
    await (await widget.part('send')).click();
    await within('the model is let go at once, not when nobody has come back', asked.left, 5_000);
    await isStored(bot, [['user', 'Tell me everything'], ['assistant', 'In the beginning ']]);
    await widget.say('Shorter');
    (await world.model.next('Shorter')).end('No.');
    await widget.sees('No.');
  });
}

async function waitsAsLongAsItIsTold() {
  const bot = await makeBot();
  await chat(bot, async (widget) => {
    await widget.open();
    let refusals = 0;
    world.proxy.answer = ({ method, path, headers }) => {
      if (method !== 'POST' || !path.endsWith('/messages')) return undefined;
      refusals += 1;
      world.proxy.answer = undefined;
      const body = JSON.stringify({ error: { code: 'RATE_LIMITED', message: 'Too many.', request_id: 'req_1' } });
      const cors = { 'access-control-allow-origin': headers.origin, 'access-control-expose-headers': 'retry-after' };
      return { status: 429, headers: { ...cors, 'retry-after': '2', 'content-type': 'application/json' }, body };
    };
    await widget.say('Again and again');
    await until('a countdown', async () => /[12] ?s/.test(await widget.text()));
    (await world.model.next('Again and again')).end('Here you are.');
    await widget.sees('Here you are.');
    assert.equal(refusals, 1);
    assert.equal(await widget.count('Again and again'), 1);
  });
}

async function saysThatTheModelFailed() {
  const bot = await makeBot();
  await chat(bot, async (widget) => {
    await widget.open();
    await widget.say('Break');
    const asked = await world.model.next('Break');
    asked.say('Half an ');
    await widget.sees('Half an');
    asked.fail();
    await widget.sees('Retry');
    await widget.say('Once more');
    (await world.model.next('Once more')).end('Whole.');
    await widget.sees('Whole.');
  });
}

/** What the site's own server hands out: it has the secret key, the page has none. */
async function chatsWithTheSitesTokens() {
  const bot = await makeBot();
  const tokens = [];
  const mint = async () => {
    const opened = await world.server.ask('POST', '/v1/chat/sessions', { agent_id: bot.id }, 201);
    tokens.push({ token: opened.session_token, conversationId: opened.conversation_id });
    world.front.put(`${SHOP}/token`, JSON.stringify(tokens.at(-1)), { 'content-type': 'application/json' });
  };
  await mint();
  await world.visit({}, async (page) => {
    const stub = `<script>window.Chatelaine = window.Chatelaine || function () { (Chatelaine.q = Chatelaine.q || []).push(arguments); };
      Chatelaine('init', { getToken: () => fetch('/token').then((answer) => answer.json()) });</script>`;
    const place = { path: '/members', body: stub, attributes: { 'widget-key': undefined, 'agent-id': undefined } };
    const widget = await Widget.at(page, place);
    await widget.open();
    await widget.say('A member speaks');
    (await world.model.next('A member speaks')).end('To a member.');
    await widget.sees('To a member.');
    await world.server.ask('DELETE', `/v1/conversations/${tokens[0].conversationId}`, undefined, 204);
    await mint();
    await widget.say('With another token');
    (await world.model.next('With another token')).end('Of the same member.');
    await widget.sees('Of the same member.');
    assert.equal(tokens.length, 2);
    assert.equal(await widget.count('With another token'), 1);
  });
}

export default () =>
  describe('a page on a listed origin', () => {
    it('greets, streams, stores once, and has its history after a reload', greetsStreamsAndStores);
    it('resumes a reply whose connection broke: whole, and nothing doubled', resumesAfterACut);
    it('gets the end of a reply that finished while it could not be reached', survivesAnOutage);
    it('sends what was written offline as soon as there is a network, once', sendsLaterWhatCouldNotBeSent);
    it('stops a reply, keeps its beginning and goes on', stopsWhenAsked);
    it('shows how long to wait after a 429, and then goes on', waitsAsLongAsItIsTold);
    it("chats with tokens that the site's own server hands out, and asks for another when one is of no use", chatsWithTheSitesTokens);
    it('says when the model failed, and goes on', saysThatTheModelFailed);
  });
