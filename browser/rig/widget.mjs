// A customer's page with the widget on it, and what a visitor does with it. The shadow root is closed in earnest; rig/browser.mjs opens it.

import { CHAT, SHOP, world } from './world.mjs';
import { until } from './patience.mjs';

const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** The script tag as a customer pastes it. */
export function scriptTag(attributes, source = `${CHAT}/widget/chat-widget.js`) {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
  const listed = given.map(([name, value]) => ` data-${name}="${escape(value)}"`);
  return `<script src="${source}" defer${listed.join('')}></script>`;
}

/** Puts a page with the widget at `origin + path` and gives its address. */
export function putPage({ origin = SHOP, path = '/', headers = {}, lang = 'en', dir = 'ltr', attributes = {}, body = '' } = {}) {
  const tag = scriptTag({ 'widget-key': world.key.key, 'agent-id': world.bot.id, ...attributes });
  const html = `<!doctype html><html lang="${lang}" dir="${dir}"><head><meta charset="utf-8"><meta name="viewport"
    content="width=device-width, initial-scale=1"><link rel="icon" href="data:,"><title>A shop</title></head><body><main><h1>A shop</h1>
    <p>Things to buy, and <a href="#more">more</a>.</p><div id="place"></div></main>${body}${tag}</body></html>`;
  return world.front.put(origin + path, html, headers);
}

/** The widget in a page or a frame, as its visitor sees it. */
export class Widget {
  constructor(frame, page = frame) {
    this.frame = frame;
    this.page = page;
  }

  /** Puts the page, goes there and waits for the launcher, or for the panel where there is none. */
  static async at(page, place = {}) {
    await page.goto(putPage(place));
    return Widget.on(page);
  }

  static async on(page) {
    const widget = new Widget(page);
    await widget.isReady();
    return widget;
  }

  /** Waits for the launcher, or for the panel where there is none. */
  async isReady() {
    const explain = () => `a widget on ${this.frame.url()}: ${JSON.stringify(this.page.seen)}`;
    await until(explain, () => this.look((root) => !!root && !!root.querySelector('[part~=launcher], [part~=panel]')));
    this.idle = await this.#sendLabel();
  }

  #sendLabel() {
    return this.look((root) => root.querySelector('[part~=send]')?.getAttribute('aria-label'));
  }

  /** Waits until no answer is coming: the button that stops it sends again. */
  async isIdle() {
    await until('the answer is over', async () => (await this.#sendLabel()) === this.idle);
  }

  /** Runs `look(root, argument)` in the page, on the widget's shadow root. */
  look(look, argument) {
    const code = `(() => { const root = document.querySelector('chatelaine-chat')?.shadowRoot;
      return (${look})(root, ${JSON.stringify(argument) ?? 'undefined'}); })()`;
    return this.frame.evaluate(code);
  }

  /** An element of the widget that can be clicked and typed into. */
  async part(name) {
    const handle = await this.frame.evaluateHandle(
      `document.querySelector('chatelaine-chat').shadowRoot.querySelector('[part~=${name}]')`,
    );
    const element = handle.asElement();
    if (!element) throw new Error(`the widget has no part ${name}`);
    return element;
  }

  isOpen() {
    return this.look((root) => {
      const panel = root.querySelector('[part~=panel]');
      return !!panel && panel.checkVisibility();
    });
  }

  async open() {
    if (await this.isOpen()) return;
    await (await this.part('launcher')).click();
    await until('the panel opens', () => this.isOpen());
  }

  /** What the panel shows, as text. */
  text() {
    return this.look((root) => root.querySelector('[part~=panel]').innerText);
  }

  async sees(text) {
    const found = async () => ((await this.text()).includes(text) ? true : undefined);
    await until(async () => `"${text}" in the panel, which says: ${await this.text()}\n${this.page.seen.console.join('\n')}`, found);
  }

  async type(text) {
    const input = await this.part('input');
    await input.focus();
    await this.page.keyboard.type(text);
  }

  async say(text) {
    await this.type(text);
    await this.page.keyboard.press('Enter');
  }

  /** Where the focus is: the part's name, or the element's. */
  focus() {
    return this.look((root) => {
      const inside = root.activeElement;
      if (inside) return inside.getAttribute('part') ?? inside.localName;
      return document.activeElement?.localName;
    });
  }

  /** Says nothing is doubled: how often `text` stands in the log. */
  count(text) {
    return this.look((root, wanted) => root.querySelector('[part~=log]').innerText.split(wanted).length - 1, text);
  }
}
