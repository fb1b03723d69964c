// The browser tests: one server, one browser, a fresh profile for each visitor. `scripts/test` builds and installs what they need.

import { after, before, describe } from 'node:test';
import { world } from './rig/world.mjs';
import fetching from './tests/fetching.mjs';

describe('browsers', () => {
  before(() => world.start());
  after(() => world.stop());
  fetching();
});
