// A workspace in use: something of each kind that the dashboard shows, with long names, many languages and what went wrong.

import { until } from './patience.mjs';

const SURVEY = {
  type: 'Workflow',
  id: 'visit',
  title: 'Your visit',
  participants: [{ name: 'guest' }],
  children: [
    { type: 'Input', id: 'score', prompt: 'How likely are you to recommend us?', input_type: 'nps' },
    { type: 'Input', id: 'word', prompt: 'How was it, in one word?', input_type: 'text' },
  ],
};
const INTERVIEW = (bot) => ({
  type: 'Workflow',
  id: 'interview',
  title: 'Interview',
  inputs: [{ name: 'topic', type: 'text' }],
  participants: [{ name: 'candidate' }, { name: 'reviewer' }],
  children: [
    { type: 'Agent', id: 'talk', bot: bot.id, role: 'candidate', until: 'participant_done', prompt: 'Talk about {{input.topic}}' },
    { type: 'Input', id: 'verdict', prompt: 'Fit for the job?', input_type: 'boolean', role: 'reviewer' },
  ],
});
const CSV = 'name,email,tags\r\nAda,ada@customers.example,gold\r\nÉmile,emile@customers.example,\r\nNobody,not an address,\r\n';

/** Fills the workspace of this server, whose owner's key it holds. */
export async function furnish(server, model, receiver) {
  const make = async (path, body, status = 201) => (await server.ask('POST', path, body, status)).data;
  const later = (days) => new Date(Date.now() + days * 86_400_000).toISOString();

  const widget = await make('/v1/api-keys', { name: 'Website', kind: 'widget', allowed_domains: ['mysite.com', 'a-rather-long-name-of-a-shop.example.com'] });
  const busy = await make('/v1/api-keys', { name: 'CRM sync', scopes: ['bots:read', 'contacts:read'], owner: 'Ada Lovelace', purpose: 'Nightly sync' });
  await make('/v1/api-keys', { name: 'Expiring next week', scopes: ['bots:read'], expires_at: later(7) });
  await make('/v1/api-keys', { name: 'A name of fifty characters, which is all there is.', scopes: ['admin'], environment: 'live', expires_at: null });
  const gone = await make('/v1/api-keys', { name: 'Revoked', scopes: [] });
  await server.ask('DELETE', `/v1/api-keys/${gone.id}`);
  await server.ask('POST', `/v1/api-keys/${busy.id}/rotate`, {}, 200).catch(() => {});
  for (const path of ['/v1/bots', '/v1/bots', '/v1/webhooks', '/v1/nothing']) {
    await fetch(server.url + path, { headers: { authorization: `Bearer ${busy.key}` } });
  }
  await fetch(`${server.url}/v1/me`, { headers: { authorization: `Bearer ${busy.key}`, origin: 'https://mysite.com' } });

  const account = await make('/v1/service-accounts', { name: 'Deployer', role: 'member', description: 'Continuous integration' });
  await make(`/v1/service-accounts/${account.id}/api-keys`, { name: 'Pipeline', scopes: ['bots:read'] });

  const bot = await server.makeBot(model, 'echo', { name: 'Front desk', description: 'Answers guests', greeting: 'Good day!', instructions: 'Be brief.' });
  await make(`/v1/bots/${bot.id}/integrations`, { name: 'Own backend', kind: 'webhook', url: receiver.url, weight: 0 });
  await make(`/v1/bots/${bot.id}/channels`, { kind: 'widget', name: 'On the website' });
  await make(`/v1/bots/${bot.id}/channels`, { kind: 'webhook', name: 'Helpdesk', reply_url: receiver.url });
  const opened = await server.ask('POST', '/v1/chat/sessions', { agent_id: bot.id, user_identifier: 'grace@example.com' }, 201);
  for (const message of ['Hello', 'Wo ist mein Päckchen <b>geblieben</b>?']) {
    const headers = { authorization: `Bearer ${opened.session_token}`, 'content-type': 'application/json' };
    const path = `/v1/chat/sessions/${opened.conversation_id}/messages`;
    const said = await fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify({ message }) });
    if (!/stream_end/.test(await said.text())) throw new Error(`no answer: ${said.status}`);
  }
  const loop = await make('/v1/agent-loops', { name: 'Order desk', bot_id: bot.id, prompt: 'Find the order.', tools: [] });
  const execution = await make(`/v1/agent-loops/${loop.id}/run`, { input: 'Where is order 7?' }, 202);
  await until('the loop has ended', async () => (await server.ask('GET', `/v1/executions/${execution.id}`)).data.finished_at);

  for (const [name, email] of [['Grace Hopper', 'grace@example.com'], ['محمد', 'm@example.com']]) {
    await make('/v1/contacts', { name, email, tags: ['gold', 'spring'], external_id: `crm-${email}` });
  }
  const sent = await fetch(`${server.url}/v1/contacts/import`, {
    method: 'POST',
    headers: { authorization: `Bearer ${server.secret}`, 'content-type': 'text/csv' },
    body: CSV,
  });
  const { data: contacts } = await sent.json();
  await until('the import has ended', async () => (await server.ask('GET', `/v1/contacts/imports/${contacts.id}`)).data.finished_at);

  const survey = await server.deploy(SURVEY, { survey_mode: true, name: 'On the receipt' });
  for (const [score, word] of [[9, 'Splendid'], [3, 'Slow']]) {
    const run = await server.startRun(survey);
    const token = await server.mint(survey, run, 'guest');
    await answer(server, token, { score, word });
  }
  await server.startRun(survey);
  await make(`/v1/deployments/${survey.id}/triggers`, { kind: 'webhook', name: 'Shop' });
  await make(`/v1/deployments/${survey.id}/triggers`, { kind: 'cron', name: 'Mondays', schedule: '0 9 * * 1', timezone: 'Europe/Berlin' });
  const interview = await server.deploy(INTERVIEW(bot), { name: 'Candidates' });
  await server.startRun(interview, { input: { topic: 'Compilers' } });

  const webhook = await make('/v1/webhooks', { url: receiver.url, description: 'The CRM' });
  await make(`/v1/webhooks/${webhook.id}/test`, undefined, 202).catch(() => make(`/v1/webhooks/${webhook.id}/test`, undefined, 200));
  const heard = receiver.heard.length;
  await until('the event has arrived', () => receiver.heard.length > heard || receiver.heard.length > 0);

  await make('/v1/invitations', { email: 'waiting@example.com', role: 'member' });
  await make('/v1/credits/grants', { amount: 500, note: 'Invoice 17' });
  return { widget, busy, account, bot, survey, webhook };
}

/** Answers the steps of a run until it has ended. */
async function answer(server, token, values) {
  for (const [step, value] of Object.entries(values)) {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ value });
    const said = await fetch(`${server.url}/api/participant/steps/${step}`, { method: 'POST', headers, body });
    if (!said.ok) throw new Error(`${step}: ${said.status} ${await said.text()}`);
  }
}
