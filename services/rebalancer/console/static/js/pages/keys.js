import { h } from '../dom.js';
import { all, call } from '../api.js';
import * as f from '../format.js';
import { ask, badge, button, card, check, field, form, table } from '../ui.js';
import { bucketLink, rightsText } from './buckets.js';

export default function keys(app, [id]) {
  return id ? one(app, id) : list(app);
}

function secret(key) {
  return h('div', { class: 'secret' }, h('dl', { class: 'facts' }, h('dt', null, 'Access key'), h('dd', null, h('code', null, key.accessKey)), h('dt', null, 'Secret'), h('dd', null, h('code', { id: 'secret' }, key.secret))));
}

const name = { name: 'name', required: true, autocomplete: 'off', spellcheck: 'false' };

function list(app) {
  let found = null, made = null, answer = null;
  const page = {
    async load() { found = (await all('ListKeys', 'keys', 'accessKey')).keys; },
    view: () => [
      card('Built-in keys', found ? table('Keys', [
        { title: 'Name', cell: k => h('a', { href: `#/keys/${encodeURIComponent(k.accessKey)}` }, k.name || '(no name)') },
        { title: 'Access key', cell: k => h('code', null, k.accessKey) },
        { title: 'May make buckets', cell: k => k.createBuckets ? 'yes' : 'no' },
        { title: 'Made', cell: k => f.time(k.created) },
      ], found, { key: k => k.accessKey, empty: 'There is no key yet.' }) : h('p', { class: 'empty' }, 'Asking …')),
      h('div', { class: 'grid' },
        card('Make a key', form(app, [field('Name', { ...name, id: 'make' }), check('may make buckets', { name: 'buckets' })], 'Make it', async values => {
          made = (await call('CreateKey', { name: values.name, createBuckets: !!values.buckets })).key;
          await page.load();
          return `The key ${values.name} is made.`;
        }), made && secret(made)),
        card('Bring a key that exists', form(app, [
          field('Name', { ...name, id: 'import' }), field('Access key', { name: 'accessKey', required: true, autocomplete: 'off' }),
          field('Secret', { name: 'secret', type: 'password', required: true, autocomplete: 'off' }), check('may make buckets', { name: 'buckets' }),
        ], 'Import it', async values => {
          await call('ImportKey', { name: values.name, accessKey: values.accessKey, secret: values.secret, createBuckets: !!values.buckets });
          await page.load();
          return `The key ${values.name} is imported.`;
        }, { kind: '' }))),
      card('May somebody do something?', h('p', { class: 'soft' }, 'It tells what the gateway would decide now, and why: for a built-in key, or for a person as LDAP knows them.'),
        form(app, [
          field('May', { name: 'kind', options: [['key', 'the key'], ['person', 'the person (LDAP)'], ['', 'anybody, unsigned']] }),
          field('Who', { name: 'who', autocomplete: 'off', spellcheck: 'false' }),
          field('Do', { name: 'action', required: true, value: 'GET', list: 'actions', autocomplete: 'off', size: 14 }),
          h('datalist', { id: 'actions' }, ['GET', 'PUT', 'DELETE', 'HEAD', 'GetObject', 'PutObject', 'DeleteObject', 'ListObjectsV2', 'PutBucketPolicy'].map(a => h('option', { value: a, key: a }))),
          field('On the bucket', { name: 'bucket', required: true, autocomplete: 'off' }), field('Object', { name: 'object', autocomplete: 'off' }, 'empty: on the bucket itself'),
        ], 'Ask', async values => {
          answer = null;
          answer = await call('ExplainAccess', { [values.kind || 'key']: values.kind ? values.who : '', action: values.action, bucket: values.bucket, object: values.object });
          return answer.unknown ? 'It cannot be told.' : answer.allowed ? 'Yes, it is allowed.' : 'No, it is refused.';
        }, { reset: false }), answer && explained(answer)),
    ],
  };
  return page;
}

const verdicts = { VERDICT_ALLOWS: ['good', 'allows'], VERDICT_REFUSES: ['danger', 'refuses'], VERDICT_NOTE: ['neutral', 'note'] };

function explained(a) {
  return h('div', { class: 'secret' },
    h('p', null, a.unknown ? badge('unknown', 'it cannot be told') : badge(a.allowed ? 'good' : 'danger', a.allowed ? 'allowed' : 'refused'), ' ', a.unknown || `${a.operation} needs: ${rightsText(a.needed)}. There are: ${rightsText(a.has)}.`),
    a.groups.length > 0 && h('p', null, `Groups in LDAP: ${a.groups.join(', ')}`),
    !a.ldap && h('p', { class: 'soft' }, 'This server is given no LDAP server to ask, so nothing is known of people.'),
    h('ol', null, a.reasons.map(r => h('li', null, badge(...(verdicts[r.verdict] || ['unknown', '?'])), ` ${r.source}: ${r.text}`))));
}

function one(app, id) {
  let k = null, shown = null;
  const page = {
    title: 'Key',
    async load() {
      k = await call('GetKey', { key: id });
      page.title = k.key.name || k.key.accessKey;
    },
    tools: () => h('div', { class: 'tools' }, h('a', { class: 'button', href: '#/keys' }, 'All keys')),
    view() {
      if (!k) return h('p', { class: 'empty' }, 'Asking …');
      return [
        card('About it', h('dl', { class: 'facts' }, [['Access key', h('code', null, k.key.accessKey)], ['Name', k.key.name], ['Made', f.time(k.key.created)], ['May make buckets', k.key.createBuckets ? 'yes' : 'no']].map(([a, b]) => [h('dt', null, a), h('dd', null, b)])),
          shown ? secret(shown) : h('div', { class: 'row end' }, button(app, 'Show the secret', async () => { shown = (await call('GetKey', { key: id, showSecret: true })).key; return 'The secret is shown. The audit log has noted that.'; }))),
        card('Buckets', table('Buckets that it has rights on', [
          { title: 'Bucket', cell: b => h('a', { href: bucketLink(b.bucket) }, b.bucket) },
          { title: 'May', cell: b => rightsText(b.rights) },
        ], k.buckets, { key: b => b.bucket, empty: 'It has no rights on any bucket.' })),
        card('Delete it', h('p', { class: 'soft' }, 'Requests signed with it are refused then. What it has stored stays.'), button(app, 'Delete this key', async () => {
          if (!await ask(`Delete the key ${k.key.name || k.key.accessKey}?`, 'Whoever uses it loses access at once.', 'Delete it', { danger: true })) return;
          await call('DeleteKey', { key: k.key.accessKey });
          location.hash = '#/keys';
        }, { kind: 'danger' })),
      ];
    },
  };
  return page;
}
