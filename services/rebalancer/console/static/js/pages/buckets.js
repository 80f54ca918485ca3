import { h } from '../dom.js';
import { all, call } from '../api.js';
import * as f from '../format.js';
import { ask, button, card, check, field, figure, form, table } from '../ui.js';
import browse from './objects.js';

export const bucketLink = (name, ...rest) => `#/buckets/${[name, ...rest].map(encodeURIComponent).join('/')}`;

export default function buckets(app, [name, what], query) {
  return what === 'objects' ? browse(app, name, query) : name ? one(app, name) : list(app);
}

function list(app) {
  let found = null;
  const page = {
    async load() { found = (await all('ListBuckets', 'buckets', 'name')).buckets; },
    view: () => [
      card(null, found ? table('Buckets', [
        { title: 'Bucket', cell: b => h('a', { href: bucketLink(b.name) }, b.name) },
        { title: 'Made', cell: b => f.time(b.created) },
        { title: 'Who may use it', wide: true, cell: b => f.plural(b.grants.length, 'grant') },
        { title: 'Objects', unseen: true, cell: b => h('a', { class: 'button small', href: bucketLink(b.name, 'objects'), 'aria-label': `Browse ${b.name}` }, 'Browse') },
      ], found, { key: b => b.name, empty: 'There is no bucket yet.' }) : h('p', { class: 'empty' }, 'Asking …')),
      card('Make a bucket', form(app, field('Name', { name: 'name', required: true, minlength: 3, maxlength: 63, autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' }, '3 to 63 small letters, digits, dots and hyphens'), 'Make it', async values => {
        await call('CreateBucket', { name: values.name });
        await page.load();
        return `The bucket ${values.name} is made. Nobody has rights on it yet.`;
      })),
    ],
  };
  return page;
}

export const rightsText = r => ['read', 'write', 'owner'].filter(k => r?.[k]).join(', ') || 'none';
const who = g => g.person ? ['person', g.person] : g.group ? ['group', g.group] : ['key', g.accessKey];

function one(app, name) {
  let b = null, keys = [], history = null, without = '', doubts = null; // what was in doubt when the bucket was opened here
  const page = {
    title: name,
    async load() {
      [b, keys] = await Promise.all([call('GetBucket', { name }).then(a => a.bucket), all('ListKeys', 'keys', 'accessKey').then(a => a.keys)]);
      try {
        history = (await call('BucketUsageHistory', { bucket: name })).points;
      } catch (e) {
        without = e.message;
      }
    },
    tools: () => h('div', { class: 'tools' }, h('a', { class: 'button', href: '#/buckets' }, 'All buckets'), h('a', { class: 'button', href: bucketLink(name, 'objects') }, 'Browse objects')),
    view() {
      if (!b) return h('p', { class: 'empty' }, 'Asking …');
      return [
        h('dl', { class: 'figures' }, figure('Objects', f.number(b.objects)), figure('Data', f.bytes(b.bytes)), figure('Uploads in progress', f.number(b.uploads)), figure('Made', f.ago(b.created), f.time(b.created))),
        b.closed && card('Closed', h('p', null, 'All clients are refused: a migration fills this bucket, and opens it at its end. Where the standalone that it comes from is lost, what was copied can be used without it.'),
          button(app, 'Open this bucket', async () => {
            if (!await ask(`Open the bucket ${name}?`, 'It may lack what was written at the standalone last, and the migration cannot go on after it.', 'Open it', { danger: true })) return;
            const opened = await call('OpenBucket', { name });
            doubts = Number(opened.inDoubt) > 0 ? { count: opened.inDoubt, keys: opened.keysInDoubt.map(f.utf8) } : null;
            await page.load();
            return opened.problem || 'The bucket is open. Give rights on it.';
          }, { kind: 'danger' })),
        doubts && card('Objects in doubt', h('p', null, `A write of the migration failed for ${f.plural(Number(doubts.count), 'object')}: what is read of them, or that they are missing, may still change by itself, until somebody writes or deletes them. Note them now, look at each, and upload it again or delete it.`),
          h('ul', null, doubts.keys.map(key => h('li', null, h('code', null, key)))), Number(doubts.count) > doubts.keys.length && h('p', null, `… and ${f.number(doubts.count - doubts.keys.length)} more.`)),
        card('Who may use it', table('Rights on the bucket', [
          { title: 'Who', cell: g => [who(g)[0], ' ', h('strong', null, g.name || who(g)[1]), g.name && h('small', null, h('code', null, g.accessKey))] },
          { title: 'May', cell: g => rightsText(g.rights) },
          { title: 'Change', unseen: true, cell: g => button(app, 'Take away', async () => {
            const [kind, id] = who(g);
            if (!await ask('Take these rights away?', `${kind} ${g.name || id} will not be able to ${rightsText(g.rights)} on ${name} any more.`, 'Take them away', { danger: true })) return;
            await call('DenyBucket', { bucket: name, [kind]: id, rights: { read: true, write: true, owner: true } });
            await page.load();
            return 'The rights are taken away.';
          }, { kind: 'small danger', label: `Take away the rights of ${g.name || who(g)[1]}` }) },
        ], b.grants.filter(g => rightsText(g.rights) !== 'none'), { key: g => who(g).join(), empty: 'Nobody has rights on it.' }),
        h('h3', null, 'Give rights'),
        form(app, [
          field('To', { name: 'kind', options: [['key', 'key'], ['person', 'person (LDAP)'], ['group', 'group (LDAP)']] }),
          field('Name', { name: 'id', required: true, list: 'keys', autocomplete: 'off' }, 'of a key: its access key or its name'),
          h('datalist', { id: 'keys' }, keys.map(k => h('option', { value: k.accessKey, key: k.accessKey }, k.name))),
          h('fieldset', null, h('legend', null, 'May'), check('read', { name: 'read', checked: true }), check('write', { name: 'write' }), check('owner', { name: 'owner' })),
        ], 'Give', async values => {
          await call('AllowBucket', { bucket: name, [values.kind]: values.id, rights: { read: !!values.read, write: !!values.write, owner: !!values.owner } });
          await page.load();
          return `${values.id} has more rights now.`;
        }, { kind: '' })),
        card('Size over time', without ? h('p', { class: 'empty' }, without) : history ? chart(history) : h('p', { class: 'empty' }, 'Asking …')),
        card('Settings', h('p', { class: 'soft' }, `Its ID is ${b.id}. Versions, times and other settings of S3 are set by S3 clients; deleting needs an empty bucket.`),
          button(app, 'Delete this bucket', async () => {
            if (!await ask(`Delete the bucket ${name}?`, 'It must be empty. Its name is free afterwards.', 'Delete it', { danger: true })) return;
            await call('DeleteBucket', { name });
            location.hash = '#/buckets';
          }, { kind: 'danger' })),
      ];
    },
  };
  return page;
}

// chart draws bytes over time; the first and last values are beside it in words.
export function chart(points) {
  if (points.length < 2) return h('p', { class: 'empty' }, 'It is noted once an hour: there is not enough yet to draw.');
  const first = new Date(points[0].time), last = points.at(-1), span = new Date(last.time) - first || 1;
  const most = Math.max(1, ...points.map(p => Number(p.bytes)));
  const line = points.map(p => `${(1000 * (new Date(p.time) - first) / span).toFixed(1)},${(95 - 90 * Number(p.bytes) / most).toFixed(2)}`);
  const text = `${f.bytes(points[0].bytes)} on ${f.time(points[0].time)}, ${f.bytes(last.bytes)} on ${f.time(last.time)}, at most ${f.bytes(most)}.`;
  return [h('svg', { class: 'chart', viewBox: '0 0 1000 100', preserveAspectRatio: 'none', role: 'img', 'aria-label': text },
    h('path', { d: `M0,100 L${line.join(' L')} L1000,100 Z` }), h('polyline', { points: line.join(' ') })),
  h('p', { class: 'soft' }, text, Number(last.savedBytes) > 0 && ` Sharing of equal chunks saves about ${f.bytes(last.savedBytes)}.`)];
}
