import { h } from '../dom.js';
import { call } from '../api.js';
import * as f from '../format.js';
import { badge, button, card, field, table } from '../ui.js';

const severities = { SEVERITY_INFO: ['neutral', 'info'], SEVERITY_WARNING: ['attention', 'warning'], SEVERITY_ERROR: ['danger', 'error'] };
const kinds = {
  NODE: 'nodes', DISK: 'disks', DAMAGE: 'damage and repair', LAYOUT: 'layout', LEADER: 'active rebalancer', TASK: 'work', DEPENDENCY: 'Consul, database, LDAP',
  VERSION: 'versions', SERVICE: 'services', AUDIT: 'what operators did', LOG: 'this log',
};
const kindOf = e => e.kind.replace('EVENT_KIND_', '');

// eventTable shows events, newest first.
export function eventTable(events) {
  return table('Events', [
    { title: 'When', cell: e => h('time', { datetime: e.time, title: f.ago(e.time) }, f.time(e.time)) },
    { title: 'Level', cell: e => badge(...(severities[e.severity] || ['unknown', 'unknown'])) },
    { title: 'About', cell: e => kinds[kindOf(e)] || kindOf(e).toLowerCase() },
    { title: 'What', wide: true, cell: e => what(e) },
  ], events, { key: e => e.id, empty: 'Nothing of that kind has happened.' });
}

function what(e) {
  const a = e.audit;
  if (!a) return e.text;
  return [h('strong', null, a.actor), ` ${a.method}`, a.from && ` from ${a.from}`, a.error && h('span', { class: 'danger' }, `: ${a.error}`),
    a.arguments && a.arguments !== '{}' && h('small', null, h('code', null, a.arguments))];
}

export default function events(app) {
  let found = [], next = '', problems = [], kind = '', least = '', loaded = false;
  const page = {
    async load(byItself, cursor = '') {
      const answer = await call('ListEvents', { cursor, limit: 100, kinds: kind ? [`EVENT_KIND_${kind}`] : [], least: least || undefined }, byItself);
      found = cursor ? [...found, ...answer.events] : answer.events;
      ({ next, problems } = answer);
      loaded = true;
    },
    tools: () => h('div', { class: 'tools' }, button(app, 'Refresh', () => page.load())),
    view: () => [
      h('section', { class: 'card' },
        h('div', { class: 'fields' },
          field('About', { name: 'kind', options: [['', 'everything'], ...Object.entries(kinds)], onchange: e => { kind = e.target.value; app.load(); } }),
          field('Level', { name: 'least', options: [['', 'all'], ['SEVERITY_WARNING', 'warnings and errors'], ['SEVERITY_ERROR', 'errors'] ], onchange: e => { least = e.target.value; app.load(); } })),
        h('p', null),
        problems.map(p => h('p', { class: 'message attention' }, p)),
        loaded ? eventTable(found) : h('p', { class: 'empty' }, page.problem ? '' : 'Asking …'),
        next && h('div', { class: 'row end' }, button(app, 'Older', () => page.load(false, next)))),
    ],
  };
  return page;
}
