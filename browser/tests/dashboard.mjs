// What a newcomer does at the dashboard, by clicking: from the setup link to a key that was made, used, rotated and revoked, a survey with an
// answer, a webhook with a delivery that was sent again, and a member who may do less.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Desk, PASSWORD, Receiver } from '../rig/desk.mjs';
import { until } from '../rig/patience.mjs';
import { visit } from '../rig/browser.mjs';
import { world } from '../rig/world.mjs';

const SURVEY = {
  type: 'Workflow',
  id: 'visit',
  title: 'Your visit',
  participants: [{ name: 'guest' }],
  children: [{ type: 'Input', id: 'word', prompt: 'How was it, in one word?', input_type: 'text' }],
};

let desk;
let owner;
let receiver;
const made = {};

/** What the API says to a key. */
async function status(key, path = '/v1/bots') {
  const answer = await fetch(desk.server.url + path, { headers: { authorization: `Bearer ${key}` } });
  return answer.status;
}

async function setsUp() {
  const { page } = owner;
  await owner.goto(`/setup#${desk.token}`);
  for (const [id, value] of Object.entries({ workspace_name: 'Acme', name: 'Ada', email: 'ada@example.com', password: PASSWORD })) {
    await page.type(`#${id}`, value);
  }
  await page.click('#send');
  await until('it is done', () => page.$eval('#done', (element) => !element.hidden));
  const isHeld = () => page.evaluate(() => !dispatchEvent(new Event('beforeunload', { cancelable: true })));
  assert.ok(await isHeld(), 'the browser asks before the first key is lost');
  await owner.follow('I have kept the key: go to the dashboard');
  await owner.sees(/./);
  assert.deepEqual(owner.page.asked, [], 'and not when it is said to be kept');
  assert.equal(owner.path, '/_/', 'whoever sets up is signed in');
  await owner.reads('Ada');
}

/** Whether a field of this label is to be seen. */
const isThere = (label) =>
  owner.page.evaluate((wanted) => [...document.querySelectorAll('label')].some((one) => one.innerText.startsWith(wanted) && one.getClientRects().length > 0), label);

async function makesAndUsesAKey() {
  await owner.follow('API keys');
  await owner.sees('API keys');
  await owner.follow('Create a key');
  assert.deepEqual([await isThere('Domains'), await isThere('bots:read')], [false, true]);
  await owner.fill({ 'Widget key': true });
  assert.deepEqual([await isThere('Domains'), await isThere('bots:read')], [true, false], 'the type says what is asked');
  await owner.fill({ 'Secret key': true });
  await owner.fill({ Name: 'Website' });
  await owner.follow('Create the key');
  await owner.sees('Website was made');
  made.key = await owner.copies('key');
  assert.equal(await status(made.key), 403, 'nothing was ticked, and nothing is allowed');
  await owner.follow('I have kept it: show the key\'s page');
  await owner.sees('Website');
  await owner.fill({ 'bots:read': true });
  await owner.follow('Save');
  await owner.reads('Saved.');
  assert.equal(await status(made.key), 200);
  made.keyPath = owner.path;
  await owner.goto(made.keyPath);
  await owner.reads('127.0.0.1');
}

async function rotatesIt() {
  await owner.follow('Rotate');
  await owner.sees('Rotate “Website”');
  await owner.follow('Make the new secret');
  const renewed = await owner.copies('key');
  assert.notEqual(renewed, made.key);
  assert.deepEqual([await status(made.key), await status(renewed)], [200, 200], 'both work in the grace');
  await owner.follow('I have kept it');
  const rows = () => owner.page.$$eval('#traffic tbody tr', (all) => all.map((row) => [row.querySelector('th').innerText.split(' ')[0], row.cells[1].innerText]));
  await until(async () => `one use of each: ${JSON.stringify(await rows())}`, async () => {
    const uses = Object.fromEntries(await rows());
    return Number(uses.New) === 1 && Number(uses.Old) >= 2;
  });
  assert.equal(await status(renewed), 200);
  await until('the figures follow by themselves', async () => Number(Object.fromEntries(await rows()).New) === 2);
  await owner.follow('End the old secret now');
  assert.deepEqual([await status(made.key), await status(renewed)], [401, 200], 'the old one is over');
  made.key = renewed;
}

async function revokesIt() {
  await owner.goto(made.keyPath);
  await owner.follow('Revoke');
  await owner.follow('Revoke it for good');
  await owner.reads(/\bms\b|millisecond/);
  assert.equal(await status(made.key), 401);
  await owner.goto(made.keyPath);
  await owner.reads('evoked');
  assert.equal(await owner.has('Rotate'), false);
}

async function deploysASurvey() {
  await owner.follow('Workflows');
  await owner.sees('Workflows');
  await owner.follow('Write the first workflow');
  await owner.fill({ Name: 'Visits' });
  await owner.page.$eval('#f-definition', (area, text) => (area.value = text), '{"type": "Workflow"');
  await owner.follow('Check and save');
  await owner.reads('This is no JSON');
  owner.forgets();
  await owner.page.$eval('#f-definition', (area, text) => (area.value = text), JSON.stringify(SURVEY, null, 2));
  await owner.follow('Check and save');
  await owner.sees(/^Visits/);
  await owner.follow('Deploy Visits');
  await owner.fill({ 'A survey': true });
  await owner.follow('Deploy version 1');
  await owner.sees(/is deployed$/);
  const link = await owner.copies('survey');
  const guest = await visit(world.browser);
  await guest.goto(link);
  const press = async (name) => {
    const find = (wanted) => [...document.querySelectorAll('button')].find((one) => one.innerText.trim() === wanted);
    await until(`a button "${name}": ${await guest.evaluate(() => document.body.innerText)}`, async () => (await guest.evaluateHandle(find, name)).asElement());
    await Promise.all([guest.waitForNavigation(), (await guest.evaluateHandle(find, name)).asElement().click()]);
  };
  if (!(await guest.$('input[type=text], textarea'))) await press('Start');
  await guest.type('input[type=text], textarea', 'Splendid');
  await press('Continue');
  await until('it has ended', () => guest.evaluate(() => /that was all|thank/i.test(document.body.innerText)).catch(() => false));
  await guest.browserContext().close();
  await owner.follow('I have stored the key');
  await owner.follow('Answers');
  await owner.reads('Splendid');
}

async function sendsADeliveryAgain() {
  await owner.follow('Webhooks');
  await owner.sees('Webhooks');
  await owner.follow('New webhook');
  await owner.fill({ Address: receiver.url, 'What it is for': 'The CRM' });
  await owner.follow('Create webhook');
  await owner.sees("The webhook's secret");
  assert.match(await owner.copies('secret'), /^whsec_/);
  await owner.follow('I have saved it');
  await owner.follow('Send a test event');
  await receiver.hears(1);
  await until('the attempt is in the list', async () => {
    await owner.follow('Reload');
    return (await owner.text()).includes('delivered');
  });
  const again = await owner.page.$eval('button[aria-label^="Send again the event"]', (button) => button.getAttribute('aria-label'));
  await owner.follow(again);
  const [first, second] = await receiver.hears(2);
  assert.equal(second.id, first.id, 'the same event, under the same id');
  assert.equal(second.body, first.body);
}

async function invitesAMember() {
  await owner.follow('Members');
  await owner.follow('Invite somebody');
  await owner.fill({ 'Email address': 'grace@example.com', Role: 'member' });
  await owner.follow('Make the link');
  const link = await owner.copies('link');
  await owner.follow('I have sent it');
  const member = await desk.person();
  await member.page.goto(link);
  for (const [id, value] of Object.entries({ name: 'Grace', password: 'some other easy words', again: 'some other easy words' })) {
    await member.page.type(`#${id}`, value);
  }
  await member.page.click('#send');
  await until('Grace is in', () => member.page.$eval('#done', (element) => !element.hidden));
  await member.follow('Go to the dashboard');
  await member.reads('Grace');
  assert.equal(member.path, '/_/', 'whoever joins is signed in');
  assert.equal(await member.has('Audit log'), false, 'what a member may not read is not in the menu');
  await member.follow('API keys');
  await member.sees('API keys');
  await member.reads('Website');
  assert.equal(await member.has('Create a key'), false);
  const forbidden = ['/_/api-keys/new', '/_/audit-log', '/_/invitations/new', '/_/webhooks/new', '/_/requests', `${made.keyPath}/rotate`];
  for (const path of forbidden) {
    const answer = await member.goto(path);
    assert.equal(answer.status(), 403, `${path} by its address`);
    await member.sees(/./);
    assert.ok(await member.has('API keys') || (await member.page.$('a[href="/_/"]')), 'there is a way back');
  }
  member.forgets();
  await member.goto(made.keyPath);
  await member.sees('Website');
  assert.equal((await member.has('Rotate')) || (await member.has('Revoke')), false);
  await member.isQuiet('the pages of a member');
}

async function isGuarded() {
  await owner.goto('/_/api-keys/new');
  await owner.fill({ Name: 'Not copied' });
  await owner.follow('Create the key');
  owner.page.asked.length = 0;
  await owner.page.click('h1');
  await owner.goto('/_/').catch(() => {});
  assert.deepEqual(owner.page.asked, ['beforeunload'], 'the browser asks before a secret is lost');
}

async function worksWithoutScripts() {
  const person = await desk.person({ hasScript: false });
  await person.goto('/_/');
  await person.sees('Sign in');
  await person.signsIn('ada@example.com', 'a few wrong words');
  await person.sees('Sign in');
  await person.reads(/password/);
  await person.signsIn('ada@example.com');
  assert.equal(person.path, '/_/');
  await person.follow('API keys');
  await person.follow('Create a key');
  await person.follow('Create the key');
  await person.reads('Nothing was made.');
  await person.fill({ Name: 'By hand' });
  await person.follow('Create the key');
  await person.sees('By hand was made');
  assert.match(await person.copies('key'), /^sk_live_/);
  await person.follow("I have kept it: show the key's page");
  await person.sees('By hand');
  await person.follow('Sign out');
  await person.goto('/_/api-keys');
  await person.sees('Sign in');
  assert.equal(new URL(person.page.url()).searchParams.get('next'), '/_/api-keys');
}

export default () =>
  describe('the dashboard, for a newcomer', () => {
    before(async () => {
      [desk, receiver] = await Promise.all([Desk.start(), Receiver.start()]);
      owner = await desk.person();
    });
    after(async () => {
      receiver?.stop();
      await desk?.stop();
    });

    it('begins with the link of the setup', setsUp);
    it('makes a key that does what was ticked', makesAndUsesAKey);
    it('rotates the key while both secrets work', rotatesIt);
    it('revokes the key', revokesIt);
    it('deploys a survey and shows the answer of a guest', deploysASurvey);
    it('sends the event of a webhook again', sendsADeliveryAgain);
    it('lets a member do less, by address too', invitesAMember);
    it('asks before a secret is lost that is shown once', isGuarded);
    it('has nothing to say to the console', () => owner.isQuiet('the pages of the owner'));
    it('works without JavaScript', worksWithoutScripts);
  });
