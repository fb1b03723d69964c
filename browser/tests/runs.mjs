// The widget as a participant's place in a run: two roles in two browsers, and all that can be asked.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { NPS, OPTIONS, TWO_ROLES, dialogue, input, isState, stateOf, survey, take, workflow } from '../rig/runs.mjs';
import { Taking } from '../rig/taking.mjs';
import { CHAT, world } from '../rig/world.mjs';
import { isAccessible } from './accessibility.mjs';

const MANY = Array.from({ length: 9 }, (_, at) => ({ value: `v${at}`, label: `Choice ${at}` }));
const OF_CUSTOMER = ['welcome.', 'What went wrong, customer?', 'The parcel was wet', 'Your case is closed.'];
const OF_REVIEWER = ['be strict.', 'The verdict of the reviewer?', 'The green one', 'A secret note of the reviewer?', 'Believe nobody'];

async function showsEachRoleItsOwnPart() {
  const deployment = await world.server.deploy(TWO_ROLES);
  const run = await world.server.startRun(deployment);
  await take(deployment, 'customer', (customer) => take(deployment, 'reviewer', async (reviewer) => {
    await customer.sees('What went wrong, customer?');
    await reviewer.sees('Please wait');
    await reviewer.sees('be strict.');
    await customer.fill('wish', 'The parcel was wet');
    await customer.submit();
    await customer.sees('Please wait');
    await reviewer.sees('The verdict of the reviewer?');
    await reviewer.choose('The green one');
    await reviewer.submit();
    await reviewer.sees('A secret note of the reviewer?');
    await reviewer.fill('note', 'Believe nobody');
    await reviewer.submit();
    for (const one of [customer, reviewer]) await one.sees('That was all');
    await customer.sees('Your case is closed.');
    for (const [one, its, others] of [[customer, OF_CUSTOMER, OF_REVIEWER], [reviewer, OF_REVIEWER, OF_CUSTOMER]]) {
      const [text, traffic] = [await one.everything(), await one.traffic()];
      for (const words of its) assert.ok(text.includes(words) && traffic.includes(words), words);
      for (const words of others) assert.ok(!text.includes(words) && !traffic.includes(words), `${words} is the other's`);
      assert.ok(traffic.includes('"type":"view"'), 'it came by WebSocket');
    }
    assert.ok(!(await customer.traffic()).includes('reviewer'), 'not even that there is a reviewer');
    await isState(deployment, run, 'completed');
  }, { run }), { run });
}

async function asksAStranger() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  const since = world.proxy.requests.length;
  await survey(deployment, async (taking) => {
    await taking.page.evaluate(() => {
      window.told = [];
      for (const name of ['step', 'answer', 'complete']) document.addEventListener(`chatelaine:${name}`, ({ detail }) => window.told.push([name, detail.step ?? detail.status]));
    });
    assert.ok(!world.proxy.requests.slice(since).some(({ path }) => path.startsWith('/api/')), 'nothing is asked before it is opened');
    await taking.open();
    await taking.sees('How likely are you');
    await taking.sees('Not at all likely');
    await taking.choose('3');
    await taking.submit();
    await taking.sees('You gave us 3 of 10.');
    await taking.fill('missing', 'More tea');
    await taking.submit();
    await taking.sees('May we write to you');
    await taking.choose('Yes');
    await taking.submit();
    await taking.sees('Thank you for your answer.');
    await taking.sees('That was all');
    assert.equal(await taking.count('How likely are you'), 1);
    const run = await taking.run();
    const { state, status } = await stateOf(deployment, run);
    assert.deepEqual([status, state.score, state.missing, state.may_contact], ['completed', 3, 'More tea', true]);
    assert.deepEqual(await taking.page.evaluate(() => window.told), [
      ['step', 'score'], ['answer', 'score'], ['step', 'missing'], ['answer', 'missing'], ['step', 'may_contact'], ['answer', 'may_contact'], ['complete', 'completed'],
    ]);
    assert.deepEqual(taking.page.seen.errors, []);
  });
}

const EVERY_TYPE = [
  input('line', 'text', { max_length: 20 }), input('lines', 'textarea', { required: false }), input('few', 'select', { options: OPTIONS }),
  input('many', 'select', { options: MANY }), input('some', 'multiselect', { options: OPTIONS }), input('stars', 'rating'), input('score', 'nps'),
  input('sure', 'boolean'), input('amount', 'number', { min: 1, max: 9 }), input('day', 'date'), input('mail', 'email'),
];
const ANSWERS = { line: 'One line', lines: null, few: 'green', many: 'v7', some: ['red', 'blue'], stars: 4, score: 10, sure: false, amount: 2.5, day: '2024-02-29', mail: 'ada@example.com' };

async function giveAll(taking, mail = 'ada@example.com') {
  await taking.fill('line', 'One line');
  await taking.choose('The green one', 'few');
  await taking.select('many', 'v7');
  await taking.choose('The red one', 'some');
  await taking.choose('The blue one', 'some');
  await taking.choose('4', 'stars');
  await taking.choose('10', 'score');
  await taking.choose('No', 'sure');
  await taking.fill('amount', '2.5');
  await taking.set('day', '2024-02-29');
  await taking.fill('mail', mail);
}

async function takesEveryTypeInAForm() {
  const form = { type: 'Workflow', id: 'form', ui: 'form', title: 'All at once', children: [{ type: 'Message', id: 'words', text: 'Some words first.' }, ...EVERY_TYPE] };
  const deployment = await world.server.deploy(workflow('Types', [form]));
  await take(deployment, 'respondent', async (taking, run) => {
    await taking.sees('Some words first.');
    await taking.submit();
    await taking.sees('This needs an answer.');
    assert.equal(await taking.focusedField(), 'line', 'the first fault has the focus');
    await giveAll(taking, 'ada@');
    await taking.submit();
    await taking.sees('Enter an email address such as name@example.com.');
    assert.equal(await taking.focusedField(), 'mail');
    assert.deepEqual(await taking.faultOf('mail'), ['true', 'Enter an email address such as name@example.com.']);
    assert.deepEqual(await taking.faultOf('line'), [null, '']);
    await isAccessible(taking.page, 'a form with faults');
    await taking.fill('mail', 'ada@example.com');
    await taking.submit();
    await taking.sees('That was all');
    for (const shown of ['The green one', 'Choice 7', 'The red one, The blue one', '2024-02-29']) await taking.sees(shown);
    assert.deepEqual((await stateOf(deployment, run)).state.form, ANSWERS);
  });
}

async function takesEveryTypeAlone() {
  const deployment = await world.server.deploy(workflow('Types', EVERY_TYPE));
  await take(deployment, 'respondent', async (taking, run) => {
    for (const { id } of EVERY_TYPE) {
      await taking.sees(`${id}?`);
      const value = ANSWERS[id];
      if (['few', 'stars', 'score', 'sure', 'some'].includes(id)) {
        const label = { few: 'The green one', stars: '4', score: '10', sure: 'No', some: 'The red one' }[id];
        await taking.choose(label, id);
        if (id === 'some') await taking.choose('The blue one', id);
      } else if (id === 'many') await taking.select(id, value);
      else if (id === 'day') await taking.set(id, value);
      else if (value !== null) await taking.fill(id, String(value));
      await taking.submit();
      await taking.isPast(id);
    }
    await taking.sees('That was all');
    const { state } = await stateOf(deployment, run);
    for (const [id, value] of Object.entries(ANSWERS)) assert.deepEqual(state[id], value, id);
  });
}

async function talksWithAnAgent() {
  const deployment = await world.server.deploy(dialogue(world.bot));
  await take(deployment, 'respondent', async (taking, run) => {
    await taking.sees('What can I do for you?');
    await taking.say('I lost my key');
    (await world.model.next('I lost my key')).end('Look **under** the mat.');
    await taking.sees('Look under the mat.');
    assert.equal(await taking.count('I lost my key'), 1);
    await taking.say('It is not there');
    const asked = await world.model.next('It is not there');
    await until('it shows that somebody types', () => taking.look((root) => !!root.querySelector('.y')));
    asked.end('Then ask Ada.');
    await taking.sees('Then ask Ada.');
    await until('nobody types', () => taking.look((root) => !root.querySelector('.y')));
    await isAccessible(taking.page, 'a dialogue');
    await taking.click('[part~=done]');
    await taking.sees('Goodbye.');
    await taking.sees('That was all');
    assert.ok(!(await taking.part('input').catch(() => null)), 'there is nothing more to say');
    await isState(deployment, run, 'completed');
  });
}

async function resumesAfterAReload() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  await survey(deployment, async (taking) => {
    await taking.open();
    await taking.choose('9');
    await taking.submit();
    await taking.sees('What do you like most?');
    const run = await taking.run();
    await taking.page.reload();
    const again = await Taking.on(taking.page);
    await again.open();
    await again.sees('What do you like most?');
    assert.equal(await again.run(), run, 'the same run');
    assert.equal(await again.count('How likely are you'), 1, 'what was answered is there once');
    await again.choose('The speed');
    await again.submit();
    await again.sees('That was all');
    await taking.page.reload();
    const over = await Taking.on(taking.page);
    await over.open();
    await over.sees('That was all');
    assert.equal(await over.count('The speed'), 1);
    assert.deepEqual((await stateOf(deployment, run)).state.liked, ['speed']);
  });
}

async function worksWithTheKeyboardAlone() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  await survey(deployment, async (taking) => {
    const { keyboard } = taking.page;
    const press = (key) => keyboard.press(key);
    await until('Tab comes to the launcher', async () => (await press('Tab'), (await taking.focus())?.includes('launcher')));
    await press('Enter');
    await until('the focus is on the scale', async () => (await taking.focusedField()) === 'score');
    await press('Space');
    for (let step = 0; step < 9; step += 1) await press('ArrowRight');
    await until('Tab comes to the button', async () => (await press('Tab'), (await taking.focus()) === 'submit'));
    await press('Enter');
    await until('the focus goes with the run', async () => (await taking.focusedField()) === 'liked');
    await press('Space');
    await press('Tab');
    await press('Tab');
    await press('Space');
    await until('Tab comes to the button', async () => (await press('Tab'), (await taking.focus()) === 'submit'));
    await press('Enter');
    await taking.sees('That was all');
    assert.equal(await taking.focus(), 'log', 'the focus stays in the panel');
    const { state } = await stateOf(deployment, await taking.run());
    assert.deepEqual([state.score, state.liked], [9, ['quality', 'people']]);
    await press('Escape');
    await until('Escape closes it', async () => !(await taking.isOpen()));
  });
}

async function showsASurveyInTheDemo() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  await world.visit({}, async (page) => {
    await page.goto(`${CHAT}/demo#deployment=${deployment.id}`);
    const taking = await Taking.on(page);
    await taking.open();
    await taking.sees('How likely are you');
    const line = await page.$eval('#snippet', (node) => node.textContent);
    assert.equal(line, `<script src="${CHAT}/widget/chat-widget.js" data-deployment-id="${deployment.id}" async></script>`);
    assert.deepEqual(await page.evaluate(() => window.violations), []);
    assert.deepEqual(page.seen.errors, []);
  });
}

async function isAccessibleThroughout(name, { options = {}, ...place } = {}) {
  const deployment = await world.server.deploy(workflow('How was it?', [
    { type: 'Message', id: 'hello', text: 'Three short questions about your last order.' },
    input('score', 'nps', { prompt: 'How likely are you to recommend us to a friend or colleague?' }),
    input('few', 'select', { prompt: 'Which colour did you like best?', options: OPTIONS }),
    { type: 'Workflow', id: 'form', ui: 'form', title: 'A few more words', children: [
      { type: 'Message', id: 'words', text: 'Nothing here is shown to anybody else.' },
      input('stars', 'rating', { prompt: 'How was the delivery?' }), input('some', 'multiselect', { prompt: 'What should we keep?', options: OPTIONS, required: false }),
      input('line', 'text', { prompt: 'Your first name' }), input('mail', 'email', { prompt: 'Your email address', required: false }),
    ] },
    { type: 'Agent', id: 'talk', bot: world.echo.id, role: 'respondent', prompt: 'Anything else?' },
  ]));
  await take(deployment, 'respondent', async (taking) => {
    const look = async (state, pictured = state) => {
      await isAccessible(taking.page, `${name}, ${state}`);
      await taking.page.screenshot({ path: world.picture(`run-${name}-${pictured}`) });
    };
    await taking.sees('to recommend us');
    await taking.choose('9');
    await look('scale');
    await taking.submit();
    await taking.sees('Which colour');
    await taking.choose('The green one');
    await look('choice');
    await taking.submit();
    await taking.sees('A few more words');
    await taking.submit();
    await until('the faults are shown', () => taking.look((root) => !!root.querySelector('[aria-invalid=true]')));
    await look('form');
    await taking.choose('5', 'stars');
    await taking.fill('line', 'Ada');
    await taking.submit();
    await taking.sees('Anything else?');
    await taking.say('A good day to you all');
    await until('the echo', async () => (await taking.count('A good day')) === 2);
    await look('dialogue');
    await taking.click('[part~=done]');
    await until('it is over', () => taking.look((root) => !root.querySelector('[part~=done]')));
    await taking.isOver();
    await look('end');
  }, { options, ...place });
}

export default () =>
  describe('the widget in a run', () => {
    it('two roles in two browsers see and are sent their own part alone', showsEachRoleItsOwnPart);
    it('a stranger is asked a survey, and nothing before it is opened', asksAStranger);
    it('every type of input is taken in a form, with what is wrong at its field', takesEveryTypeInAForm);
    it('every type of input is taken alone', takesEveryTypeAlone);
    it('an agent is talked with until the participant is done', talksWithAnAgent);
    it('a reload resumes', resumesAfterAReload);
    it('/demo shows a survey', showsASurveyInTheDemo);
    it('it is answered with the keyboard alone', worksWithTheKeyboardAlone);
    it('axe-core finds nothing, light', () => isAccessibleThroughout('light'));
    it('axe-core finds nothing, dark', () => isAccessibleThroughout('dark', { options: { media: [{ name: 'prefers-color-scheme', value: 'dark' }] } }));
    it('axe-core finds nothing on a phone', () => isAccessibleThroughout('phone', { options: { width: 320, height: 640 } }));
    it('axe-core finds nothing, right to left', () => isAccessibleThroughout('arabic', { lang: 'ar', dir: 'rtl' }));
  });
