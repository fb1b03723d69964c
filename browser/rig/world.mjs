// Everything that a test needs, started once for all of them.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launch, visit } from './browser.mjs';
import { Front } from './front.mjs';
import { Model } from './model.mjs';
import { Server } from './server.mjs';

export const CHAT = 'https://chat.test';
/** A page of the customer whose keys list `example.com`. */
export const SHOP = 'https://shop.example.com';

const PICTURES = fileURLToPath(new URL('../../target/browser/', import.meta.url));

class World {
  async start() {
    [this.front, this.model, this.server] = await Promise.all([Front.start(), Model.start(), Server.start(CHAT)]);
    this.proxy = this.front.serve(this.server);
    [this.browser, this.bot, this.echo, this.key] = await Promise.all([
      launch(this.front),
      this.server.makeBot(this.model, 'manual'),
      this.server.makeBot(this.model, 'echo'),
      this.server.makeWidgetKey('example.com'),
    ]);
  }

  async stop() {
    await this.browser?.close();
    await this.server?.stop();
    this.model?.stop();
    this.front?.stop();
  }

  /** Where the picture of this name goes. */
  picture(name) {
    mkdirSync(PICTURES, { recursive: true });
    return `${PICTURES}${name}.png`;
  }

  /** Runs `use` with a visitor's page and closes their profile after it. */
  async visit(options, use) {
    const page = await visit(this.browser, options);
    try {
      return await use(page);
    } finally {
      this.proxy.refuses = this.proxy.refusesSockets = this.proxy.swallows = false;
      this.proxy.answer = undefined;
      await page.browserContext().close();
    }
  }
}

export const world = new World();
