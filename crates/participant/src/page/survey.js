// The survey's page without loading it anew: a form is sent by fetch, and what comes back takes the place of `main`. Whatever goes
// wrong on the way, the browser sends the form itself.
(() => {
  'use strict';
  const said = document.getElementById('said');
  const [SOON, LATE] = [500, 10000];
  let isBusy = false;
  let pause = SOON;
  let timer;

  const place = () => document.querySelector('main');

  async function get(url, options) {
    const answer = await fetch(url, { ...options, headers: { accept: 'text/html' }, credentials: 'same-origin' });
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const main = page.querySelector('main');
    if (!main) throw new Error('no page');
    return { status: answer.status, url: answer.url, title: page.title, header: page.querySelector('header'), main };
  }

  function show({ url, title, header, main }) {
    const news = main.querySelector('[data-news] .words')?.textContent ?? '';
    document.title = title;
    history.replaceState(null, '', url);
    document.querySelector('header')?.remove();
    if (header) document.body.prepend(document.adoptNode(header));
    place().replaceWith(document.adoptNode(main));
    const target = main.querySelector('[data-focus]');
    target?.focus({ preventScroll: true });
    (target?.localName === 'textarea' ? target : main).scrollIntoView({ block: target?.localName === 'textarea' ? 'nearest' : 'start' });
    // A focused heading is read out by itself; what an agent said is not.
    said.textContent = target?.localName === 'textarea' ? news : '';
    watch();
  }

  // While the page waits for others, it looks again: soon at first, later less often.
  function watch() {
    clearTimeout(timer);
    if ('waits' in place().dataset) timer = setTimeout(look, pause);
    else pause = SOON;
  }

  async function look() {
    pause = Math.min(pause * 1.5, LATE);
    try {
      const next = document.hidden || (await get(location.href));
      if (next !== true && next.status < 429 && next.main.innerHTML !== place().innerHTML) {
        pause = SOON;
        return show(next);
      }
    } catch {
      // The next look may find it.
    }
    watch();
  }

  // What a survey asks a visitor's machine to prove before it starts; `solve` is in challenge.js.
  async function prove(form, data) {
    if (!form.dataset.challenge) return;
    said.textContent = 'One moment';
    const { nonce, difficulty } = await (await fetch(form.dataset.challenge)).json();
    if (!difficulty) return;
    data.set('nonce', nonce);
    data.set('solution', await solve(nonce, difficulty));
  }

  /** Why it was not taken, where it was written: nothing of that is lost. */
  function refuse(form, { main }) {
    const words = form.querySelector('.problem') ?? document.createElement('p');
    words.className = 'problem';
    words.setAttribute('role', 'alert');
    words.textContent = [...main.children].map((part) => part.textContent).join('. ');
    form.querySelector('.actions').before(words);
  }

  async function send(form, button) {
    isBusy = true;
    clearTimeout(timer);
    form.setAttribute('aria-busy', 'true');
    try {
      const data = new FormData(form);
      if (button?.name) data.set(button.name, button.value);
      await prove(form, data);
      const next = await get(form.action, { method: 'POST', body: new URLSearchParams(data) });
      if (next.status === 429 || next.status >= 500) refuse(form, next);
      else show(next);
    } catch {
      form.dataset.plain = '';
      form.requestSubmit(button);
    } finally {
      isBusy = false;
      form.removeAttribute('aria-busy');
    }
  }

  document.addEventListener('submit', (event) => {
    const form = event.target;
    if ('plain' in form.dataset) return;
    event.preventDefault();
    if (!isBusy) void send(form, event.submitter);
  });
  document.addEventListener('keydown', (event) => {
    const { target, key } = event;
    if (target.id !== 'text' || key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    target.form.requestSubmit(target.form.querySelector('button'));
  });
  // A page from the browser's memory may be of yesterday.
  addEventListener('pageshow', (event) => event.persisted && location.reload());
  watch();
})();
