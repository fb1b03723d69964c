// Every page of the dashboard with a workspace in use: axe-core, no sideways scrolling, nothing refused by the policy and nothing said to the
// console, light and dark, wide and narrow; the same without JavaScript; how much a first visit loads; and a picture of each.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before, describe, it } from 'node:test';
import { DESK, Desk, PASSWORD, Receiver } from '../rig/desk.mjs';
import { furnish } from '../rig/examples.mjs';
import { until } from '../rig/patience.mjs';
import { world } from '../rig/world.mjs';
import { pageIsAccessible } from './accessibility.mjs';

const SOURCE = fileURLToPath(new URL('../../crates/dashboard/src/', import.meta.url));
const PICTURES = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));
const OWNER = { workspace_name: 'Acme', name: 'Ada Lovelace', email: 'ada@example.com', password: PASSWORD };
/** What a first visit loads at most, as it comes over the wire. */
const MOST_BYTES = 60_000;
/** Whoever is signed in has no link to it. */
const WITHOUT_LINK = ['/_/sign-in', '/_/confirm'];
/** Files, and what answers with one. */
const IS_FILE = /\/export$/;

let desk;
let receiver;
let owner;
/** Of each kind of page, `/_/bots/{id}`, one address. */
const pages = new Map();

/** The paths of all pages in the source, with their places as `{…}`. */
function written() {
  const files = readdirSync(SOURCE, { recursive: true, withFileTypes: true }).filter(({ name }) => name.endsWith('.rs'));
  const found = new Set();
  for (const { parentPath, path, name } of files) {
    const text = readFileSync(`${parentPath ?? path}/${name}`, 'utf8');
    for (const [, where] of text.matchAll(/\b(?:page|Operation::get)\(\s*"(\/_\/[^"]*)"/g)) found.add(where.replace(/\{\w+\}/g, '{}'));
  }
  return [...found].filter((path) => !IS_FILE.test(path)).sort();
}

/** The kind of a page: its path without ids, numbers of versions and parameters. */
const kind = (path) => path.replace(/[?#].*/, '').replace(/\/[a-z]+_[0-9a-z]{26}(?=\/|$)/g, '/{}').replace(/\/versions\/\d+$/, '/versions/{}');

/** Goes wherever links lead, one page of each kind. */
async function findPages() {
  const headers = await owner.headers();
  const waiting = ['/_/'];
  const seen = new Set();
  const seenAs = new Map();
  while (waiting.length) {
    const path = waiting.shift();
    // Three of a kind: the first may lack what leads on.
    if (seen.has(path) || (seenAs.get(kind(path)) ?? 0) >= 3) continue;
    seen.add(path);
    seenAs.set(kind(path), (seenAs.get(kind(path)) ?? 0) + 1);
    const answer = await fetch(desk.server.url + path, { headers, redirect: 'manual' });
    if (!answer.headers.get('content-type')?.startsWith('text/html')) {
      assert.equal(answer.status, 200, `a link leads to ${path}`);
      await answer.body?.cancel();
      continue;
    }
    const text = await answer.text();
    assert.equal(answer.status, 200, `a link leads to ${path}: ${text.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ').slice(0, 300)}`);
    const known = pages.get(kind(path));
    if (!known || text.length > known.size) pages.set(kind(path), { path, size: text.length });
    for (const [, link] of text.matchAll(/<a\b[^>]*?\bhref="(\/_\/[^"]*)/g)) waiting.push(link.replace(/&(amp|#38);/g, '&').replace(/#.*/, ''));
  }
  for (const path of WITHOUT_LINK) if (written().includes(path)) pages.set(path, { path, size: 0 });
}

/** A picture's name: of `/_/bots/{}/try` it is `bots-id-try`. */
const pictureOf = (where) => where.replaceAll('{}', 'id').split('/').filter((part) => part && part !== '_').join('-') || 'home';

const themed = (page, theme) =>
  page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }, { name: 'prefers-color-scheme', value: theme }]);

async function take(page, where, name) {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: `${PICTURES}${pictureOf(where)}-${name}.png`, fullPage: true });
}

async function fits(page, where) {
  const [wide, window, which] = await page.evaluate(() => {
    const over = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, pre'));
    return [document.documentElement.scrollWidth, innerWidth, over.slice(0, 3).map((one) => one.outerHTML.slice(0, 120))];
  });
  assert.ok(wide <= window, `${where} is ${wide} wide in ${window}: ${which.join('\n')}`);
}

/** What stands beside something else stands level with it, and the menu's edge goes down to the end. */
async function isLevel(page, where) {
  const wrong = await page.evaluate(() => {
    const box = (one) => one.getBoundingClientRect();
    const told = [];
    for (const form of document.querySelectorAll('form.filters')) {
      const fields = [...form.querySelectorAll('.field > :is(input, select)')].map(box).filter(({ height }) => height);
      for (const one of fields)
        for (const other of fields)
          if (Math.abs(one.bottom - other.bottom) < 1 && Math.abs(one.top - other.top) > 2) told.push(`fields of a row are ${one.height} and ${other.height} high`);
    }
    const menu = box(document.querySelector('.menu') ?? document.body);
    if (innerWidth > 1000 && menu.bottom < document.documentElement.scrollHeight - scrollY - 1) told.push('the menu ends before the page');
    return told;
  });
  assert.deepEqual(wrong, [], where);
}

/** One page at one width, in both lights. */
async function isSound(where, path, width) {
  const { page } = owner;
  const device = width < 600 ? 'phone' : 'desktop';
  await page.setViewport({ width, height: width < 600 ? 640 : 900 });
  await themed(page, 'light');
  owner.forgets();
  const answer = await owner.goto(path);
  assert.equal(answer.status(), 200, path);
  for (const theme of ['light', 'dark']) {
    await themed(page, theme);
    await pageIsAccessible(page, `${where}, ${theme}, ${device}`);
    await fits(page, `${where}, ${device}`);
    await isLevel(page, `${where}, ${device}`);
    const high = await page.$eval('.top', (header) => header.getBoundingClientRect().height);
    assert.ok(high <= 100, `the header is ${high} pixels high`);
    await take(page, where, `${theme}-${device}`);
  }
  for (const between of width < 600 ? [] : [1040, 800, 600]) {
    await page.setViewport({ width: between, height: 900 });
    await fits(page, where);
  }
  await owner.isQuiet(`${where}, ${device}`);
}

/** Everything wrong with all pages, and not the first alone. */
async function forEachPage(use) {
  const wrong = [];
  for (const [where, { path }] of pages) await use(where, path).catch((error) => wrong.push(`${where}\n${error.message}`));
  assert.equal(wrong.length, 0, `${wrong.length} pages\n\n${wrong.join('\n\n')}`);
}

async function hasNoOrphans() {
  const missing = written().filter((path) => !pages.has(path));
  assert.deepEqual(missing, [], `no link leads to these; links lead to ${[...pages.keys()].join(' ')}`);
}

async function readsWithoutScripts() {
  const person = await desk.person({ hasScript: false, width: 320, height: 640 });
  await person.goto('/_/');
  await person.signsIn(OWNER.email);
  const { page } = person;
  for (const [button, link] of [['Menu', 'API keys'], ['You', 'Sign out']]) {
    assert.equal(await person.has(link), false, 'on a phone what leads elsewhere waits behind a button');
    await person.press(button);
    await until(`${button} shows ${link}`, () => person.has(link));
    await page.keyboard.press('Escape');
  }
  await forEachPage(async (where, path) => {
    person.forgets();
    const answer = await person.goto(path);
    assert.equal(answer.status(), 200);
    const seen = await page.evaluate(() => ({
      h1: document.querySelectorAll('h1').length,
      words: document.querySelector('main').innerText.trim().length,
      dead: [...document.querySelectorAll('button:not([hidden])')]
        .filter((one) => !one.form && !one.popoverTargetElement && one.getClientRects().length > 0)
        .map((one) => one.outerHTML.slice(0, 120)),
    }));
    assert.equal(seen.h1, 1, 'one heading of the first level');
    assert.ok(seen.words > 20, `it says something: ${seen.words} letters`);
    assert.deepEqual(seen.dead, [], 'no button that only a script could do something with');
    await fits(page, where);
    await person.isQuiet(where);
  });
}

/** The bytes that come over the wire to somebody who was never here. */
async function firstVisit(path, cookies) {
  const context = await world.browser.createBrowserContext();
  try {
    await context.setCookie(...cookies);
    const page = await context.newPage();
    const session = await page.createCDPSession();
    await session.send('Network.enable');
    let bytes = 0;
    session.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
    await page.goto(DESK + path, { waitUntil: 'load' });
    return bytes;
  } finally {
    await context.close();
  }
}

async function isLight() {
  const cookies = await owner.page.browserContext().cookies();
  let most = ['', 0];
  await forEachPage(async (where, path) => {
    const bytes = await firstVisit(path, cookies);
    if (bytes > most[1]) most = [where, bytes];
    assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
  });
  console.log(`dashboard: a first visit loads ${most[1]} bytes at most, of ${most[0]}`);
}

export default () =>
  describe('the pages of the dashboard', () => {
    before(async () => {
      [desk, receiver] = await Promise.all([Desk.start(), Receiver.start()]);
      desk.server.secret = (await desk.server.ask('POST', '/v1/setup', { token: desk.token, ...OWNER }, 201, null)).key;
      await furnish(desk.server, world.model, receiver);
      owner = await desk.person();
      await owner.goto('/_/');
      await owner.signsIn(OWNER.email);
      await until('the owner is signed in', () => owner.path === '/_/');
      await findPages();
    });
    after(async () => {
      receiver?.stop();
      await desk?.stop();
    });

    it('are all where links lead', hasNoOrphans);
    it('are accessible, quiet and not too wide, 1280 pixels wide', () => forEachPage((where, path) => isSound(where, path, 1280)));
    it('are accessible, quiet and not too wide, 320 pixels wide', () => forEachPage((where, path) => isSound(where, path, 320)));
    it('read without JavaScript', readsWithoutScripts);
    it('load little on a first visit', isLight);
  });
