// A model server in the shape of OpenAI's, whose answers a test gives word by word: nothing is slow here, a test waits for what it asked for.

import { createServer } from 'node:http';
import { once } from 'node:events';
import { within } from './patience.mjs';

/** One completion that is being answered. */
class Asked {
  constructor(request, response, body) {
    this.body = body;
    this.prompt = body.messages.filter(({ role }) => role === 'user').pop()?.content ?? '';
    this.response = response;
    /** Resolves when whoever asked has left before the end. */
    this.left = new Promise((resolve) => response.once('close', () => response.writableEnded || resolve()));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    this.#write({ choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] });
  }

  #write(chunk) {
    const common = { id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 0, model: this.body.model };
    this.response.write(`data: ${JSON.stringify({ ...common, ...chunk })}\n\n`);
  }

  say(...words) {
    for (const content of words) this.#write({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  }

  end(...words) {
    this.say(...words);
    this.#write({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    this.#write({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 5, total_tokens: 8 } });
    this.response.end('data: [DONE]\n\n');
  }

  /** Breaks in the middle, as a model server that crashed. */
  fail() {
    this.response.destroy();
  }
}

/** Model `manual` says what a test makes it say; `echo` says at once what it was told. */
export class Model {
  static async start() {
    const model = new Model();
    model.asked = [];
    model.waiting = new Set();
    model.http = createServer((request, response) => void model.#answer(request, response));
    model.http.listen(0, '127.0.0.1');
    await once(model.http, 'listening');
    model.url = `http://127.0.0.1:${model.http.address().port}/v1`;
    return model;
  }

  async #answer(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    const body = JSON.parse(Buffer.concat(parts).toString());
    const asked = new Asked(request, response, body);
    this.asked.push(asked);
    if (body.model === 'echo') return asked.end(asked.prompt);
    for (const waiter of this.waiting) waiter(asked);
  }

  /** How often this text was asked. */
  count(prompt) {
    return this.asked.filter((asked) => asked.prompt === prompt).length;
  }

  /** The completion that was or will be asked for with this text. */
  next(prompt) {
    const found = this.asked.find((asked) => asked.prompt === prompt && !asked.taken);
    const promise = found
      ? Promise.resolve(found)
      : new Promise((resolve) => {
          const waiter = (asked) => asked.prompt === prompt && (this.waiting.delete(waiter), resolve(asked));
          this.waiting.add(waiter);
        });
    return within(`the model is asked "${prompt}"`, promise.then((asked) => ((asked.taken = true), asked)));
  }

  stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}
