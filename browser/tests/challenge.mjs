// The work that a survey asks of a visitor's machine, done by the page.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { CHAT, world } from '../rig/world.mjs';

const SOLVER = readFileSync(new URL('../../crates/participant/src/page/challenge.js', import.meta.url), 'utf8');
const DEFINITION = {
  type: 'Workflow',
  id: 'survey',
  title: 'A guarded survey',
  participants: [{ name: 'respondent' }],
  children: [{ type: 'Input', id: 'score', prompt: 'How likely?', input_type: 'nps' }],
};

const open = async () => {
  const workflow = (await world.server.ask('POST', '/v1/workflows', { name: 'Guarded', definition: DEFINITION }, 201)).data;
  const settings = { survey_mode: true, challenge: 'on' };
  return (await world.server.ask('POST', `/v1/workflows/${workflow.id}/deployments`, settings, 201)).data.id;
};

const heading = (page) => page.evaluate(() => document.querySelector('h1')?.innerText.trim()).catch(() => undefined);

/** A visitor with JavaScript, or without, on the page of a guarded survey. */
const visit = (hasScript, use) =>
  world.visit({}, async (page) => {
    await page.setJavaScriptEnabled(hasScript);
    await page.goto(`${CHAT}/s/${await open()}`);
    await use(page);
    assert.deepEqual(page.seen.errors, []);
  });

export default () =>
  describe('a challenge', () => {
    it('is solved whatever the length of its nonce', () =>
      visit(true, async (page) => {
        const lengths = [0, 1, 46, 47, 53, 54, 55, 62, 63, 64, 117, 118, 200];
        const all = `Promise.all(${JSON.stringify(lengths)}.map((n) => solve('x'.repeat(n), 8)))`;
        const found = await page.evaluate(`(() => { ${SOLVER}; return ${all}; })()`);
        lengths.forEach((length, at) => {
          const hash = createHash('sha256').update(`${'x'.repeat(length)}.${found[at]}`).digest();
          assert.equal(hash[0], 0, `a nonce of ${length} characters`);
        });
      }));

    it('is solved by the page before the survey starts', () =>
      visit(true, async (page) => {
        await page.click('main button');
        await until(async () => `the first question: ${await heading(page)}`, async () => (await heading(page)) === 'How likely?');
        assert.ok(page.seen.responses.some(({ url, status }) => url.endsWith('/challenge') && status === 200));
      }));

    it('is said in words where there is no JavaScript, and nothing starts', () =>
      visit(false, async (page) => {
        const text = () => page.evaluate(() => document.body.innerText);
        assert.match(await text(), /only be started with JavaScript/);
        await Promise.all([page.waitForNavigation(), page.click('main button')]);
        assert.match(await text(), /did not start yet/);
        assert.equal(await heading(page), 'A guarded survey');
      }));
  });
