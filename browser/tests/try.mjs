// `chatelaine try` as a newcomer meets it: the printed survey link, answered with and without JavaScript.

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { Program, temporaryFolder } from '../rig/process.mjs';
import { BINARY } from '../rig/server.mjs';
import { Taking } from '../rig/taking.mjs';
import { world } from '../rig/world.mjs';

const PATIENCE = 15_000;

let program;
let trial;

/** The run that the visitor's cookie opens; the page does not say it. */
async function runOf(page) {
  const cookies = await page.browserContext().cookies();
  const token = cookies.map(({ value }) => value).find((value) => value.startsWith('eyJ'));
  assert.ok(token, `no token among the cookies ${cookies.map(({ name }) => name)}`);
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sub;
}

/** What `look` finds. Without JavaScript a page cannot wait for itself, and between two pages there is none to look at. */
function sees(what, look) {
  return until(what, () => look().catch(() => undefined), PATIENCE);
}

/** Chooses what is to be chosen and sends the form. */
async function send(page, ...choices) {
  for (const selector of [...choices, 'main form button']) {
    await (await sees(selector, () => page.$(selector))).click();
  }
}

async function asked(path, key) {
  const answer = await fetch(trial.url + path, { headers: { authorization: `Bearer ${key}` } });
  const text = await answer.text();
  assert.equal(answer.status, 200, `${path}: ${text}`);
  return JSON.parse(text);
}

async function answersTheSurvey(page) {
  await page.goto(trial.survey_url);
  await send(page);
  const choice = (name, value) => `input[name="f-${name}"][value="${value}"]`;
  await send(page, choice('score', 9));
  await send(page, choice('liked', 'quality'), choice('liked', 'people'));
  await sees('the thanks', async () => (await page.content()).includes('Thank you for your answer.'));
  const run = await asked(`/api/v1/runs/${await runOf(page)}`, trial.keys.deployment);
  assert.equal(run.deployment_id, trial.deployment_id);
  assert.deepEqual([run.status, run.origin, run.state], ['completed', 'public', { score: 9, liked: ['quality', 'people'] }]);
}

/** Whether the page's script was asked for. */
const hadScript = (page) => page.seen.requests.some((request) => request.endsWith('/s/survey.js'));

export default () =>
  describe('chatelaine try', () => {
    before(async () => {
      program = new Program(BINARY, ['try', '--json', '--listen', '127.0.0.1:0'], { TMPDIR: temporaryFolder() });
      trial = JSON.parse((await program.line(/^\{.*\}$/))[0]);
    });
    after(() => program?.stop());

    it('prints a survey link that a browser answers', () =>
      world.visit({}, async (page) => {
        await answersTheSurvey(page);
        assert.ok(hadScript(page));
      }));

    it('prints a survey link that a browser without JavaScript answers', () =>
      world.visit({ openShadow: false }, async (page) => {
        await page.setJavaScriptEnabled(false);
        await answersTheSurvey(page);
        assert.ok(!hadScript(page), 'JavaScript is off');
      }));

    it('prints a page that has the survey in the widget', () =>
      world.visit({}, async (page) => {
        await page.goto(trial.survey_demo_url);
        const taking = await Taking.on(page);
        await taking.open();
        await taking.sees('How likely are you to recommend us');
      }));
  });
