// The pages for people: the first workspace is made, and whoever is invited joins.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { Server } from '../rig/server.mjs';
import { CHAT, world } from '../rig/world.mjs';
import { pageIsAccessible } from './accessibility.mjs';

const SETUP = 'https://setup.test';
const PASSWORD = 'a few easy words';
const DARK = [{ name: 'prefers-color-scheme', value: 'dark' }];

let empty;
let invited = 0;

const invite = async (role = 'admin') => {
  const email = `p${(invited += 1)}@people.example`;
  return (await world.server.ask('POST', '/v1/invitations', { email, role }, 201)).data;
};

const text = (page, id) => page.$eval(`#${id}`, (element) => element.textContent);
const isShown = (page, id) => page.$eval(`#${id}`, (element) => !element.hidden);
const focus = (page) => page.evaluate(() => document.activeElement.id);

async function fill(page, fields) {
  for (const [id, value] of Object.entries(fields)) {
    await page.$eval(`#${id}`, (input) => (input.value = ''));
    await page.type(`#${id}`, value);
  }
  await page.click('#send');
}

/** Nothing refused by the policy, nothing said to the console, nothing wider than the window. */
async function isQuiet(page) {
  assert.deepEqual(await page.evaluate(() => window.violations), []);
  assert.deepEqual(page.seen.errors, []);
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wide <= window, `${wide} in ${window}`);
}

async function joins(name, options) {
  const invitation = await invite();
  await world.visit(options, async (page) => {
    await page.goto(invitation.url);
    assert.equal(page.url(), `${CHAT}/invitations`, 'the token has left the address');
    assert.equal(await focus(page), 'name');
    await pageIsAccessible(page, `${name}, empty`);
    await fill(page, { name: ' ', password: 'short', again: PASSWORD });
    await until('what is wrong is said', async () => (await text(page, 'again-error')) !== '');
    assert.match(await text(page, 'password-error'), /15/);
    assert.deepEqual([await text(page, 'name-error'), await focus(page)], ['This is needed.', 'name']);
    await pageIsAccessible(page, `${name}, with errors`);
    await page.screenshot({ path: world.picture(`invitation-${name}-errors`), fullPage: true });
    await fill(page, { name: "Ada O'Hara", password: 'passwordpassword', again: 'passwordpassword' });
    await until('the server says what is wrong', async () => /tried first/.test(await text(page, 'password-error')));
    assert.equal(await text(page, 'again-error'), '');
    await fill(page, { password: PASSWORD, again: PASSWORD });
    await until('it is done', () => isShown(page, 'done'));
    assert.equal(await isShown(page, 'form'), false);
    assert.deepEqual([await text(page, 'who'), await text(page, 'role'), await text(page, 'email')], ["Ada O'Hara", 'admin', invitation.email]);
    assert.equal(await focus(page), 'done-title');
    const lines = await text(page, 'curl');
    assert.ok(lines.includes(`${CHAT}/v1/sign-in -H 'Origin: ${CHAT}'`) && !lines.includes(PASSWORD), lines);
    await pageIsAccessible(page, `${name}, done`);
    await page.screenshot({ path: world.picture(`invitation-${name}-done`), fullPage: true });
    await isQuiet(page);
    const arrived = world.proxy.requests.map(({ path, headers }) => JSON.stringify([path, headers]));
    assert.ok(arrived.every((request) => !request.includes(invitation.token)), 'no address and no referrer has the token');
  });
  const members = (await world.server.ask('GET', '/v1/members')).data;
  assert.ok(members.some(({ email, name }) => email === invitation.email && name === "Ada O'Hara"));
}

async function saysWhyALinkIsNoUse() {
  const invitation = await invite('member');
  await world.server.ask('DELETE', `/v1/invitations/${invitation.id}`, undefined, 204);
  await world.visit({}, async (page) => {
    await page.goto(invitation.url);
    await fill(page, { name: 'Ada', password: PASSWORD, again: PASSWORD });
    await until('it is said', async () => /taken back/.test(await text(page, 'token-error')));
    assert.match(await text(page, 'problem'), /new link/);
    await pageIsAccessible(page, 'refused');
    await isQuiet(page);
  });
}

async function setsUp() {
  const [, token] = await empty.program.line(/\/setup#(\S+)/);
  await world.visit({ width: 320 }, async (page) => {
    await page.goto(`${SETUP}/setup#${token}`);
    assert.equal(page.url(), `${SETUP}/setup`);
    await pageIsAccessible(page, 'setup, empty');
    await fill(page, { workspace_name: 'Acme', name: 'Ada', email: 'ada', password: PASSWORD });
    await until('what is wrong is said', async () => (await text(page, 'email-error')) !== '');
    assert.equal(await text(page, 'name-error'), '');
    await fill(page, { email: 'ada@example.com' });
    await until('it is done', () => isShown(page, 'done'));
    await pageIsAccessible(page, 'setup, done');
    await page.screenshot({ path: world.picture('setup-done'), fullPage: true });
    await isQuiet(page);
    const key = await page.$eval('#key', (input) => input.value);
    const { data } = await empty.ask('GET', '/v1/members', undefined, 200, key);
    assert.deepEqual(data.map(({ name, role }) => [name, role]), [['Ada', 'owner']]);
  });
}

export default () =>
  describe('the pages for people', () => {
    before(async () => {
      empty = await Server.start(SETUP, {}, { isSetUp: false });
      world.front.serve(empty);
    });
    after(() => empty?.stop());

    it('make the first workspace, and know its owner by name', setsUp);
    it('let an invited person join, light', () => joins('light', {}));
    it('let an invited person join, dark and 320 pixels wide', () => joins('dark', { width: 320, media: DARK }));
    it('say why a link is of no use', saysWhyALinkIsNoUse);
  });
