// What is shown: hostile Markdown stays text, small screens and both colour schemes look right (pictures in target/browser).

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get } from 'node:http';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Widget } from '../rig/widget.mjs';
import { CHAT, world } from '../rig/world.mjs';

const HOSTILE = [
  '<img src=https://leak.test/i onerror="window.pwned=1">',
  '<script>window.pwned=1</script>',
  '<svg/onload=window.pwned=1>',
  '<iframe src="https://leak.test/f"></iframe>',
  '![picture](https://leak.test/p.png)',
  '[script](javascript:window.pwned=1)',
  '[SCRIPT](JaVaScRiPt:window.pwned=1)',
  '[tab](java\tscript:window.pwned=1)',
  '[entity](&#106;avascript:window.pwned=1)',
  '[data](data:text/html,<script>window.pwned=1</script>)',
  '[vb](vbscript:window.pwned=1)',
  '[file](file:///etc/passwd)',
  '[relative](/v1/me)',
  '[same site](https:account/delete)',
  '[protocol](//leak.test/x)',
  '[quote](https://example.com/"onmouseover="window.pwned=1)',
  '[a](https://example.com/[b](javascript:window.pwned=1))',
  '[a [b](https://example.com) c](javascript:window.pwned=1)',
  'https://example.com/<b>bold</b>',
  '`<b>code</b>`',
  '```html\n<style>*{display:none}</style>\n```',
  '</div></template><h1 style="position:fixed;inset:0">over all</h1>',
  '<a href="https://leak.test" style="x">tag</a>',
];

/** The elements that a message may consist of. */
const ALLOWED = 'a b br button code div em i li ol p path pre span strong svg time ul'.split(' ');

async function answerWith(widget, question, answer) {
  await widget.say(question);
  const asked = await world.model.next(question);
  asked.say(...(answer.match(/[\s\S]{1,700}/g) ?? []));
  asked.end();
}

async function staysText() {
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page);
    await widget.open();
    await answerWith(widget, 'Attack me', `${HOSTILE.join('\n\n')}\n\nThe end of it.`);
    await widget.sees('The end of it.');
    const { names, links, attributes } = await widget.look((root) => {
      const all = [...root.querySelectorAll('[part~=log] *')];
      return {
        names: [...new Set(all.map(({ localName }) => localName))],
        links: all.filter(({ localName }) => localName === 'a').map(({ href, rel, target, protocol }) => ({ href, rel, target, protocol })),
        attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))],
      };
    });
    assert.deepEqual(names.filter((name) => !ALLOWED.includes(name)), []);
    assert.deepEqual(attributes.filter((name) => name.startsWith('on') || name === 'style' || name === 'src'), []);
    assert.ok(links.length >= 2, JSON.stringify(links));
    for (const link of links) {
      assert.match(link.protocol, /^(https?|mailto):$/, link.href);
      assert.equal(link.rel, 'noopener nofollow ugc');
      assert.equal(link.target, '_blank');
      assert.ok(!link.href.startsWith(CHAT) && !link.href.includes('shop.example.com'), `${link.href} is no link to where the page is`);
    }
    const text = await widget.text();
    for (const part of ['<script>window.pwned=1</script>', '<b>code</b>', '<style>*{display:none}</style>', 'javascript:window.pwned=1']) {
      assert.ok(text.includes(part), `${part} is shown as what it is`);
    }
    assert.equal(await page.evaluate(() => window.pwned), undefined);
    assert.deepEqual(page.seen.requests.filter((request) => !/https:\/\/(chat\.test|shop\.example\.com)\/|data:/.test(request)), []);
    assert.deepEqual(page.seen.errors, []);
  });
}

/** Line ends that JSON lets stand in a text, and JavaScript's `.` takes for ends of lines. */
async function losesNoWord() {
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page);
    await widget.open();
    await widget.say('Separate me');
    const asked = await world.model.next('Separate me');
    asked.say('one ', 'two\u2028 ', '\u2029three ');
    asked.end('four');
    await widget.sees('four');
    const said = (await widget.text()).replace(/\s+/g, ' ');
    assert.ok(said.includes('one two three four'), said);
    assert.deepEqual(page.seen.errors, []);
  });
}

/** Somebody may put elements with names into the page, and no script: a guest book's entry. */
async function asksItsOwnServer() {
  await world.visit({}, async (page) => {
    const guest = `<img name="currentScript" src="https://leak.test/widget/entry.png" data-widget-key="${world.key.key}"
      data-agent-id="${world.bot.id}"><a id="Chatelaine" href="https://leak.test/"></a>`;
    const widget = await Widget.at(page, { path: '/guests', body: guest });
    await widget.open();
    await widget.say('Whose are you?');
    (await world.model.next('Whose are you?')).end('Yours.');
    await widget.sees('Yours.');
    const leaked = page.seen.requests.filter((request) => request.includes('leak.test') && !request.endsWith('.png'));
    assert.deepEqual(leaked, []);
  });
}

async function neverHangs() {
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page);
    await widget.open();
    const unit = 20_000;
    for (const [name, text] of [['stars', '*'.repeat(unit)], ['brackets', '['.repeat(unit)], ['ticks', '`'.repeat(unit)], ['pairs', '[]('.repeat(unit / 3)], ['bold', '**a'.repeat(unit / 3)]]) {
      await answerWith(widget, `Flood me with ${name}`, `${text}\n\nAfter the ${name}.`);
      await widget.sees(`After the ${name}.`);
    }
  });
}

async function fits(name, { width, height, media, place = {}, rightToLeft = false }) {
  await world.visit({ width, height, media }, async (page) => {
    const bot = await world.server.makeBot(world.model, 'manual', { greeting: 'Hello! Ask me about your order.' });
    const widget = await Widget.at(page, { ...place, attributes: { 'agent-id': bot.id, ...place.attributes } });
    await page.screenshot({ path: world.picture(`${name}-closed`) });
    await widget.open();
    await answerWith(widget, 'Where is my order? It has been a while.', 'Your order **1042** is on its way:\n\n1. packed on Monday\n2. shipped on Tuesday\n\nFollow it at https://example.com/track/1042 or run\n\n```\ncurl -sS https://example.com/a/rather/long/address/that/does/not/fit/on/one/line\n```');
    await widget.sees('curl');
    await widget.isIdle();
    await page.screenshot({ path: world.picture(`${name}-open`) });
    const seen = await widget.look((root) => {
      const panel = root.querySelector('[part~=panel]');
      const outside = [...panel.querySelectorAll('*')].filter((element) => {
        const box = element.getBoundingClientRect();
        const scrolls = element.closest('pre') || getComputedStyle(element).position === 'absolute';
        return box.width > 0 && !scrolls && (box.left < -1 || box.right > innerWidth + 1);
      });
      const input = root.querySelector('[part~=input]').getBoundingClientRect();
      return {
        scrolls: document.documentElement.scrollWidth > innerWidth,
        outside: outside.map((element) => element.outerHTML.slice(0, 120)),
        inputIsVisible: input.bottom <= innerHeight && input.top >= 0 && input.width > 100,
        fontSize: parseFloat(getComputedStyle(root.querySelector('[part~=input]')).fontSize),
        direction: getComputedStyle(root.querySelector('[part~=log]')).direction,
      };
    });
    assert.deepEqual({ ...seen, fontSize: undefined }, {
      scrolls: false, outside: [], inputIsVisible: true, direction: rightToLeft ? 'rtl' : 'ltr', fontSize: undefined,
    });
    assert.ok(seen.fontSize >= 16, 'a smaller input makes phones zoom in');
  });
}

const DARK = [{ name: 'prefers-color-scheme', value: 'dark' }];

/** The script as the server sends it to a browser. */
async function getScript() {
  const request = get(`${world.server.url}/widget/chat-widget.js`, { headers: { 'accept-encoding': 'gzip' } });
  const [answer] = await once(request, 'response');
  assert.equal(answer.statusCode, 200);
  assert.equal(answer.headers['content-encoding'], 'gzip');
  const parts = [];
  for await (const part of answer) parts.push(part);
  return Buffer.concat(parts);
}

async function isSmall(test) {
  const sent = await getScript();
  test.diagnostic(`widget: ${gunzipSync(sent).length} bytes, ${sent.length} gzipped (limit 15360)`);
  assert.ok(sent.length <= 15_360, `${sent.length} bytes gzipped`);
}

export default () =>
  describe('what the widget shows', () => {
    it('is small enough', isSmall);
    it('hostile Markdown stays text', staysText);
    it('a flood of signs does not hang it', neverHangs);
    it('loses no word to a line end of Unicode', losesNoWord);
    it('asks its own server, whatever the page names', asksItsOwnServer);
    it('looks right in light', () => fits('light', { width: 1000, height: 760 }));
    it('looks right in dark', () => fits('dark', { width: 1000, height: 760, media: DARK }));
    it('looks right from right to left', () => fits('arabic', { width: 1000, height: 760, place: { lang: 'ar', dir: 'rtl' }, rightToLeft: true }));
    it('fits a phone', () => fits('phone', { width: 390, height: 780 }));
    it('fits a phone in dark', () => fits('phone-dark', { width: 390, height: 780, media: DARK }));
    it('fits 320 pixels, which is a window of 1280 at 400 %', () => fits('narrow', { width: 320, height: 256 }));
    it('fits into the page where it is told to', () =>
      fits('inline', { width: 1000, height: 760, place: { attributes: { mode: 'inline', target: '#place' } } }));
  });
