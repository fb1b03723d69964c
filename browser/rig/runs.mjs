// Workflows to take part in, and visitors who do.

import { readFileSync } from 'node:fs';
import { until } from './patience.mjs';
import { Taking } from './taking.mjs';
import { world } from './world.mjs';

export const input = (id, input_type, more = {}) => ({ type: 'Input', id, prompt: `${id}?`, input_type, ...more });
export const workflow = (title, children, participants = [{ name: 'respondent' }]) => ({ type: 'Workflow', id: 'root', title, participants, children });
export const NPS = JSON.parse(readFileSync(new URL('../../crates/workflow/examples/nps-survey.json', import.meta.url), 'utf8'));

export const stateOf = async (deployment, run) => world.server.ask('GET', `/api/v1/runs/${run}`, undefined, 200, deployment.key);
export const isState = (deployment, run, status) =>
  until(async () => `the run is ${status}: ${JSON.stringify(await stateOf(deployment, run))}`, async () => (await stateOf(deployment, run)).status === status);

/** A visitor who takes part with a token of this role. */
export async function take(deployment, role, use, { run, options = {}, attributes = {}, ...place } = {}) {
  run ??= await world.server.startRun(deployment);
  const token = await world.server.mint(deployment, run, role);
  return world.visit(options, async (page) => {
    const taking = await Taking.at(page, { ...place, attributes: { 'run-id': run, 'participant-token': token, ...attributes } });
    await taking.open();
    return use(taking, run);
  });
}

/** A visitor of a public survey. */
export const survey = (deployment, use, { options = {}, attributes = {}, ...place } = {}) =>
  world.visit(options, async (page) => use(await Taking.at(page, { ...place, attributes: { 'deployment-id': deployment.id, ...attributes } })));

export const OPTIONS = ['red', 'green', 'blue'].map((value) => ({ value, label: `The ${value} one` }));

export const TWO_ROLES = workflow(
  'A refund',
  [
    { type: 'Message', id: 'hello', text: 'For the customer alone: welcome.', to: ['customer'] },
    { type: 'Message', id: 'brief', text: 'For the reviewer alone: be strict.', to: ['reviewer'] },
    input('wish', 'text', { prompt: 'What went wrong, customer?', role: 'customer' }),
    input('verdict', 'select', { prompt: 'The verdict of the reviewer?', role: 'reviewer', options: OPTIONS }),
    input('note', 'textarea', { prompt: 'A secret note of the reviewer?', role: 'reviewer' }),
    { type: 'Message', id: 'end', text: 'Your case is closed.', to: ['customer'] },
  ],
  [{ name: 'customer' }, { name: 'reviewer' }],
);
export const dialogue = (bot) => workflow('Advice', [
  { type: 'Agent', id: 'talk', bot: bot.id, role: 'respondent', prompt: 'What can I do for you?' },
  { type: 'Message', id: 'bye', text: 'Goodbye.' },
]);
