// How pages speak to the server.

const base = new URL('../', import.meta.url);
let token = '';

// Failure is an error that the server answers with; code is that of gRPC, by name.
export class Failure extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

let signedOut = () => {};

// onSignedOut sets what is called when the session is over.
export function onSignedOut(f) {
  signedOut = f;
}

export function address(path, query) {
  const url = new URL(path, base);
  for (const [k, v] of Object.entries(query || {})) if (v !== undefined && v !== null) url.searchParams.set(k, v);
  return url.href;
}

async function ask(method, path, { query, body, headers } = {}) {
  let answer;
  try {
    answer = await fetch(address(path, query), { method, body, headers: { 'X-Garage-Console': token, ...headers }, redirect: 'error' });
  } catch {
    throw new Failure('Unavailable', 'The server does not answer. Is it running, and can this machine reach it?');
  }
  return understand(answer.status, await answer.text(), path !== 'sign-in');
}

function understand(status, text, inSession) {
  let said = {};
  try {
    said = text ? JSON.parse(text) : {};
  } catch {
    said = { code: 'Internal', message: `The server's answer is not understood (${status}).` };
  }
  if (status >= 200 && status < 300) return said;
  if (status === 401 && inSession) signedOut();
  throw new Failure(said.code || 'Internal', said.message || `The server answered ${status}.`);
}

// session tells who is signed in, or fails.
export async function session(byItself = false) {
  return begun(await ask('GET', 'session', byItself ? { headers: { 'X-Garage-Console-Unasked': '1' } } : {}));
}

export async function signIn(user, password) {
  return begun(await ask('POST', 'sign-in', { body: new URLSearchParams({ user, password }) }));
}

export function signOut() {
  return ask('POST', 'sign-out');
}

function begun(s) {
  token = s.token;
  return s;
}

// call calls a method of the admin API. byItself tells that nobody asked for it, so that it does not prolong the session.
export function call(method, request = {}, byItself = false) {
  const headers = { 'Content-Type': 'application/json' };
  if (byItself) headers['X-Garage-Console-Unasked'] = '1';
  return ask('POST', `api/${method}`, { body: JSON.stringify(request), headers });
}

// all calls a method that answers in pages, each of which says with more that another one follows.
export async function all(method, list, key, request = {}) {
  const found = [];
  for (let after = ''; ;) {
    const page = await call(method, { ...request, after, limit: 500 });
    found.push(...page[list]);
    if (!page.more || !page[list].length) return { ...page, [list]: found };
    after = page[list].at(-1)[key];
  }
}

export const objects = {
  list: query => ask('GET', 'objects', { query }),
  remove: query => ask('DELETE', 'object', { query }),
  link: query => ask('POST', 'link', { query }),
  download: query => address('object', query),
  // upload sends a file and tells progress the bytes that are sent; it is an XMLHttpRequest because fetch does not tell.
  upload: (query, file, progress) => {
    const request = new XMLHttpRequest();
    const done = new Promise((resolve, reject) => {
      request.open('PUT', address('object', query));
      request.setRequestHeader('X-Garage-Console', token);
      request.setRequestHeader('Content-Type', file.type || 'application/octet-stream');
      request.upload.onprogress = e => progress(e.loaded);
      request.onload = () => {
        try {
          resolve(understand(request.status, request.responseText, true));
        } catch (e) {
          reject(e);
        }
      };
      request.onerror = () => reject(new Failure('Unavailable', 'The connection broke while the file was sent. Try again.'));
      request.onabort = () => reject(new Failure('Canceled', 'Cancelled.'));
      request.send(file);
    });
    return { done, cancel: () => request.abort() };
  },
};

const silence = 30_000; // ms: three heartbeats of the server

// follow hears how the cluster is, whenever that changed. heard gets what the server says, and state whether it can be heard.
// It rests while the page cannot be seen.
export function follow(heard, state) {
  let source = null, watch = 0, retry = 0, over = false;
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(again, silence);
    state(true);
  };
  const close = () => {
    clearTimeout(watch);
    clearTimeout(retry);
    source?.close();
    source = null;
  };
  const again = () => {
    close();
    state(false);
    retry = setTimeout(open, 1000);
  };
  const open = () => {
    if (over || document.hidden) return;
    close();
    source = new EventSource(address('events'));
    source.addEventListener('hello', alive);
    source.addEventListener('alive', alive);
    source.addEventListener('status', e => {
      alive();
      heard(JSON.parse(e.data));
    });
    source.addEventListener('ended', () => signedOut());
    source.onerror = () => {
      // It may be that the session is over: asking tells.
      again();
      session(true).catch(() => {});
    };
  };
  const seen = () => document.hidden ? close() : open();
  document.addEventListener('visibilitychange', seen);
  open();
  return () => {
    over = true;
    document.removeEventListener('visibilitychange', seen);
    close();
  };
}
