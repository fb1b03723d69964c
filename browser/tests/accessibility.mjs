// The widget for people who do not see it, or have no mouse: axe-core on each of its states, the keyboard alone, and what a screen reader is told.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, it } from 'node:test';
import { until, within } from '../rig/patience.mjs';
import { Widget, putPage } from '../rig/widget.mjs';
import { world } from '../rig/world.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/** Nothing that axe-core objects to, on the whole page; what it has looked at. */
export async function pageIsAccessible(page, state) {
  await page.evaluate(`if (!window.axe) { ${AXE} }`);
  const { violations, passes } = await page.evaluate((values) => window.axe.run({ runOnly: { type: 'tag', values } }), TAGS);
  const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map(({ html }) => html).join('\n  ')}`);
  assert.deepEqual(found, [], state);
  return passes;
}

/** The same, on the page and in the widget. */
export async function isAccessible(page, state) {
  const passes = await pageIsAccessible(page, state);
  const inside = passes.flatMap(({ nodes }) => nodes).some(({ target }) => JSON.stringify(target).includes('chatelaine-chat'));
  assert.ok(inside, `${state}: axe-core has looked into the widget`);
}

async function talk(widget, question, answer) {
  await widget.say(question);
  (await world.model.next(question)).end(answer);
}

async function axeFindsNothing(name, { media = [], place = {} } = {}) {
  await world.visit({ media }, async (page) => {
    const widget = await Widget.at(page, place);
    await isAccessible(page, `${name}, closed`);
    await widget.open();
    await isAccessible(page, `${name}, open and empty`);
    await talk(widget, `Question (${name})`, 'A **bold** word, a [link](https://example.com) and `code`.\n\n- one\n- two\n\n```\nlet x = 1;\n```');
    await widget.sees('let x = 1;');
    await isAccessible(page, `${name}, with messages`);
    await widget.say(`Slow question (${name})`);
    const asked = await world.model.next(`Slow question (${name})`);
    asked.say('Half an ');
    await widget.sees('Half an');
    await isAccessible(page, `${name}, while an answer comes`);
    asked.fail();
    await widget.isIdle();
    await isAccessible(page, `${name}, after a failure`);
  });
}

async function axeFindsNothingWhereItIsRefused() {
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page, { origin: 'https://evil-example.com' });
    await widget.open();
    await widget.sees('not available on this page');
    await isAccessible(page, 'refused');
  });
}

async function worksWithTheKeyboardAlone() {
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page, { body: '<footer><a href="#end">The end</a></footer>' });
    const { keyboard } = page;
    const press = async (key, times = 1) => {
      for (let time = 0; time < times; time += 1) await keyboard.press(key);
    };
    await until('Tab comes to the launcher', async () => (await press('Tab'), (await widget.focus()).includes('launcher')));
    await press('Enter');
    await until('the focus is in the input', async () => /input/.test(await widget.focus()));
    await keyboard.type('Line one');
    await keyboard.down('Shift');
    await press('Enter');
    await keyboard.up('Shift');
    await keyboard.type('line two');
    assert.equal(world.model.count('Line one\nline two'), 0, 'Shift+Enter does not send');
    await press('Enter');
    const asked = await world.model.next('Line one\nline two');
    assert.match(await widget.focus(), /input/, 'sending leaves the focus where it was');
    asked.say('Reading ', 'aloud');
    await widget.sees('Reading aloud');
    await until('Tab comes to the stop button', async () => (await press('Tab'), (await widget.focus()).includes('send')));
    await press('Enter');
    await within('the stop button stops it', asked.left);
    await until('the log can be reached and read', async () => {
      await keyboard.down('Shift');
      await press('Tab');
      await keyboard.up('Shift');
      return (await widget.focus()).includes('log');
    });
    await press('Escape');
    await until('Escape closes it', async () => !(await widget.isOpen()));
    await until('the focus is back on the launcher', async () => (await widget.focus()).includes('launcher'));
    await press('Space');
    await until('it opens again', () => widget.isOpen());
    assert.ok((await widget.text()).includes('Reading aloud'));
  });
}

async function pagesThroughTheLog() {
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page);
    await widget.open();
    await talk(widget, 'A long one', Array.from({ length: 80 }, (_, line) => `Line ${line}.`).join('\n\n'));
    await widget.sees('Line 79.');
    const top = () => widget.look((root) => root.querySelector('[part~=log]').scrollTop);
    await until('it has scrolled to the newest message', async () => (await top()) > 500);
    const before = await top();
    await page.keyboard.press('PageUp');
    await until('PageUp scrolls the log from an empty input', async () => (await top()) < before - 50);
    await page.keyboard.press('PageDown');
    await until('PageDown scrolls it back', async () => (await top()) > before - 50);
  });
}

async function announcesWholeMessagesOnce() {
  await world.visit({}, async (page) => {
    const widget = await Widget.at(page);
    await widget.open();
    await widget.look((root) => {
      window.announced = [];
      for (const region of root.querySelectorAll('[aria-live=polite], [aria-live=assertive], [role=status], [role=alert]')) {
        // As a screen reader does: what is added is said, what is taken away is not.
        const take = (records) => {
          for (const { addedNodes, target, type } of records) {
            for (const node of type === 'characterData' ? [target] : addedNodes) window.announced.push(node.textContent.trim());
          }
        };
        new MutationObserver(take).observe(region, { subtree: true, childList: true, characterData: true });
      }
    });
    assert.equal(await widget.look((root) => root.querySelector('[part~=log]').getAttribute('aria-live')), 'off');
    await widget.say('Speak');
    const asked = await world.model.next('Speak');
    for (const word of ['These ', 'are ', '**several** ', 'words ']) {
      asked.say(word);
      await widget.sees(word.replaceAll('*', '').trim());
    }
    asked.end('[here](https://example.com).');
    await widget.sees('words here.');
    const whole = (line) => line.includes('These are several words here.');
    const said = () => page.evaluate(() => window.announced);
    await until(async () => `the message is announced: ${JSON.stringify(await said())}`, async () => (await said()).some(whole));
    const parts = (await said()).filter((line) => line.includes('These') && !whole(line));
    assert.deepEqual(parts, [], 'never a part of it');
    assert.equal((await said()).filter(whole).length, 1, 'once');
    const isEmpty = () => widget.look((root) => [...root.querySelectorAll('[aria-live=polite]')].every((region) => !region.textContent.includes('several')));
    await until('the region is emptied', isEmpty);
    assert.equal((await said()).filter(whole).length, 1, 'and not said again');
  });
}

async function isClosedToThePage() {
  await world.visit({ openShadow: false }, async (page) => {
    await page.goto(putPage());
    await until('the widget is there', () => page.evaluate(() => !!document.querySelector('chatelaine-chat')));
    assert.equal(await page.evaluate(() => document.querySelector('chatelaine-chat').shadowRoot), null);
    const insideOut = await page.evaluate(() => document.querySelector('chatelaine-chat').innerHTML);
    assert.equal(insideOut, '');
  });
}

export default () =>
  describe('the widget', () => {
    it('axe-core finds nothing on any state, light', () => axeFindsNothing('light'));
    it('axe-core finds nothing on any state, dark', () =>
      axeFindsNothing('dark', { media: [{ name: 'prefers-color-scheme', value: 'dark' }] }));
    it('axe-core finds nothing on any state, right to left', () => axeFindsNothing('arabic', { place: { lang: 'ar', dir: 'rtl' } }));
    it('axe-core finds nothing with a pale accent colour', () => axeFindsNothing('pale', { place: { attributes: { 'primary-color': '#ffe14d' } } }));
    it('axe-core finds nothing where the page is refused', axeFindsNothingWhereItIsRefused);
    it('is opened, written to, read, stopped and closed with the keyboard alone', worksWithTheKeyboardAlone);
    it('scrolls its log from an empty input', pagesThroughTheLog);
    it('announces each finished message once, and never a part of one', announcesWholeMessagesOnce);
    it('keeps its inside closed to the page', isClosedToThePage);
  });
