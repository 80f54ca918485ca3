import { h } from '../dom.js';
import { all, call, objects } from '../api.js';
import * as f from '../format.js';
import { announce, ask, badge, button, card, field, form, table } from '../ui.js';
import { bucketLink, rightsText } from './buckets.js';

const expiries = [['3600', 'an hour'], ['86400', 'a day'], ['604800', 'a week']];

export default function browse(app, bucket, query) {
  const prefix = query.get('prefix') || '', versions = query.has('versions');
  let keys = null, key = query.get('key') || sessionStorage.getItem(`key ${bucket}`) || '', found = null, over = false, shared = null;
  const uploads = [];

  const where = (changes = {}) => {
    const q = new URLSearchParams();
    const now = { prefix, key, versions: versions ? '1' : '', ...changes };
    for (const [k, v] of Object.entries(now)) if (v) q.set(k, v);
    return `${bucketLink(bucket, 'objects')}?${q}`;
  };

  const page = {
    title: bucket,
    async load() {
      if (!keys) {
        const [b, known] = await Promise.all([call('GetBucket', { name: bucket }), all('ListKeys', 'keys', 'accessKey')]);
        const granted = b.bucket.grants.filter(g => g.accessKey && rightsText(g.rights) !== 'none');
        keys = granted.map(g => [g.accessKey, `${g.name || g.accessKey} (${rightsText(g.rights)})`]);
        if (!known.keys.some(k => k.accessKey === key) || !granted.some(g => g.accessKey === key)) key = keys[0]?.[0] || '';
      }
      if (key) found = await list();
    },
    leave: () => Promise.all(uploads.map(u => u.cancel ? u.cancel() : u.done || (u.problem ||= 'Cancelled.'))),
    tools: () => h('div', { class: 'tools' }, h('a', { class: 'button', href: bucketLink(bucket) }, 'Settings and rights'),
      h('a', { class: 'button', href: where({ versions: versions ? '' : '1' }) }, versions ? 'Hide versions' : 'Show versions'), button(app, 'Refresh', () => page.load())),
    view() {
      if (!keys) return h('p', { class: 'empty' }, 'Asking …');
      if (!key) return h('p', { class: 'message attention' }, 'No access key has rights on this bucket. ', h('a', { href: bucketLink(bucket) }, 'Give rights to one'), ', so that objects can be read with it.');
      return [
        h('section', { class: 'card' },
          field('With the rights of the key', { name: 'key', options: keys, value: key, onchange: e => { key = e.target.value; sessionStorage.setItem(`key ${bucket}`, key); found = null; app.load(); } }),
          h('p', null), crumbs(), found ? listing() : h('p', { class: 'empty' }, page.problem ? '' : 'Asking …'),
          found?.after && h('div', { class: 'row end' }, button(app, 'More', async () => {
            const more = await list(found);
            found = { ...more, prefixes: [...found.prefixes, ...more.prefixes], objects: [...found.objects, ...more.objects] };
          }))),
        shared && link(),
        uploader(),
      ];
    },
  };

  const list = after => objects.list({ key, bucket, prefix: prefix || undefined, versions: versions ? '1' : undefined, after: after?.after, afterVersion: after?.afterVersion });

  function crumbs() {
    const steps = prefix.split('/').slice(0, -1);
    return h('nav', { class: 'crumbs', 'aria-label': 'Folders' }, h('a', { href: where({ prefix: '' }) }, bucket),
      steps.map((s, i) => [' / ', h('a', { href: where({ prefix: steps.slice(0, i + 1).join('/') + '/' }) }, s || '(no name)')]), ' / ');
  }

  function listing() {
    const rows = [...found.prefixes.map(p => ({ prefix: p })), ...found.objects];
    const name = text => text.slice(prefix.length) || text;
    return table(`Objects below ${prefix || bucket}`, [
      { title: 'Name', wide: true, cell: o => o.prefix ? h('a', { href: where({ prefix: o.prefix }) }, name(o.prefix))
        : o.deleted ? [name(o.key), ' ', badge('neutral', 'deleted')] : h('a', { href: objects.download(at(o)), download: '' }, name(o.key)) },
      { title: 'Size', number: true, cell: o => o.prefix || o.deleted ? '' : f.bytes(o.size) },
      { title: 'Changed', cell: o => o.prefix ? '' : f.time(o.modified) },
      { title: 'Version', optional: true, cell: o => o.version && [h('code', { title: o.version }, o.version.slice(0, 12)), o.latest && badge('good', 'newest')] },
      { title: 'Do', unseen: true, cell: o => o.prefix ? '' : h('div', { class: 'row' },
        !o.deleted && button(app, 'Share', () => { shared = { object: o, url: '' }; announce('Choose below how long the link is good for.'); }, { kind: 'small', label: `Share ${o.key}` }),
        button(app, 'Delete', async () => {
          const text = o.version && versions ? `This version of ${o.key} goes for good.` : `${o.key} is deleted from ${bucket}.`;
          if (!await ask('Delete it?', text, 'Delete it', { danger: true })) return;
          await objects.remove(at(o));
          found = await list();
          return `${o.key} is deleted.`;
        }, { kind: 'small danger', label: `Delete ${o.key}` })) },
    ], rows, { key: o => o.prefix || `${o.key} ${o.version || ''}`, empty: prefix ? 'There is nothing below this prefix.' : 'The bucket is empty.' });
  }

  const at = o => ({ key, bucket, object: o.key, version: versions ? o.version : undefined });

  function link() {
    return h('section', { class: 'card', key: `share ${shared.object.key}` }, h('h2', null, `Share ${shared.object.key}`),
      form(app, field('Good for', { name: 'seconds', options: expiries }), 'Make a link', async values => {
        shared.url = (await objects.link({ ...at(shared.object), seconds: values.seconds })).url;
        return 'The link is made. Whoever has it can read the object until it expires.';
      }, { reset: false }),
      shared.url && h('p', null, h('a', { id: 'shared', class: 'mono', href: shared.url, rel: 'noreferrer' }, shared.url)),
      h('div', { class: 'row end' }, shared.url && button(app, 'Copy', async () => {
        await navigator.clipboard.writeText(shared.url);
        return 'The link is copied.';
      }), button(app, 'Close', () => { shared = null; })));
  }

  function uploader() {
    return card('Upload', h('div', {
      class: over ? 'drop over' : 'drop',
      ondragover: e => { e.preventDefault(); if (!over) { over = true; app.update(); } },
      ondragleave: () => { over = false; app.update(); },
      ondrop: e => { e.preventDefault(); over = false; send([...e.dataTransfer.files]); },
    }, field('Files', { name: 'files', type: 'file', multiple: true, onchange: e => { send([...e.target.files]); e.target.value = ''; } }),
    h('span', { class: 'soft' }, `They go to ${bucket}/${prefix}. You can also drop them here.`)),
    uploads.length > 0 && table('Uploads', [
      { title: 'File', wide: true, cell: u => u.name },
      { title: 'State', cell: u => badge(u.problem ? 'danger' : u.done ? 'good' : 'neutral', u.problem ? 'failed' : u.done ? 'stored' : u.cancel ? 'sending' : 'waiting') },
      { title: 'Sent', cell: u => [h('progress', { max: u.size || 1, value: u.done ? u.size || 1 : u.sent, 'aria-label': `${u.name} sent` }), ` ${f.bytes(u.sent)} of ${f.bytes(u.size)}`] },
      { title: 'Problem', optional: true, wide: true, cell: u => u.problem },
      { title: 'Do', unseen: true, optional: true, cell: u => u.cancel && !u.done && h('button', { type: 'button', class: 'small', 'aria-label': `Cancel ${u.name}`, onclick: () => u.cancel() }, 'Cancel') },
    ], uploads, { key: u => u.id }));
  }

  // send uploads one file after the other.
  async function send(files) {
    const mine = files.map(file => ({ id: `${uploads.length}-${file.name}-${Math.random()}`, file, name: file.name, size: file.size, sent: 0 }));
    uploads.push(...mine);
    for (const u of mine) {
      if (u.problem) continue; // it was cancelled while it waited
      const sending = objects.upload({ key, bucket, object: prefix + u.name }, u.file, app.session.partSize, n => { u.sent = n; app.update(); });
      u.cancel = sending.cancel;
      app.update();
      try {
        await sending.done;
        u.done = true;
        u.sent = u.size;
        announce(`${u.name} is stored.`);
      } catch (e) {
        u.problem = e.message;
        announce(`${u.name} is not stored: ${e.message}`);
      }
      u.cancel = null;
      app.update();
    }
    if (app.page === page) app.load();
  }

  return page;
}
