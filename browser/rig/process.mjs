// Programs that the tests start: their output line by line, and their end with ours.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const children = new Set();
const folders = new Set();

function sweep() {
  for (const child of children) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}
process.on('exit', sweep);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

/** A directory that is gone when the tests are. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'chatelaine-browser-'));
  folders.add(folder);
  return folder;
}

/** A running program. Of our environment it gets PATH and HOME alone. */
export class Program {
  constructor(path, args, settings = {}) {
    this.path = path;
    this.lines = [];
    this.waiting = new Set();
    const { PATH, HOME } = process.env;
    this.child = spawn(path, args, { env: { PATH, HOME, ...settings }, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(this.child);
    this.ended = new Promise((resolve) => {
      this.child.once('error', (error) => resolve(this.#finish(error.message)));
      this.child.once('exit', (code, signal) => resolve(this.#finish(`ended with ${signal ?? code}`)));
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => this.#take(line));
    }
  }

  #take(line) {
    this.lines.push(line);
    for (const waiter of this.waiting) if (waiter.pattern.test(line)) waiter.resolve(line.match(waiter.pattern));
  }

  #finish(why) {
    children.delete(this.child);
    const sentence = `${this.path} ${why}:\n${this.lines.join('\n')}`;
    for (const waiter of this.waiting) waiter.reject(new Error(sentence));
    if (!this.isStopping) console.error(sentence);
    return why;
  }

  /** The match of the first line, printed or to come, that `pattern` finds. */
  async line(pattern) {
    for (const line of this.lines) if (pattern.test(line)) return line.match(pattern);
    let waiter;
    const found = new Promise((resolve, reject) => (waiter = { pattern, resolve, reject }));
    this.waiting.add(waiter);
    const timer = setTimeout(() => waiter.reject(new Error(`no ${pattern} from ${this.path}:\n${this.lines.join('\n')}`)), 20_000);
    try {
      return await found;
    } finally {
      clearTimeout(timer);
      this.waiting.delete(waiter);
    }
  }

  async stop() {
    this.isStopping = true;
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5_000);
    await this.ended;
    clearTimeout(timer);
  }
}
