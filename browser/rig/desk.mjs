// A person at the dashboard: finds what is on a page by its name, as people do, and clicks.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { until } from './patience.mjs';
import { Server } from './server.mjs';
import { visit } from './browser.mjs';
import { world } from './world.mjs';

export const DESK = 'https://desk.test';
export const PASSWORD = 'a few easy words';

/** An installation with nobody in it, and the browsers of those who come. */
export class Desk {
  static async start(settings = {}) {
    const desk = new Desk();
    desk.server = await Server.start(DESK, settings, { isSetUp: false });
    desk.proxy = world.front.serve(desk.server);
    desk.token = (await desk.server.program.line(/\/setup#(\S+)/))[1];
    desk.people = [];
    return desk;
  }

  /** Somebody with a browser of their own. */
  async person(options = {}) {
    const page = await visit(world.browser, { width: 1280, height: 900, ...options });
    if (options.hasScript === false) await page.setJavaScriptEnabled(false);
    page.asked = [];
    page.on('dialog', (dialog) => {
      page.asked.push(dialog.type());
      void dialog.accept();
    });
    const person = new Person(page, this);
    this.people.push(person);
    return person;
  }

  async stop() {
    for (const { page } of this.people) await page.browserContext().close();
    await this.server?.stop();
  }
}

/** Looks into a page that may be on its way to another. */
const look = (page, use, ...values) => page.evaluate(use, ...values).catch(() => undefined);

export class Person {
  constructor(page, desk) {
    this.page = page;
    this.desk = desk;
  }

  get path() {
    return new URL(this.page.url()).pathname;
  }

  text(selector = 'body') {
    return look(this.page, (wanted) => document.querySelector(wanted)?.innerText.trim(), selector);
  }

  heading() {
    return this.text('h1');
  }

  async goto(path) {
    return this.page.goto(DESK + path, { waitUntil: 'load' });
  }

  /** The page with this heading, as a text or a pattern. */
  async sees(heading) {
    const fits = (found) => (heading instanceof RegExp ? heading.test(found ?? '') : found === heading);
    await until(async () => `the heading ${heading} on ${this.page.url()}: ${await this.text()}`, async () => fits(await this.heading()));
  }

  async reads(words) {
    const fits = (found) => (words instanceof RegExp ? words.test(found ?? '') : found?.includes(words));
    await until(async () => `${words} on ${this.page.url()}: ${await this.text()}`, async () => fits(await this.text()));
  }

  /** Whether there is a link or a button of this name. */
  async has(name) {
    return (await this.#named(name)) !== null;
  }

  async #named(name) {
    const find = (wanted) =>
      [...document.querySelectorAll('main a, main button, main summary, a, button, summary')].find((one) => {
        const called = (one.getAttribute('aria-label') ?? one.innerText).trim();
        return called === wanted && one.tabIndex >= 0 && one.getClientRects().length > 0;
      });
    return (await this.page.evaluateHandle(find, name)).asElement();
  }

  async press(name) {
    const target = await this.#named(name);
    assert.ok(target, `nothing is called "${name}" on ${this.page.url()}: ${await this.text()}`);
    await target.click();
  }

  /** Presses what leads to another page, and waits for it. */
  async follow(name) {
    const arrived = this.page.waitForNavigation({ waitUntil: 'load' });
    arrived.catch(() => {});
    await this.press(name);
    const answer = await arrived;
    if (answer && answer.status() >= 500) assert.fail(`${name} answers ${answer.status()}: ${await this.text()}`);
    return answer;
  }

  /** Types into the fields that have these labels; a box or a choice is clicked, a list chosen from. */
  async fill(fields) {
    for (const [label, value] of Object.entries(fields)) {
      const find = (wanted) => {
        const labels = [...document.querySelectorAll('label')].filter((one) => one.getClientRects().length > 0);
        const found = labels.find((one) => one.innerText.trim() === wanted) ?? labels.find((one) => one.innerText.trim().startsWith(wanted));
        return found?.control ?? null;
      };
      const field = (await this.page.evaluateHandle(find, label)).asElement();
      assert.ok(field, `no field has the label "${label}" on ${this.page.url()}: ${await this.text()}`);
      const [kind, isChecked] = await field.evaluate((input) => [input.tagName === 'SELECT' ? 'select' : input.type, input.checked]);
      if (kind === 'select') await field.select(value);
      else if (kind === 'checkbox' || kind === 'radio') {
        if (isChecked !== value) await field.evaluate((input) => input.click());
      } else {
        await field.evaluate((input) => (input.value = ''));
        await field.type(value);
      }
    }
  }

  /** What is shown to be copied: a secret, a link. */
  async copies(id) {
    await until(`#${id} on ${this.page.url()}`, () => look(this.page, (wanted) => document.getElementById(wanted)?.textContent, id));
    return this.page.$eval(`#${id}`, (element) => element.textContent.trim());
  }

  /** What the browser had to say since the last time: nothing. */
  async isQuiet(where) {
    const { errors, responses } = this.page.seen;
    // What Chromium thinks of forms with passwords is no message of a page.
    const lines = this.page.seen.console.filter((line) => !line.startsWith('verbose:'));
    const missing = responses.filter(({ status }) => status >= 400).map(({ url, status }) => `${status} ${url}`);
    const violations = (await look(this.page, () => window.violations)) ?? [];
    const nothing = { lines: [], errors: [], missing: [], violations: [] };
    assert.deepEqual({ lines, errors, missing: lines.length ? missing : [], violations }, nothing, where);
    this.forgets();
  }

  /** What was said so far was expected. */
  forgets() {
    for (const seen of Object.values(this.page.seen)) seen.length = 0;
  }

  /** What a program sends for this person: `Cookie` and where it comes from. */
  async headers() {
    const cookies = await this.page.browserContext().cookies();
    const sent = cookies.filter(({ domain }) => domain === new URL(DESK).host).map(({ name, value }) => `${name}=${value}`);
    return { cookie: sent.join('; '), origin: DESK };
  }

  async signsIn(email, password = PASSWORD) {
    await this.fill({ 'Email address': email, Password: password });
    await this.follow('Sign in');
  }
}

/** Somebody's server that hears of events: what arrived, and what it answers. */
export class Receiver {
  static async start() {
    const receiver = new Receiver();
    receiver.heard = [];
    receiver.http = createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      receiver.heard.push({ id: request.headers['webhook-id'], signature: request.headers['webhook-signature'], body: Buffer.concat(parts).toString() });
      response.writeHead(200, { 'content-type': 'text/plain' }).end('Thank you');
    });
    receiver.http.listen(0, '127.0.0.1');
    await once(receiver.http, 'listening');
    receiver.url = `http://127.0.0.1:${receiver.http.address().port}/hook`;
    return receiver;
  }

  async hears(count) {
    await until(`${count} events; there are ${this.heard.length}`, () => this.heard.length >= count);
    return this.heard;
  }

  stop() {
    this.http.closeAllConnections();
    this.http.close();
  }
}
