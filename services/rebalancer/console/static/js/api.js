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

async function ask(method, path, { query, body, headers, keepalive } = {}) {
  let answer;
  try {
    answer = await fetch(address(path, query), { method, body, headers: { 'X-Garage-Console': token, ...headers }, redirect: 'error', keepalive });
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
  // upload sends a file, in parts if it is larger than partSize, and tells progress the bytes that are sent. cancel answers when nothing is left of it.
  upload: (query, file, partSize, progress) => {
    const stop = new AbortController();
    const done = file.size > partSize ? inParts(query, file, partSize, progress, stop.signal) : put('object', query, file, file.type, progress, stop.signal);
    return { done, cancel: () => { stop.abort(); return done.then(() => {}, () => {}); } };
  },
};

// put sends bytes; it is an XMLHttpRequest because fetch does not tell how many are sent.
function put(path, query, bytes, type, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(), abort = () => request.abort();
    request.open('PUT', address(path, query));
    request.setRequestHeader('X-Garage-Console', token);
    request.setRequestHeader('Content-Type', type || 'application/octet-stream');
    request.upload.onprogress = e => progress(e.loaded);
    request.onload = () => {
      try {
        resolve(understand(request.status, request.responseText, true));
      } catch (e) {
        reject(e);
      }
    };
    request.onerror = () => reject(new Failure('Unavailable', 'The connection broke while the file was sent. Try again.'));
    request.onabort = () => reject(cancelled());
    request.onloadend = () => signal.removeEventListener('abort', abort);
    signal.addEventListener('abort', abort);
    request.send(bytes);
  });
}

const cancelled = () => new Failure('Canceled', 'Cancelled.');
const maxParts = 10_000; // S3 takes no more
const MiB = 2 ** 20;
const tries = 5;
const passing = ['Unavailable', 'DeadlineExceeded', 'ResourceExhausted', 'Internal'];

// inParts sends a file in parts, one after the other, so that only one has to be sent again when something fails. Of what is not completed nothing is left.
async function inParts(query, file, partSize, progress, signal) {
  const size = Math.max(partSize, Math.ceil(file.size / maxParts / MiB) * MiB), etags = [];
  const { upload } = await ask('POST', 'upload', { query, headers: { 'Content-Type': file.type || 'application/octet-stream' } });
  const of = { ...query, upload };
  try {
    for (let from = 0; from < file.size; from += size) {
      const part = file.slice(from, from + size), number = etags.length + 1;
      etags.push((await again(signal, () => put('upload', { ...of, number }, part, '', n => progress(from + n), signal))).etag);
    }
    return await again(signal, () => ask('POST', 'upload/complete', { query: of, body: JSON.stringify({ etags }) }));
  } catch (e) {
    try {
      await ask('DELETE', 'upload', { query: of, keepalive: true }); // also when the page goes
    } catch (left) {
      e.message += ` What was sent of it may be left in the bucket: ${left.message}`;
    }
    throw e;
  }
}

// again tries something a few times, if what it fails for may pass, unless it is to stop.
async function again(signal, action) {
  for (let n = 1; ; n++) {
    if (signal.aborted) throw cancelled();
    try {
      return await action();
    } catch (e) {
      if (signal.aborted) throw cancelled();
      if (n === tries || !passing.includes(e.code)) throw e;
    }
    await new Promise(resolve => {
      const timer = setTimeout(resolve, 500 * 2 ** n);
      signal.addEventListener('abort', () => { clearTimeout(timer); resolve(); }, { once: true });
    });
  }
}

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
