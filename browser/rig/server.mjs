// `chatelaine serve` on SQLite, set up the way its operator does it, and the owner's side of the API.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Program, temporaryFolder } from './process.mjs';

export const BINARY =
  process.env.CHATELAINE_TEST_BINARY ?? fileURLToPath(new URL('../../target/debug/chatelaine', import.meta.url));

const ROOMY = 100_000;

export class Server {
  /** Starts a server that the world calls `publicUrl`; `settings` are further variables of its environment. */
  static async start(publicUrl, settings = {}, { isSetUp = true } = {}) {
    const server = new Server();
    server.publicUrl = publicUrl;
    server.program = new Program(BINARY, ['serve'], {
      CHATELAINE_DATA: `${temporaryFolder()}/data`,
      CHATELAINE_LISTEN: '127.0.0.1:0',
      CHATELAINE_PUBLIC_URL: publicUrl,
      CHATELAINE_OUTBOUND_ALLOW: '127.0.0.1/32',
      CHATELAINE_DRAIN_SECONDS: '1',
      CHATELAINE_LIMITS__PUBLIC_PER_MINUTE: ROOMY,
      CHATELAINE_LIMITS__PUBLIC_STARTS_PER_MINUTE: ROOMY,
      CHATELAINE_LIMITS__PARTICIPANT_PER_MINUTE: ROOMY,
      CHATELAINE_LIMITS__PARTICIPANT_PER_ADDRESS_PER_MINUTE: ROOMY,
      CHATELAINE_LIMITS__FAILURES_PER_MINUTE: ROOMY,
      CHATELAINE_LIMITS__SESSIONS_PER_MINUTE: ROOMY,
      CHATELAINE_LIMITS__WORKSPACE_PER_MINUTE: ROOMY,
      ...settings,
    });
    const [, address] = await server.program.line(/ listens on (\S+)/);
    server.url = `http://${address}`;
    if (!isSetUp) return server;
    const [, token] = await server.program.line(/\/setup#(\S+)/);
    const person = { email: 'ada@example.com', password: 'a few easy words', workspace_name: 'Browsers' };
    server.secret = (await server.ask('POST', '/v1/setup', { token, ...person }, 201)).key;
    return server;
  }

  /** One request with the owner's key, or another; the parsed answer, which must have this status. */
  async ask(method, path, body, status = 200, key = this.secret) {
    const headers = { ...(key && { authorization: `Bearer ${key}` }) };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.equal(answer.status, status, `${method} ${path}: ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** A bot that answers with this model of the test's own model server. */
  async makeBot(model, name, fields = {}) {
    const bot = (await this.ask('POST', '/v1/bots', { name: 'Keeper', ...fields }, 201)).data;
    for (const { id } of (await this.ask('GET', `/v1/bots/${bot.id}/integrations`)).data) {
      await this.ask('PATCH', `/v1/integrations/${id}`, { weight: 0 });
    }
    const integration = { name, kind: 'openai', url: model.url, model: name };
    await this.ask('POST', `/v1/bots/${bot.id}/integrations`, integration, 201);
    return bot;
  }

  /** A widget key for these domains: `{id, key}`. */
  async makeWidgetKey(...allowed_domains) {
    return (await this.ask('POST', '/v1/api-keys', { name: 'Widget', kind: 'widget', allowed_domains }, 201)).data;
  }

  /** A workflow of this definition, deployed: `{id, key}` of the deployment. */
  async deploy(definition, settings = {}) {
    const workflow = (await this.ask('POST', '/v1/workflows', { name: definition.title ?? 'A workflow', definition }, 201)).data;
    return (await this.ask('POST', `/v1/workflows/${workflow.id}/deployments`, settings, 201)).data;
  }

  /** A run by a deployment's key: its id. */
  async startRun({ key }, body = {}) {
    return (await this.ask('POST', '/api/v1/runs', body, 202, key)).run_id;
  }

  /** A participant's token for one role of a run. */
  async mint({ key }, run, role) {
    return (await this.ask('POST', `/api/v1/runs/${run}/tokens`, { role }, 201, key)).participant_token;
  }

  /** The conversations of a bot, newest first. */
  async conversationsOf(bot) {
    return (await this.ask('GET', `/v1/conversations?bot_id=${bot.id}&per_page=100`)).data;
  }

  /** The messages of a conversation, oldest first: `[role, content]`. */
  async messagesOf(conversation) {
    const { data } = await this.ask('GET', `/v1/conversations/${conversation.id}/messages?per_page=100`);
    return data.map(({ role, content }) => [role, content]);
  }

  stop() {
    return this.program.stop();
  }
}
