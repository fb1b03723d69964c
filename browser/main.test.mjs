// The browser tests: one server, one browser, a fresh profile for each visitor. `scripts/test` builds and installs what they need.

import { after, before, describe } from 'node:test';
import { world } from './rig/world.mjs';
import accessibility from './tests/accessibility.mjs';
import allowed from './tests/allowed.mjs';
import challenge from './tests/challenge.mjs';
import dashboard from './tests/dashboard.mjs';
import dashboardPages from './tests/dashboard_pages.mjs';
import dashboardTalk from './tests/dashboard_talk.mjs';
import dropin from './tests/dropin.mjs';
import fetching from './tests/fetching.mjs';
import frame from './tests/frame.mjs';
import people from './tests/people.mjs';
import policy from './tests/policy.mjs';
import refused from './tests/refused.mjs';
import { renewal } from './tests/renewal.mjs';
import rendering from './tests/rendering.mjs';
import survey from './tests/survey.mjs';
import runLinks from './tests/run_links.mjs';
import runs from './tests/runs.mjs';
import trial from './tests/try.mjs';

describe('browsers', () => {
  before(() => world.start());
  after(async () => {
    await renewal.stop();
    await world.stop();
  });
  renewal.begins();
  fetching();
  allowed();
  refused();
  accessibility();
  policy();
  rendering();
  frame();
  dropin();
  survey();
  challenge();
  runs();
  runLinks();
  people();
  dashboard();
  dashboardPages();
  dashboardTalk();
  trial();
  renewal.goesOn();
});
