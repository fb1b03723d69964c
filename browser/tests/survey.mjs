// The hosted page of a survey, as people use it: with JavaScript and without, with the keyboard alone, in the light and in the dark.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { CHAT, world } from '../rig/world.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const EXAMPLE = new URL('../../crates/workflow/examples/nps-survey.json', import.meta.url);

const asking = (...children) => ({
  type: 'Workflow',
  id: 'survey',
  title: 'A short survey',
  participants: [{ name: 'respondent' }],
  children,
});
const input = (id, prompt, input_type, more = {}) => ({ type: 'Input', id, prompt, input_type, ...more });
const options = (...labels) => ({ options: labels.map((label) => ({ value: label.toLowerCase(), label })) });
const dialogue = (bot) => ({ type: 'Agent', id: 'talk', bot: bot.id, role: 'respondent', until: 'participant_done', prompt: 'What happened?' });

/** A deployed survey, and what its owner sees of it. */
class Survey {
  static async open(definition) {
    const survey = new Survey();
    const workflow = (await world.server.ask('POST', '/v1/workflows', { name: 'Survey', definition }, 201)).data;
    const deployed = await world.server.ask('POST', `/v1/workflows/${workflow.id}/deployments`, { survey_mode: true }, 201);
    Object.assign(survey, { id: deployed.data.id, key: deployed.data.key, url: `${CHAT}/s/${deployed.data.id}` });
    return survey;
  }

  static example() {
    return Survey.open(JSON.parse(readFileSync(EXAMPLE, 'utf8')));
  }

  /** The run of whom the page belongs to, as `GET /api/v1/runs/{id}` shows it to the deployment's key. */
  async run(page) {
    const cookies = await page.browserContext().cookies();
    const { value, httpOnly, secure, sameSite, path } = cookies.find(({ name }) => name === '__Secure-chatelaine-survey');
    assert.deepEqual({ httpOnly, secure, sameSite, path }, { httpOnly: true, secure: true, sameSite: 'Lax', path: `/s/${this.id}` });
    const { sub: run } = JSON.parse(Buffer.from(value.split('.')[1], 'base64url'));
    const answer = await fetch(`${world.server.url}/api/v1/runs/${run}`, { headers: { authorization: `Bearer ${this.key}` } });
    assert.equal(answer.status, 200);
    return answer.json();
  }
}

/** Looks into a page that may be on its way to another. */
const look = (page, use, ...values) => page.evaluate(use, ...values).catch(() => undefined);
const text = (page) => look(page, () => document.body.innerText);

async function asks(page, heading) {
  const found = () => look(page, () => document.querySelector('h1')?.innerText.trim());
  await until(async () => `the page asks "${heading}", and says: ${await text(page)}\n${page.seen.errors}`, async () => (await found()) === heading);
}

async function sees(page, words) {
  await until(async () => `"${words}" in the page: ${await text(page)}`, async () => (await text(page))?.includes(words));
}

/** Clicks what has these words on it. */
async function press(page, words) {
  const find = (wanted) => [...document.querySelectorAll('button, label, a, summary')].find((one) => one.innerText.trim() === wanted);
  await (await page.evaluateHandle(find, words)).asElement().click();
}

async function type(page, id, words) {
  await (await page.$(`#${id}`)).click();
  await page.keyboard.type(words);
}

/** A click would begin at the part of the date that it hits. */
async function pickDay(page) {
  await page.focus('#f-day');
  await page.keyboard.type('02292028');
}

/** A visitor with JavaScript, or without. */
const visit = (hasScript, use, options = {}) =>
  world.visit(options, async (page) => {
    await page.setJavaScriptEnabled(hasScript);
    await use(page);
    assert.deepEqual(page.seen.errors, []);
    const refused = page.seen.console.filter((line) => /content security policy/i.test(line));
    assert.deepEqual(refused, []);
  });

const documentsOf = (page) => page.seen.documents;

/** Counts whole pages that are loaded: with the script there is one. */
function countDocuments(page) {
  page.seen.documents = [];
  page.on('request', (request) => request.isNavigationRequest() && page.seen.documents.push(`${request.method()} ${request.url()}`));
}

async function answersTheExample(hasScript) {
  const survey = await Survey.example();
  await visit(hasScript, async (page) => {
    countDocuments(page);
    await page.goto(survey.url);
    await asks(page, 'How are we doing?');
    await press(page, 'Start');
    await asks(page, 'How likely are you to recommend us to a friend or colleague?');
    await press(page, '4');
    await press(page, 'Continue');
    await asks(page, 'You gave us 4 of 10. What should we do better?');
    await type(page, 'f-missing', 'Answer sooner');
    await press(page, 'Continue');
    await asks(page, 'May we write to you about it?');
    await press(page, 'Yes');
    await press(page, 'Continue');
    await asks(page, 'That was all');
    await sees(page, 'Thank you for your answer.');
    assert.equal(page.url(), `${survey.url}/run`);
    const run = await survey.run(page);
    assert.deepEqual([run.status, run.origin], ['completed', 'public']);
    const { score, missing, may_contact } = run.state;
    assert.deepEqual({ score, missing, may_contact }, { score: 4, missing: 'Answer sooner', may_contact: true });
    assert.equal(documentsOf(page).length === 1, hasScript, `whole pages: ${documentsOf(page)}`);
  });
}

async function takesEveryKindOfAnswer(hasScript) {
  const many = options('Red', 'Green', 'Blue', 'Pink', 'Grey', 'Black', 'White', 'Brown');
  const survey = await Survey.open(
    asking(
      input('one_line', 'One line?', 'text'),
      input('lines', 'Some lines?', 'textarea'),
      input('few', 'One of few?', 'select', options('North', 'South')),
      input('many', 'One of many?', 'select', many),
      input('some', 'Some of these?', 'multiselect', options('Tea', 'Milk', 'Water')),
      input('stars', 'How good?', 'rating'),
      input('nps', 'How likely?', 'nps'),
      input('yes', 'Really?', 'boolean'),
      input('count', 'How many?', 'number', { min: 1, max: 9.5 }),
      input('day', 'Which day?', 'date'),
      input('mail', 'Which address?', 'email'),
      input('left', 'Anything else?', 'text', { required: false }),
    ),
  );
  await visit(hasScript, async (page) => {
    await page.goto(survey.url);
    await press(page, 'Start');
    const answer = async (heading, give) => {
      await asks(page, heading);
      await give();
      await press(page, 'Continue');
    };
    await answer('One line?', () => type(page, 'f-one_line', 'Ünï "quoted" <b>'));
    await answer('Some lines?', async () => {
      await type(page, 'f-lines', 'One');
      await page.keyboard.press('Enter');
      await page.keyboard.type('Two');
    });
    await answer('One of few?', () => press(page, 'South'));
    await answer('One of many?', () => page.select('#f-many', 'pink'));
    await answer('Some of these?', async () => (await press(page, 'Tea'), await press(page, 'Water')));
    await answer('How good?', () => press(page, '4'));
    await answer('How likely?', () => press(page, '10'));
    await answer('Really?', () => press(page, 'No'));
    await answer('How many?', () => type(page, 'f-count', '2.5'));
    await answer('Which day?', () => pickDay(page));
    await answer('Which address?', () => type(page, 'f-mail', 'ada@example.com'));
    await answer('Anything else?', async () => {});
    await asks(page, 'That was all');
    const { state } = await survey.run(page);
    assert.deepEqual(state, {
      one_line: 'Ünï "quoted" <b>', lines: 'One\nTwo', few: 'south', many: 'pink', some: ['tea', 'water'], stars: 4, nps: 10,
      yes: false, count: 2.5, day: '2028-02-29', mail: 'ada@example.com', left: null,
    });
  });
}

async function worksWithTheKeyboardAlone() {
  const survey = await Survey.example();
  await visit(true, async (page) => {
    const { keyboard } = page;
    const tabTo = (what, wanted) => until(what, async () => (await keyboard.press('Tab'), await look(page, wanted)));
    await page.goto(survey.url);
    await tabTo('Tab comes to the button', () => document.activeElement.innerText === 'Start');
    await keyboard.press('Enter');
    await asks(page, 'How likely are you to recommend us to a friend or colleague?');
    await until('the question has the focus', () => look(page, () => document.activeElement.localName === 'h1'));
    await tabTo('Tab comes to the scale', () => document.activeElement.type === 'radio');
    for (let step = 0; step < 9; step += 1) await keyboard.press('ArrowRight');
    const shown = await look(page, () => getComputedStyle(document.activeElement.closest('label')).outlineStyle);
    assert.equal(shown, 'solid', 'one sees where the focus is');
    await keyboard.press('Enter');
    await asks(page, 'What do you like most?');
    await tabTo('Tab comes to the first choice', () => document.activeElement.type === 'checkbox');
    await keyboard.press('Tab');
    await keyboard.press('Space');
    await tabTo('Tab comes to the button', () => document.activeElement.innerText === 'Continue');
    await keyboard.press('Space');
    await asks(page, 'That was all');
    const { state } = await survey.run(page);
    assert.deepEqual([state.score, state.liked], [9, ['speed']]);
  });
}

async function saysWhatIsWrong(hasScript) {
  const survey = await Survey.open(
    asking({
      type: 'Workflow', id: 'about', ui: 'form', title: 'About you',
      children: [input('name', 'Your name?', 'text'), input('mail', 'Your address?', 'email'), input('size', 'Your size?', 'select', options('S', 'L'))],
    }),
  );
  await visit(hasScript, async (page) => {
    await page.goto(survey.url);
    await press(page, 'Start');
    await asks(page, 'About you');
    await type(page, 'f-name', 'Ada');
    await type(page, 'f-mail', 'nowhere');
    await press(page, 'Continue');
    await sees(page, 'Your address? – Enter an email address');
    await until('the summary has the focus', () => look(page, () => document.activeElement.className === 'summary'));
    assert.equal(await page.title(), 'Error: About you – A short survey');
    const kept = await page.$$eval('#f-name, #f-mail', (fields) => fields.map(({ value }) => value));
    assert.deepEqual(kept, ['Ada', 'nowhere']);
    await press(page, 'Your size? – This needs an answer.');
    assert.equal(await look(page, () => document.activeElement.id), 'f-size', 'its link leads to the field');
    await press(page, 'L');
    await type(page, 'f-mail', '@example.com');
    await press(page, 'Continue');
    await asks(page, 'That was all');
    const { name, mail, size } = (await survey.run(page)).state;
    assert.deepEqual({ name, mail, size }, { name: 'Ada', mail: 'nowhere@example.com', size: 'l' });
  });
}

async function goesOnAfterAReload(hasScript) {
  const survey = await Survey.open(asking(input('one', 'First?', 'text'), input('two', 'Second?', 'text')));
  await visit(hasScript, async (page) => {
    await page.goto(survey.url);
    await press(page, 'Start');
    await asks(page, 'First?');
    await type(page, 'f-one', 'a');
    await press(page, 'Continue');
    await asks(page, 'Second?');
    await page.reload();
    await asks(page, 'Second?');
    const other = await page.browserContext().newPage();
    await other.goto(survey.url);
    other.seen = page.seen;
    await asks(other, 'Second?');
    await type(other, 'f-two', 'b');
    await press(other, 'Continue');
    await asks(other, 'That was all');
    await page.bringToFront();
    // The first tab does not know yet: it learns it, and nothing is answered twice.
    await type(page, 'f-two', 'c');
    await press(page, 'Continue');
    await asks(page, 'That was all');
    const { one, two } = (await survey.run(page)).state;
    assert.deepEqual({ one, two }, { one: 'a', two: 'b' });
  });
}

async function talksWithAnAgent(hasScript) {
  const survey = await Survey.open(asking(dialogue(world.bot)));
  await visit(hasScript, async (page) => {
    await page.goto(survey.url);
    await press(page, 'Start');
    await asks(page, 'Conversation');
    await sees(page, 'What happened?');
    const [question, reply] = [`It broke (${hasScript})`, 'Since when?'];
    await type(page, 'text', question);
    await press(page, 'Send');
    const asked = await world.model.next(question);
    await sees(page, 'An answer is being written');
    asked.end(reply);
    await sees(page, reply);
    if (hasScript) {
      await until('the focus is where one types', () => look(page, () => document.activeElement.id === 'text'));
      assert.equal(await look(page, () => document.getElementById('said').textContent), reply, 'and the answer is announced');
      await page.keyboard.type('Since Monday');
      await page.keyboard.press('Enter');
    } else {
      await type(page, 'text', 'Since Monday');
      await press(page, 'Send');
    }
    (await world.model.next('Since Monday')).end('Thank you.');
    await sees(page, 'Thank you.');
    await press(page, 'I am done');
    await asks(page, 'That was all');
    assert.equal((await survey.run(page)).status, 'completed');
  });
}

async function waitsByItself(hasScript) {
  const prompt = `Sum it up (${hasScript})`;
  const survey = await Survey.open(
    asking(input('one', 'First?', 'text'), { type: 'Agent', id: 'sum', bot: world.bot.id, prompt }, input('two', 'Is this so: {{sum.text}}', 'boolean')),
  );
  await visit(hasScript, async (page) => {
    await page.goto(survey.url);
    await press(page, 'Start');
    await asks(page, 'First?');
    await type(page, 'f-one', 'a');
    await press(page, 'Continue');
    const asked = await world.model.next(prompt);
    await asks(page, 'One moment');
    asked.end('all is well');
    await asks(page, 'Is this so: all is well');
  });
}

async function sendsOnceAndLosesNothing() {
  const survey = await Survey.open(asking(input('one', 'First?', 'textarea'), input('two', 'Second?', 'text')));
  await visit(true, async (page) => {
    const posts = () => world.proxy.requests.filter(({ method, path }) => method === 'POST' && path === `/s/${survey.id}/run`);
    await page.goto(survey.url);
    await press(page, 'Start');
    await asks(page, 'First?');
    await type(page, 'f-one', 'A long story');
    const body = '<!doctype html><main><h1>Please come back later</h1><p>Try again in 7 seconds.</p></main>';
    world.proxy.answer = ({ method }) => (method === 'POST' ? { status: 429, headers: { 'content-type': 'text/html' }, body } : undefined);
    await press(page, 'Continue');
    await sees(page, 'Try again in 7 seconds.');
    assert.equal(await page.$eval('#f-one', ({ value }) => value), 'A long story', 'what was written stays');
    world.proxy.answer = undefined;
    const before = posts().length;
    await page.$eval('form', (form) => (form.requestSubmit(), form.requestSubmit()));
    await asks(page, 'Second?');
    assert.equal(posts().length - before, 1, 'pressed twice, sent once');
    // No network: the browser sends the form itself, and says what is wrong in its own way.
    await type(page, 'f-two', 'b');
    world.proxy.refuses = true;
    await press(page, 'Continue');
    await until('the browser has tried it', () => page.url().startsWith('chrome-error:') || look(page, () => !document.querySelector('form')));
    world.proxy.refuses = false;
    await page.goto(survey.url);
    await asks(page, 'Second?');
  });
}

async function isOneAndTheSameWhereThereIsNone() {
  await visit(true, async (page) => {
    const answer = await page.goto(`${CHAT}/s/dep_00000000000000000000000001`);
    assert.equal(answer.status(), 404);
    await asks(page, 'There is no survey here');
  });
}

async function isAccessible(page, state) {
  await page.evaluate(`if (!window.axe) { ${AXE} }`);
  const { violations } = await page.evaluate((values) => window.axe.run({ runOnly: { type: 'tag', values } }), TAGS);
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map(({ html }) => html).join('\n  ')}`);
  assert.deepEqual(found, [], state);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(overflow <= 0, `${state}: nothing is wider than the window (${overflow} px)`);
}

/** Every state of the page, looked at by axe-core, with a picture of each. */
async function isFitToBeSeen(theme, width) {
  const question = `The lamp is broken (${theme} ${width})`;
  const survey = await Survey.open(
    asking(
      { type: 'Message', id: 'hello', text: 'Thank you for taking part. It takes two minutes.' },
      input('nps', 'How likely are you to recommend us to a friend or colleague?', 'nps'),
      { type: 'Message', id: 'more', text: 'Good to know. A few more about you:' },
      {
        type: 'Workflow', id: 'about', ui: 'form', title: 'About you',
        children: [
          input('name', 'What is your name?', 'text', { max_length: 80 }),
          input('mail', 'Where can we write to you?', 'email', { required: false }),
          { type: 'Message', id: 'next', text: 'And about your visit:' },
          input('day', 'When were you here?', 'date'),
          input('stars', 'How was the food?', 'rating', { required: false }),
          input('seat', 'Where did you sit?', 'select', options('Inside', 'On the terrace', 'At the bar')),
          input('ate', 'What did you eat?', 'multiselect', options('Soup', 'Fish', 'Cake')),
          input('again', 'Will you come again?', 'boolean'),
          input('guests', 'How many of you were there?', 'number', { min: 1, max: 12 }),
          input('why', 'What should we know?', 'textarea', { required: false }),
        ],
      },
      dialogue(world.bot),
      { type: 'Message', id: 'bye', text: 'Thank you. We read every answer.' },
    ),
  );
  const media = [{ name: 'prefers-color-scheme', value: theme }];
  await visit(true, async (page) => {
    const state = async (name) => {
      await isAccessible(page, `${name}, ${theme}, ${width} px`);
      await page.screenshot({ path: world.picture(`survey-${name}-${theme}-${width}`), fullPage: true });
    };
    await page.goto(survey.url);
    await state('start');
    await press(page, 'Start');
    await asks(page, 'How likely are you to recommend us to a friend or colleague?');
    await press(page, '8');
    await state('question');
    await press(page, 'Continue');
    await asks(page, 'About you');
    await state('form');
    await type(page, 'f-name', 'Ada');
    await press(page, 'Continue');
    await sees(page, 'This could not be sent yet');
    await state('errors');
    await pickDay(page);
    for (const choice of ['At the bar', 'Fish', 'Yes']) await press(page, choice);
    await type(page, 'f-guests', '2');
    await press(page, 'Continue');
    await asks(page, 'Conversation');
    await state('dialogue');
    await type(page, 'text', question);
    await press(page, 'Send');
    const asked = await world.model.next(question);
    await sees(page, 'An answer is being written');
    await state('dialogue-busy');
    asked.end('I am sorry to hear that. Which lamp is it, and since when is it broken?\n\nA photo helps too.');
    await sees(page, 'Which lamp is it');
    await state('dialogue-answered');
    await press(page, 'I am done');
    await asks(page, 'That was all');
    await state('end');
    await page.goto(`${CHAT}/s/nothing`);
    await state('absent');
  }, { media, width, height: 900 });
}

export default () =>
  describe('the survey page', () => {
    for (const [words, hasScript] of [['with JavaScript', true], ['without JavaScript', false]]) {
      it(`takes the example survey's answers to its end, ${words}`, () => answersTheExample(hasScript));
      it(`takes every kind of answer, ${words}`, () => takesEveryKindOfAnswer(hasScript));
      it(`says what is wrong and keeps what was typed, ${words}`, () => saysWhatIsWrong(hasScript));
      it(`goes on after a reload and in another tab, ${words}`, () => goesOnAfterAReload(hasScript));
      it(`holds a dialogue with an agent, ${words}`, () => talksWithAnAgent(hasScript));
      it(`waits for others and goes on by itself, ${words}`, () => waitsByItself(hasScript));
    }
    it('is answered with the keyboard alone', worksWithTheKeyboardAlone);
    it('sends once what is pressed twice, and loses nothing that was written', sendsOnceAndLosesNothing);
    it('says where there is no survey', isOneAndTheSameWhereThereIsNone);
    for (const theme of ['light', 'dark']) {
      for (const width of [1280, 320]) {
        it(`axe-core finds nothing on any state, ${theme}, ${width} px`, () => isFitToBeSeen(theme, width));
      }
    }
  });
