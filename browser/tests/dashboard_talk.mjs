// Talking to a bot at the dashboard, and following others who do.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Desk, PASSWORD } from '../rig/desk.mjs';
import { until } from '../rig/patience.mjs';
import { world } from '../rig/world.mjs';

const OWNER = { workspace_name: 'Acme', name: 'Ada', email: 'ada@example.com', password: PASSWORD };

let desk;
let owner;
let bot;

const said = (person) => person.page.$$eval('#thread .words', (all) => all.map((one) => one.textContent));

async function streamsAnAnswer() {
  await owner.goto(`/_/bots/${bot.id}/try`);
  await owner.fill({ 'Your message': 'one <b>two</b> three' });
  await owner.press('Send');
  await until(async () => `an answer: ${await said(owner)}`, async () => /three/.test((await said(owner)).at(-1)) && (await said(owner)).length === 3);
  assert.equal((await said(owner)).at(1), 'one <b>two</b> three', 'text, and no markup');
  const where = new URL(owner.page.url());
  assert.match(where.search, /^\?conversation=conv_/, 'the page can be loaded again');
  assert.equal(await owner.page.$eval('#f-message', (field) => field.value), '');
  await owner.fill({ 'Your message': 'and four' });
  await owner.press('Send');
  await until('a second answer', async () => (await said(owner)).length === 5 && /four/.test((await said(owner)).at(-1)));
  await owner.page.reload();
  assert.equal((await said(owner)).length, 5);
  await owner.isQuiet('a trial');
}

async function followsAThread() {
  const { id } = await visitor();
  await owner.goto(`/_/conversations/${id}`);
  await owner.reads('What is said next shows here by itself.');
  await say(id, 'is anybody there');
  await until(async () => `the next message: ${await owner.text('#messages')}`, async () => /is anybody there/.test(await owner.text('#messages')));
  assert.equal(await owner.heading(), 'grace', 'the page is the same');
  await owner.isQuiet('a thread');
}

const sessions = new Map();

async function visitor() {
  const opened = await desk.server.ask('POST', '/v1/chat/sessions', { agent_id: bot.id, user_identifier: 'grace' }, 201);
  sessions.set(opened.conversation_id, opened.session_token);
  return { id: opened.conversation_id };
}

async function say(id, message) {
  const headers = { authorization: `Bearer ${sessions.get(id)}`, 'content-type': 'application/json' };
  const answer = await fetch(`${desk.server.url}/v1/chat/sessions/${id}/messages`, { method: 'POST', headers, body: JSON.stringify({ message }) });
  assert.match(await answer.text(), /stream_end/);
}

async function saysWhatFailed() {
  await desk.server.ask('PATCH', '/v1/credits', { metered: true }, 200);
  await owner.goto(`/_/bots/${bot.id}/try`);
  await owner.fill({ 'Your message': 'kept' });
  await owner.press('Send');
  await until('why', async () => /credits/.test(await owner.text('#try-error')));
  assert.equal(await owner.page.$eval('#f-message', (field) => field.value), 'kept');
  await desk.server.ask('PATCH', '/v1/credits', { metered: false }, 200);
  owner.forgets();
}

async function explainsARequestAsItCame() {
  await owner.goto('/_/requests');
  await owner.press('Follow');
  await owner.reads('New requests appear on top.');
  const { key, id } = (await desk.server.ask('POST', '/v1/api-keys', { name: 'Reader', scopes: ['bots:read'] }, 201)).data;
  await fetch(`${desk.server.url}/v1/webhooks`, { headers: { authorization: `Bearer ${key}` } });
  const row = `#rows tr:has(a[href="/_/api-keys/${id}"])`;
  await until(async () => `the request: ${await owner.text('#rows')}`, async () => /403/.test(await owner.text(row)));
  const button = await owner.page.$eval(`${row} button`, (one) => one.getAttribute('aria-label'));
  await owner.follow(button);
  await owner.sees('Explain');
  await owner.reads('It was refused');
  await owner.reads('webhooks:read');
  await owner.isQuiet('a request that is explained');
}

async function answersWithoutScripts() {
  const plain = await desk.person({ hasScript: false });
  await plain.goto('/_/');
  await plain.signsIn(OWNER.email);
  await plain.goto(`/_/bots/${bot.id}/try`);
  await plain.fill({ 'Your message': 'by hand' });
  await plain.follow('Send');
  await plain.reads('by hand');
  const { id } = await visitor();
  await plain.goto(`/_/conversations/${id}`);
  await plain.reads('Without JavaScript this page does not follow the conversation');
}

export default () => describe('talking at the dashboard', () => {
  before(async () => {
    desk = await Desk.start();
    desk.server.secret = (await desk.server.ask('POST', '/v1/setup', { token: desk.token, ...OWNER }, 201, null)).key;
    bot = await desk.server.makeBot(world.model, 'echo', { name: 'Front desk', greeting: 'Good day!' });
    owner = await desk.person();
    await owner.goto('/_/');
    await owner.signsIn(OWNER.email);
  });
  after(() => desk?.stop());
  it('streams an answer to who tries a bot out', streamsAnAnswer);
  it('shows in a thread what is said next', followsAThread);
  it('says why there is no answer, and keeps what was typed', saysWhatFailed);
  it('shows requests as they come, and explains one', explainsARequestAsItCame);
  it('answers and says that it does not follow without scripts', answersWithoutScripts);
});
