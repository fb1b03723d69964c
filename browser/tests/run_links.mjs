// What happens to the connections and the tokens of a participant at the widget, and what a customer's page forbids.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { until } from '../rig/patience.mjs';
import { NPS, TWO_ROLES, dialogue, input, stateOf, survey, take, workflow } from '../rig/runs.mjs';
import { Taking, textFrame } from '../rig/taking.mjs';
import { CHAT, world } from '../rig/world.mjs';
import { isAccessible } from './accessibility.mjs';

const ROUNDS = workflow('Rounds', [{ type: 'Loop', id: 'rounds', times: 5, children: [
  { type: 'Message', id: 'round', text: 'This is round {{loop.index}}.' }, input('word', 'text', { prompt: 'A word for round {{loop.index}}?' }),
] }]);

async function losesNothingWhenTheSocketBreaks() {
  const deployment = await world.server.deploy(ROUNDS);
  await take(deployment, 'respondent', async (taking, run) => {
    for (let round = 1; round <= 5; round += 1) {
      await taking.sees(`A word for round ${round}?`);
      await until('there is a socket to break', () => world.proxy.upgraded.size > 0);
      // Before the answer, with the answer on its way, while nothing gets through, and where the answer is lost.
      if (round === 1) world.proxy.cut();
      if (round === 3) {
        world.proxy.refuses = true;
        world.proxy.cut();
      }
      if (round === 4) world.proxy.swallows = true;
      await taking.fillAny(`word ${round}`);
      await taking.submit();
      if (round === 4) {
        await until('the answer goes up', async () => (await taking.traffic()).includes('"value":"word 4"'));
        world.proxy.swallows = false;
        world.proxy.cut();
      }
      if (round === 2) world.proxy.cut();
      if (round === 3) {
        await taking.sees('Waiting for the connection');
        world.proxy.refuses = false;
      }
    }
    await taking.sees('That was all');
    for (let round = 1; round <= 5; round += 1) {
      assert.equal(await taking.count(`This is round ${round}.`), 1);
      assert.equal(await taking.count(`A word for round ${round}?`), 1);
      assert.equal(await taking.count(`word ${round}`), 1);
    }
    assert.equal((await stateOf(deployment, run)).status, 'completed');
    const { events } = await world.server.ask('GET', `/api/v1/runs/${run}/events`, undefined, 200, deployment.key);
    assert.equal(events.filter(({ kind }) => kind === 'step.answered').length, 5, 'each was answered once');
  });
}

async function getsAlongWithoutWebSockets() {
  const deployment = await world.server.deploy(TWO_ROLES);
  world.proxy.refusesSockets = true;
  const run = await world.server.startRun(deployment);
  await take(deployment, 'customer', async (customer) => {
    await customer.sees('What went wrong, customer?');
    await customer.fillAny('The parcel was wet');
    await customer.submit();
    await customer.sees('Please wait');
    await customer.sees('The parcel was wet');
    for (const [step, value] of [['verdict', 'red'], ['note', 'x']]) {
      const token = await world.server.mint(deployment, run, 'reviewer');
      await world.server.ask('POST', `/api/participant/steps/${step}`, { value }, 200, token);
    }
    await customer.sees('Your case is closed.');
    await customer.sees('That was all');
    assert.equal(await customer.count('welcome.'), 1);
    assert.ok(!(await customer.traffic()).includes('"type":"view"'));
  }, { run });
}

async function talksWithoutWebSockets() {
  const deployment = await world.server.deploy(dialogue(world.echo));
  world.proxy.refusesSockets = true;
  await take(deployment, 'respondent', async (taking) => {
    await taking.sees('What can I do for you?');
    await taking.say('An echo?');
    await until('the echo', async () => (await taking.count('An echo?')) === 2);
    await taking.click('[part~=done]');
    await taking.sees('That was all');
  });
}

async function waitsWhenItIsTooFast() {
  const deployment = await world.server.deploy(NPS);
  world.proxy.refusesSockets = true;
  await take(deployment, 'respondent', async (taking, run) => {
    await taking.choose('8');
    let refused = 0;
    world.proxy.answer = ({ method, path }) => {
      if (method !== 'POST' || !path.includes('/steps/') || refused++) return undefined;
      const headers = { 'content-type': 'application/json', 'retry-after': '2', 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Retry-After' };
      return { status: 429, headers, body: '{"error":{"code":"RATE_LIMITED","message":"Too many requests"}}' };
    };
    await taking.submit();
    await taking.sees('Too many messages');
    await taking.sees('What would make it a 10?');
    assert.equal((await stateOf(deployment, run)).state.score, 8, 'and then it is sent');
  });
}

async function endsWithTheDeployment() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  await survey(deployment, async (taking) => {
    await taking.open();
    await taking.sees('How likely are you');
    await world.server.ask('POST', `/v1/deployments/${deployment.id}/revoke`, { runs: 'finish' });
    const revoked = performance.now();
    await taking.sees('This is no longer available.');
    assert.ok(performance.now() - revoked < 1000, 'within a second');
    assert.ok(!(await taking.everything()).includes('Not at all likely'), 'and nothing can be answered');
    await isAccessible(taking.page, 'a run that was revoked');
  });
  await survey(deployment, async (taking) => {
    await taking.open();
    await taking.sees('not available right now');
  });
}

async function beginsAnewAfterAClick() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  await survey(deployment, async (taking) => {
    await taking.open();
    await taking.sees('How likely are you');
    const first = await taking.run();
    // As a page that was left for longer than its token lives.
    const unknown = (await world.server.ask('POST', `/api/public/surveys/${deployment.id}/start`, {}, 200, null)).participant_token.replace(/[^.]+$/, 'A'.repeat(43));
    await taking.page.evaluate((token) => {
      const [name] = Object.keys(sessionStorage);
      sessionStorage.setItem(name, JSON.stringify({ ...JSON.parse(sessionStorage.getItem(name)), token }));
    }, unknown);
    await taking.page.reload();
    const again = await Taking.on(taking.page);
    await again.open();
    await again.sees('Start again');
    await again.clickText('Start again');
    await again.sees('How likely are you');
    assert.notEqual(await again.run(), first);
  });
}

async function goesOnUnderAnotherToken() {
  const deployment = await world.server.deploy(NPS);
  const run = await world.server.startRun(deployment);
  const tokens = [await world.server.mint(deployment, run, 'respondent'), await world.server.mint(deployment, run, 'respondent')];
  await world.visit({}, async (page) => {
    let asked = 0;
    await page.exposeFunction('anotherToken', () => ({ participant_token: tokens[asked++] }));
    const taking = await Taking.at(page, { body: `<script>window.Chatelaine = function () { (Chatelaine.q = Chatelaine.q || []).push(arguments); };
      Chatelaine("init", { server: "${CHAT}", runId: "${run}", getToken: () => anotherToken() });</script>`, attributes: {} });
    await taking.open();
    await taking.sees('How likely are you');
    assert.equal(asked, 1);
    for (const socket of world.proxy.upgraded) socket.write(textFrame({ type: 'auth.expiring', expires_at: Date.now() + 120000 }));
    await until('another token is asked for', () => asked === 2);
    await until('and goes up the same socket', async () => /auth\.renewed/.test(await taking.traffic()));
    await taking.choose('8');
    await taking.submit();
    await taking.sees('What would make it a 10?');
    assert.equal(taking.sockets, 1, 'one socket');
  });
}

async function solvesAChallenge() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true, challenge: 'on' });
  await survey(deployment, async (taking) => {
    await taking.open();
    await taking.sees('How likely are you');
    const starts = world.proxy.requests.filter(({ path }) => path.includes(deployment.id) && path.endsWith('/start'));
    assert.deepEqual(starts.filter(({ method }) => method === 'POST').map(({ status }) => status), [403, 200]);
  });
}

async function refusesServerKeys() {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  const since = world.proxy.requests.length;
  await world.visit({}, async (page) => {
    await page.goto(Taking.put({ attributes: { 'run-id': 'run_00000000000000000000000001', 'participant-token': deployment.key } }));
    await until('the console says so', () => page.seen.console.some((line) => line.includes('holds a server key')));
    assert.ok(!world.proxy.requests.slice(since).some(({ path }) => path.startsWith('/api/')));
  });
}

const STRICT = `default-src 'none'; script-src ${CHAT}; connect-src ${CHAT} ${CHAT.replace('https', 'wss')}`;

async function worksUnder(policy, isQuiet) {
  const deployment = await world.server.deploy(NPS, { survey_mode: true });
  await survey(deployment, async (taking) => {
    await taking.open();
    await taking.choose('7');
    await taking.submit();
    await taking.sees('What would make it a 10?');
    await taking.submit();
    await taking.sees('That was all');
    const violations = (await taking.page.evaluate(() => window.violations)).filter((line) => !line.startsWith('img-src data'));
    if (isQuiet) assert.deepEqual(violations, []);
    assert.deepEqual(taking.page.seen.errors, []);
  }, { headers: { 'content-security-policy': policy } });
}

async function showsNoOtherRun() {
  const deployment = await world.server.deploy(NPS);
  const other = await world.server.mint(deployment, await world.server.startRun(deployment), 'respondent');
  await take(deployment, 'respondent', async (taking) => {
    await taking.sees('This is no longer available.');
    assert.ok(!(await taking.everything()).includes('How likely are you'));
  }, { attributes: { 'participant-token': other } });
}

async function letsGoWhenItIsRemoved() {
  const deployment = await world.server.deploy(NPS);
  await take(deployment, 'respondent', async (taking) => {
    await taking.sees('How likely are you');
    await until('there is a socket', () => world.proxy.upgraded.size > 0);
    await taking.page.evaluate(() => window.Chatelaine.destroy());
    await until('the socket is closed', () => world.proxy.upgraded.size === 0, 2_000);
  });
}

export default () =>
  describe("the widget's way to a run", () => {
    it('a socket that breaks loses nothing and repeats nothing', losesNothingWhenTheSocketBreaks);
    it('where no WebSocket gets through it asks by requests', getsAlongWithoutWebSockets);
    it('a dialogue goes without a WebSocket too', talksWithoutWebSockets);
    it('an answer that comes too fast waits', waitsWhenItIsTooFast);
    it('a revoked deployment ends it in words within a second', endsWithTheDeployment);
    it('a run that is unknown begins anew after a click', beginsAnewAfterAClick);
    it('another token carries on in the same socket', goesOnUnderAnotherToken);
    it('a challenge is solved', solvesAChallenge);
    it('a server key in an attribute is refused', refusesServerKeys);
    it('a token of another run shows nothing', showsNoOtherRun);
    it('it lets go of its socket when it is removed', letsGoWhenItIsRemoved);
    it('a strict policy changes nothing', () => worksUnder(STRICT, true));
    it('nor do Trusted Types', () => worksUnder(`${STRICT}; require-trusted-types-for 'script'; trusted-types 'none'`, true));
    it('a policy without wss: is no obstacle', () => worksUnder(STRICT.replace(/ wss:.*/, '')));
  });
