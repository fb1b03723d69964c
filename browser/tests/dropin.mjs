// Our widget on the page of somebody who comes from the original: its attributes, its protocol, its visitors' conversations.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { Server } from '../rig/server.mjs';
import { Widget } from '../rig/widget.mjs';
import { SHOP, world } from '../rig/world.mjs';

const PLAIN = 'https://plain.test';
const WIDGET_KEY = 'a widget key of the plain kind, long';
const ADMIN_KEY = 'an admin key of the plain kind, long';
/** Under this name the original keeps who a visitor is. */
const SESSION = 'os-chatbot-session-id';

const ATTRIBUTES = {
  'widget-key': undefined,
  'agent-id': undefined,
  'api-url': `${PLAIN}/v1/chat/stream`,
  'api-key': WIDGET_KEY,
  title: 'Support',
  'welcome-message': 'Hi there, stranger.',
  'input-placeholder': 'Ask away',
  position: 'left',
  'accent-color': '#00624a',
};

async function startServer() {
  const server = await Server.start(PLAIN, {
    WIDGET_API_KEY: WIDGET_KEY,
    ADMIN_API_KEY: ADMIN_KEY,
    CORS_ORIGIN: SHOP,
    OPENAI_API_KEY: 'a key of the model server',
    OPENAI_BASE_URL: world.model.url,
    OPENAI_MODEL: 'manual',
  }, { isSetUp: false });
  return { server, proxy: world.front.serve(server) };
}

async function readAsAdmin(server) {
  const headers = { 'x-admin-api-key': ADMIN_KEY };
  const { conversations } = await (await fetch(`${server.url}/v1/admin/conversations`, { headers })).json();
  const read = async ({ _id }) => (await fetch(`${server.url}/v1/admin/conversations/${_id}`, { headers })).json();
  return Promise.all(conversations.map(read));
}

async function chats() {
  const { server, proxy } = await startServer();
  try {
    await world.visit({}, async (page) => {
      const widget = await Widget.at(page, { path: '/plain', attributes: ATTRIBUTES });
      await page.evaluate((name) => localStorage.setItem(name, 'visitor-of-last-year'), SESSION);
      await widget.open();
      await widget.sees('Support');
      await widget.sees('Hi there, stranger.');
      const looks = await widget.look((root) => ({
        placeholder: root.querySelector('[part~=input]').placeholder,
        left: root.querySelector('[part~=launcher]').getBoundingClientRect().left < innerWidth / 2,
        accent: getComputedStyle(root.querySelector('[part~=launcher]')).backgroundColor,
      }));
      assert.deepEqual(looks, { placeholder: 'Ask away', left: true, accent: 'rgb(0, 98, 74)' });

      await widget.say('Plain hello');
      const asked = await world.model.next('Plain hello');
      asked.say('one ', 'two ');
      await widget.sees('one two');
      proxy.cut();
      asked.end('three');
      await widget.sees('one two three');
      assert.equal(await widget.count('two'), 1);
      assert.equal(world.model.count('Plain hello'), 1);

      await page.reload();
      const again = await Widget.on(page);
      await again.open();
      await again.sees('one two three');
      await again.say('Plain again');
      (await world.model.next('Plain again')).end('four');
      await again.sees('four');
      assert.equal(await page.evaluate((name) => localStorage.getItem(name), SESSION), 'visitor-of-last-year');
      assert.deepEqual(page.seen.errors, []);
    });
    const [{ conversation, messages }, ...more] = await readAsAdmin(server);
    assert.deepEqual(more, []);
    assert.equal(conversation.sessionId, 'visitor-of-last-year');
    const expected = ['Plain hello', 'one two three', 'Plain again', 'four'];
    assert.deepEqual(messages.map(({ content }) => content), expected);
  } finally {
    await server.stop();
  }
}

async function isRefusedElsewhere() {
  const { server } = await startServer();
  try {
    await world.visit({}, async (page) => {
      const widget = await Widget.at(page, { origin: 'https://evil-example.com', path: '/plain', attributes: ATTRIBUTES });
      await widget.open();
      await widget.say('Plain and evil');
      await widget.sees('not available on this page');
      const isReason = (line) => line.includes('Origin not allowed');
      await until("the reason on the console, for the site's owner", () => page.seen.console.some(isReason));
    });
    assert.deepEqual(await readAsAdmin(server), []);
    assert.equal(world.model.count('Plain and evil'), 0);
  } finally {
    await server.stop();
  }
}

export default () =>
  describe("the widget with the original's attributes", () => {
    it('chats, resumes, and keeps the conversation that the visitor had', chats);
    it('is refused on an origin that CORS_ORIGIN does not list', isRefusedElsewhere);
  });
