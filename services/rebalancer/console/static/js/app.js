// The frame around all pages: who is signed in, which page is shown, what is known of the cluster. Start reading here.
import { h, patch } from './dom.js';
import * as api from './api.js';
import { announce, badge } from './ui.js';
import signIn from './pages/signin.js';
import overview from './pages/overview.js';
import map from './pages/map.js';
import nodes from './pages/nodes.js';
import layout from './pages/layout.js';
import work from './pages/work.js';
import buckets from './pages/buckets.js';
import keys from './pages/keys.js';
import events from './pages/events.js';

const pages = { overview, map, nodes, layout, work, buckets, keys, events };
const titles = {
  overview: 'Overview', map: 'Map', nodes: 'Nodes', layout: 'Layout', work: 'Work', buckets: 'Buckets', keys: 'Keys and people', events: 'Events',
};

const app = {
  session: undefined, // undefined: not known yet; null: nobody is signed in
  seen: null, // what the server said last of the cluster
  live: false, // whether the server can be heard
  failure: null, // what went wrong last, and has not been read
  notice: null, // what went well last
  page: null,
  name: '',
  stop: () => {},

  // update shows what has changed, soon.
  update() {
    if (app.pending) return;
    app.pending = true;
    requestAnimationFrame(() => {
      app.pending = false;
      draw();
    });
  },

  // act does something for the operator. If it answers with a text, that is said.
  async act(button, action) {
    if (button) {
      if (button.getAttribute('aria-busy') === 'true') return;
      button.setAttribute('aria-busy', 'true');
    }
    app.failure = app.notice = null;
    app.update();
    try {
      const said = await action();
      if (typeof said === 'string') {
        app.notice = said;
        announce(said);
      }
    } catch (e) {
      app.failure = e.message;
      if (!(e instanceof api.Failure)) console.error(e);
    } finally {
      button?.removeAttribute('aria-busy');
      app.update();
    }
  },
};

// decoded is a part of the address; one that nobody could have encoded stays as it is.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function open(focus) {
  const [name, ...rest] = location.hash.replace(/^#\/?/, '').split('?')[0].split('/');
  const query = new URLSearchParams(location.hash.split('?')[1] || '');
  app.page?.leave?.();
  app.name = pages[name] ? name : 'overview';
  app.failure = app.notice = null;
  app.page = pages[app.name](app, rest.map(decoded), query);
  document.title = `${titles[app.name]} – Garage`;
  draw();
  load();
  window.scrollTo(0, 0);
  if (focus) document.getElementById('main')?.focus();
}

// load gets what the page needs beside the status.
async function load(byItself = false) {
  const page = app.page;
  if (!page.load) return;
  try {
    await page.load(byItself);
    page.problem = null;
  } catch (e) {
    page.problem = e.message;
    if (!(e instanceof api.Failure)) console.error(e);
  }
  app.update();
}
app.load = load;

function draw() {
  patch(document.getElementById('app'), app.session === undefined ? null : app.session === null ? signIn(app, signedIn) : frame());
}

function frame() {
  return [
    h('a', { class: 'skip', href: '#main', onclick: e => { e.preventDefault(); document.getElementById('main').focus(); } }, 'Skip to the content'),
    h('header', { class: 'top' },
      h('a', { class: 'brand', href: '#/overview' }, h('img', { src: 'icon.svg', alt: '', width: 26, height: 26 }), 'Garage'),
      h('span', { class: 'live', role: 'status' }, app.live ? badge('good', 'live') : badge('attention', 'not connected')),
      h('button', { type: 'button', class: 'menu', 'aria-expanded': String(!!app.menu), 'aria-controls': 'nav', onclick: () => { app.menu = !app.menu; app.update(); } }, 'Menu')),
    h('nav', { id: 'nav', class: app.menu ? 'side open' : 'side', 'aria-label': 'Pages' },
      h('ul', null, Object.entries(titles).map(([name, title]) => h('li', null,
        h('a', { href: `#/${name}`, 'aria-current': name === app.name ? 'page' : null }, title)))),
      h('div', { class: 'who' },
        h('p', null, 'Signed in with ', h('strong', null, app.session.operator)),
        h('label', null, 'Theme ', h('select', { onchange: e => theme(e.target.value), value: localStorage.getItem('theme') || 'system', 'aria-label': 'Theme' },
          h('option', { value: 'system' }, 'as the system'), h('option', { value: 'light' }, 'light'), h('option', { value: 'dark' }, 'dark'))),
        h('button', { type: 'button', onclick: e => app.act(e.currentTarget, async () => { await app.page?.leave?.(); await api.signOut(); leave(); }) }, 'Sign out'))),
    h('main', { id: 'main', tabindex: -1 },
      h('div', { class: 'head' }, h('h1', null, app.page.title || titles[app.name]), app.page.tools?.()),
      app.session && !app.live && app.seen && h('p', { class: 'message attention' }, 'The server cannot be heard: what you see is how it was last.'),
      h('div', { role: 'alert' }, app.failure && h('p', { class: 'message danger' }, app.failure)),
      app.notice && h('p', { class: 'message good' }, app.notice),
      app.page.problem && h('p', { class: 'message attention' }, app.page.problem),
      h('div', { key: location.hash.split('?')[0], class: 'page' }, app.page.view())),
  ];
}

function theme(choice) {
  if (choice === 'system') {
    localStorage.removeItem('theme');
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem('theme', choice);
    document.documentElement.dataset.theme = choice;
  }
  app.page?.redraw?.();
}

function signedIn(session) {
  app.session = session;
  app.over = '';
  let level = '';
  app.stop = api.follow(seen => {
    const before = app.seen;
    app.seen = seen;
    if (seen.verdict.level !== level) {
      if (level) announce(seen.verdict.sentence);
      level = seen.verdict.level;
    }
    app.page?.changed?.(before);
    app.update();
  }, live => {
    if (app.live === live) return;
    app.live = live;
    app.update();
  });
  open(true);
}

function leave(why = '') {
  if (!app.session) return;
  app.stop();
  app.page?.leave?.();
  Object.assign(app, { session: null, seen: null, live: false, page: null, over: why, menu: false });
  document.title = 'Sign in – Garage';
  app.update();
}

api.onSignedOut(() => leave('Your session is over. Sign in again.'));
window.addEventListener('hashchange', () => {
  if (!app.session) return;
  app.menu = false;
  open(true);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => app.page?.redraw?.());
window.addEventListener('pagehide', () => app.page?.leave?.());
api.session().then(signedIn, () => {
  app.session = null;
  document.title = 'Sign in – Garage';
  draw();
});
