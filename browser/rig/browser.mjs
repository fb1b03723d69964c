// One headless Chromium for all tests, and a fresh profile for each visitor.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import puppeteer from 'puppeteer-core';

function findChromium() {
  const folders = process.env.PATH.split(delimiter);
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    for (const folder of folders) if (existsSync(join(folder, name))) return join(folder, name);
  }
  throw new Error('no chromium in PATH; scripts/test installs it');
}

export function launch(front) {
  return puppeteer.launch({
    executablePath: findChromium(),
    args: [
      `--host-resolver-rules=MAP *:443 127.0.0.1:${front.port}`,
      '--ignore-certificate-errors',
      // All hosts are this machine, so no page reaches into anybody's local network.
      '--disable-features=LocalNetworkAccessChecks',
      '--disable-gpu',
      '--hide-scrollbars',
      '--force-color-profile=srgb',
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    ],
  });
}

/** Runs in every document before its own scripts: opens shadow roots to the test, and remembers what the policy refused. */
function prepare() {
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (options) {
    return attach.call(this, { ...options, mode: 'open' });
  };
  window.violations = [];
  document.addEventListener('securitypolicyviolation', (event) => {
    window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
  });
}

/** A visitor with a profile of their own. `page.seen` is what the console said and what was asked for. */
export async function visit(browser, { openShadow = true, width = 1000, height = 760, media = [] } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.seen = { console: [], errors: [], requests: [], responses: [] };
  page.on('console', (message) => page.seen.console.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => page.seen.errors.push(String(error)));
  page.on('request', (request) => page.seen.requests.push(`${request.method()} ${request.url()}`));
  page.on('response', (response) => page.seen.responses.push({ url: response.url(), status: response.status() }));
  await page.setViewport({ width, height });
  await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }, ...media]);
  if (openShadow) await page.evaluateOnNewDocument(prepare);
  return page;
}
