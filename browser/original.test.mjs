// The original project's widget and its headless test page, unmodified, against our server: scripts/compat-original builds and names them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { launch, visit } from './rig/browser.mjs';
import { Front } from './rig/front.mjs';
import { Model } from './rig/model.mjs';
import { until } from './rig/patience.mjs';
import { Server } from './rig/server.mjs';

const CHAT = 'https://chat.test';
const SHOP = 'https://shop.example.com';
const WIDGET_KEY = 'a widget key of the original kind';
const ADMIN_KEY = 'an admin key of the original kind!';

let front, model, server, browser;

/** What its operator had in the environment. */
async function start() {
  [front, model] = await Promise.all([Front.start(), Model.start()]);
  server = await Server.start(CHAT, {
    WIDGET_API_KEY: WIDGET_KEY,
    ADMIN_API_KEY: ADMIN_KEY,
    CORS_ORIGIN: SHOP,
    OPENAI_API_KEY: 'a key of the model server',
    OPENAI_BASE_URL: model.url,
    OPENAI_MODEL: 'manual',
    RATE_LIMIT_MAX_REQUESTS: '1000',
  }, { isSetUp: false });
  front.serve(server);
  browser = await launch(front);
  const script = readFileSync(process.env.CHATELAINE_ORIGINAL_WIDGET, 'utf8');
  front.put(`${SHOP}/original.js`, script, { 'content-type': 'text/javascript; charset=utf-8' });
  front.put(`${SHOP}/headless`, readFileSync(process.env.CHATELAINE_ORIGINAL_PAGE, 'utf8'));
  for (const path of ['/chat', '/v1/chat/stream']) front.put(`${SHOP}/widget${path}`, pageFor(path, WIDGET_KEY));
  front.put(`${SHOP}/widget/wrong`, pageFor('/chat', `${WIDGET_KEY}?`));
}

const pageFor = (path, key) => `<!doctype html><html lang="en"><title>shop</title><h1>Shop</h1>
  <script src="/original.js" data-api-url="${CHAT}${path}" data-api-key="${key}" data-title="Support" data-welcome-message="Hi there"
    data-input-placeholder="Ask" data-position="left" data-accent-color="#0a7" defer></script></html>`;

async function visiting(path, use) {
  const page = await visit(browser);
  try {
    await page.goto(`${SHOP}${path}`);
    await use(page);
  } finally {
    await page.browserContext().close();
  }
}

const texts = (page) => page.$$eval('.osw-message', (all) => all.map(({ textContent }) => textContent));
const shows = (page, expected) =>
  until(async () => `${JSON.stringify(expected)}, not ${JSON.stringify(await texts(page))}: ${page.seen.console}`, async () =>
    JSON.stringify(await texts(page)) === JSON.stringify(expected));

async function say(page, text) {
  if (!(await page.$('#os-chat-widget-root[data-open=true]'))) await page.click('.osw-toggle');
  await page.waitForSelector('.osw-input:not([disabled])');
  await page.type('.osw-input', text);
  await page.keyboard.press('Enter');
}

/** With the original's own way to read conversations. */
async function conversations() {
  const headers = { 'x-admin-api-key': ADMIN_KEY };
  const listed = await (await fetch(`${server.url}/v1/admin/conversations`, { headers })).json();
  const read = async ({ _id }) => (await fetch(`${server.url}/v1/admin/conversations/${_id}`, { headers })).json();
  return Promise.all(listed.conversations.map(read));
}

const widgetChats = (path) =>
  visiting(`/widget${path}`, async (page) => {
    await say(page, `Hello on ${path}`);
    const asked = await model.next(`Hello on ${path}`);
    assert.equal(asked.body.model, 'manual');
    asked.say('Streamed ', 'word ');
    await shows(page, ['Hi there', `Hello on ${path}`, 'Streamed word ']);
    asked.end('by word.');
    await shows(page, ['Hi there', `Hello on ${path}`, 'Streamed word by word.']);

    await page.reload();
    await say(page, `Again on ${path}`);
    const again = await model.next(`Again on ${path}`);
    assert.ok(again.body.messages.some(({ content }) => content === 'Streamed word by word.'), 'the conversation goes on after a reload');
    again.fail();
    await shows(page, ['Hi there', `Again on ${path}`, 'Internal server error']);

    const found = (await conversations()).filter(({ messages }) => messages[0].content === `Hello on ${path}`);
    assert.equal(found.length, 1);
    const said = found[0].messages.map(({ role, content }) => `${role}: ${content}`);
    assert.deepEqual(said.slice(0, 3), [`user: Hello on ${path}`, 'assistant: Streamed word by word.', `user: Again on ${path}`]);
    assert.ok(Number.isInteger(found[0].messages[0].createdAt), 'times are epoch milliseconds');
  });

const headlessChats = (mode) =>
  visiting('/headless', async (page) => {
    const fill = (selector, value) => page.$eval(selector, (field, text) => (field.value = text), value);
    await fill('#apiUrl', CHAT);
    await fill('#apiKey', WIDGET_KEY);
    await fill('#sessionId', `headless-${mode}`);
    await fill('#message', `Headless ${mode}`);
    await page.select('#mode', mode);
    await page.click('#sendButton');
    const answer = (text) => until(`"${text}"`, () => page.$$eval('.bubble.assistant', (all, wanted) => all.at(-1)?.textContent === wanted, text));
    const asked = await model.next(`Headless ${mode}`);
    asked.say('First ');
    if (mode === 'stream') await answer('First ');
    asked.end('and last.');
    await answer('First and last.');
    await until('the conversation', () => page.$eval('#meta', ({ textContent }) => textContent.startsWith('Conversation: conv_')));
    await fill('#apiKey', 'a wrong key that is long enough');
    await page.click('#sendButton');
    await answer('Error: HTTP 401: {"error":"Unauthorized"}');
    assert.equal(model.count(`Headless ${mode}`), 1);
  });

describe("the original's clients", () => {
  before(start);
  after(async () => {
    await browser?.close();
    await server?.stop();
    model?.stop();
    front?.stop();
  });
  it('its widget streams from /chat', () => widgetChats('/chat'));
  it('its widget streams from /v1/chat/stream', () => widgetChats('/v1/chat/stream'));
  it('its widget says that something went wrong with a wrong key', () =>
    visiting('/widget/wrong', async (page) => {
      await say(page, 'Anybody?');
      await page.waitForSelector('.osw-retry');
      assert.ok(page.seen.responses.some(({ url, status }) => url === `${CHAT}/chat` && status === 401), JSON.stringify(page.seen.responses));
      assert.equal(model.count('Anybody?'), 0);
    }));
  it('its headless page streams', () => headlessChats('stream'));
  it('its headless page gets JSON', () => headlessChats('json'));
});
