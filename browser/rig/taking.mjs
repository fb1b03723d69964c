// A participant at the widget of a run: what they see, do and are sent.

import { until } from './patience.mjs';
import { Widget, putPage } from './widget.mjs';

/** A WebSocket's text from a server (RFC 6455, section 5.2), for what a test puts between its own. */
export function textFrame(message) {
  const text = Buffer.from(JSON.stringify(message));
  if (text.length > 125) throw new Error('a longer frame has another head');
  return Buffer.concat([Buffer.from([0x81, text.length]), text]);
}

/** Every byte that a page sends and gets, as text. */
class Traffic {
  static async of(page) {
    const traffic = new Traffic();
    traffic.parts = [];
    traffic.sockets = 0;
    const session = await page.createCDPSession();
    await session.send('Network.enable');
    session.on('Network.webSocketCreated', () => (traffic.sockets += 1));
    for (const name of ['webSocketFrameSent', 'webSocketFrameReceived']) {
      session.on(`Network.${name}`, ({ response }) => traffic.parts.push(response.payloadData));
    }
    page.on('request', (request) => traffic.parts.push(request.url(), request.postData() ?? ''));
    // The scripts are everybody's.
    page.on('response', (response) => {
      if (!response.url().includes('/widget/')) traffic.parts.push(response.text().catch(() => ''));
    });
    return traffic;
  }

  async text() {
    return (await Promise.all(this.parts)).join('\n');
  }
}

export class Taking extends Widget {
  static put({ attributes = {}, ...place } = {}) {
    return putPage({ ...place, attributes: { 'widget-key': undefined, 'agent-id': undefined, ...attributes } });
  }

  /** Puts the page, goes there and waits for the launcher. */
  static async at(page, place = {}) {
    page.traffic = await Traffic.of(page);
    await page.goto(Taking.put(place));
    return Taking.on(page);
  }

  static async on(page) {
    const taking = new Taking(page);
    await taking.isReady();
    return taking;
  }

  traffic() {
    return this.page.traffic.text();
  }

  get sockets() {
    return this.page.traffic.sockets;
  }

  /** The text of everything in the shadow root, shown or not. */
  everything() {
    return this.look((root) => root.querySelector('.r').textContent);
  }

  /** The run that the widget remembers. */
  run() {
    return this.page.evaluate(() => JSON.parse(Object.values({ ...sessionStorage })[0]).run);
  }

  async element(selector) {
    const find = () => this.frame.evaluateHandle(`document.querySelector('chatelaine-chat').shadowRoot.querySelector(${JSON.stringify(selector)})`);
    await until(async () => `${selector} in ${await this.text()}`, async () => !!(await find()).asElement());
    return (await find()).asElement();
  }

  async click(selector) {
    await (await this.element(selector)).click();
  }

  /** Marks what `find(root, argument)` gives, so that it can be clicked and typed into. */
  async #marked(what, find, argument) {
    const mark = `(root, argument) => {
      for (const one of root.querySelectorAll('[data-marked]')) one.removeAttribute('data-marked');
      const found = (${find})(root, argument);
      found?.setAttribute('data-marked', '');
      return !!found;
    }`;
    await until(async () => `${what} in ${await this.text()}`, () => this.look(mark, argument));
    return this.element('[data-marked]');
  }

  async clickText(text) {
    await (await this.#marked(text, (root, wanted) => [...root.querySelectorAll('button')].find((one) => one.textContent === wanted), text)).click();
  }

  /** The label of a choice, in the question whose prompt is `id?` where one is named. */
  async choose(label, id) {
    const find = (root, [wanted, question]) => {
      const groups = [...root.querySelectorAll('fieldset')].filter((one) => !question || one.querySelector('legend').textContent.startsWith(question + '?') || one.dataset.id === question);
      return groups.flatMap((one) => [...one.querySelectorAll('label')]).find((one) => one.textContent === wanted);
    };
    const any = (root, [wanted]) => [...root.querySelectorAll('fieldset label')].find((one) => one.textContent === wanted);
    await (await this.#marked(`the choice ${label}`, `(root, argument) => (${find})(root, argument) ?? (${any})(root, argument)`, [label, id])).click();
  }

  /** The control of the question named `id`. */
  control(id) {
    return this.element(`[data-id=${id}]`);
  }

  async fill(id, text) {
    await this.#type(await this.control(id), text);
  }

  /** The only control there is. */
  async fillAny(text) {
    await this.#type(await this.element('form input, form textarea'), text);
  }

  async #type(control, text) {
    await control.click({ count: 3 });
    await this.page.keyboard.press('Backspace');
    await this.page.keyboard.type(text);
  }

  async select(id, value) {
    await (await this.control(id)).select(value);
  }

  /** A date: what the browser's own picker gives. */
  async set(id, value) {
    await (await this.control(id)).evaluate((control, given) => (control.value = given), value);
  }

  async submit() {
    await this.click('[part~=submit]');
  }

  /** The question at which the focus is. */
  focusedField() {
    return this.look((root) => root.activeElement?.closest('[data-id]')?.dataset.id);
  }

  /** Whether a field is said to be wrong, and the text that its description is. */
  faultOf(id) {
    return this.look((root, wanted) => {
      const control = root.querySelector(`[data-id=${wanted}]`);
      return [control.getAttribute('aria-invalid'), root.getElementById(control.getAttribute('aria-describedby')).textContent];
    }, id);
  }

  async isPast(id) {
    await until(async () => `${id} is answered: ${await this.text()}`, () => this.look((root, wanted) => !root.querySelector(`[data-id=${wanted}]`), id));
  }

  /** Nothing waits any more, and the end is said. */
  async isOver() {
    await until('the end is said', () => this.look((root) => !root.querySelector('form, [part~=input]') && root.querySelector('[role=status]').textContent.length > 5));
  }
}
