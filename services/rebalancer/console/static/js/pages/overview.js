import { h } from '../dom.js';
import * as f from '../format.js';
import { badge, bar, card, figure, icons, nodeName, progress, stacked, stateOf, table, taskState, tasks, work } from '../ui.js';

export default function overview(app) {
  return { view: () => app.seen ? show(app.seen) : h('p', { class: 'empty' }, 'Asking the cluster how it is …') };
}

function show(seen) {
  const s = seen.status;
  return [
    verdict(seen.verdict),
    s && figures(seen, s),
    s && seen.copies && copies(seen.copies, s.replication),
    s && background(s),
    s && space(s),
    s && services(s),
  ];
}

function verdict(v) {
  return h('section', { class: `verdict ${v.level}`, 'aria-label': 'Is my data safe?' },
    h('span', { class: 'sign', 'aria-hidden': 'true' }, icons[v.level]),
    h('div', null, h('p', { class: 'sentence', id: 'verdict' }, v.sentence),
      v.reasons.length > 0 && h('ul', null, v.reasons.slice(0, 8).map(r => h('li', null, r)), v.reasons.length > 8 && h('li', null, `and ${v.reasons.length - 8} more`))));
}

function figures(seen, s) {
  const alive = s.nodes.filter(n => n.alive).length;
  const stored = s.nodes.reduce((sum, n) => sum + Number(n.storedBytes), 0);
  const t = seen.traffic;
  return h('dl', { class: 'figures' },
    figure('Nodes alive', `${alive} of ${s.nodes.length}`, f.plural(new Set(s.nodes.map(n => n.zone)).size, 'zone')),
    figure('Objects', f.number(s.objects), `in ${f.plural(s.buckets, 'bucket')}`),
    figure('Data', f.bytes(s.bytes), `${f.bytes(stored)} on disks, ${f.plural(s.replication, 'copy', 'copies')}`),
    t && figure('Requests', t.rates ? `${f.rate(t.rates.requests)} /s` : f.number(t.counters?.requests), t.rates ? `${f.number(t.counters?.requests)} since the start` : 'since the start'),
    t && figure('Errors', t.rates ? `${f.rate(t.rates.errors)} /s` : f.number(t.counters?.errors), `${f.number(t.counters?.errors)} since the start, ${f.number(t.counters?.refused)} refused`),
    figure('Layout', s.layout === '0' ? 'none' : s.layout, s.oldestLayout !== s.layout ? `moving from ${s.oldestLayout}` : f.plural(s.uploads, 'upload') + ' in progress'));
}

function copies(byCopies, wanted) {
  const level = n => n >= wanted ? 'good' : n === 0 ? 'danger' : 'attention';
  const parts = byCopies.map((value, n) => ({ value, level: level(n), label: f.plural(n, 'good copy', 'good copies') })).filter(p => p.value > 0).reverse();
  return card('Partitions by number of good copies',
    stacked(parts, parts.map(p => `${f.number(p.value)} with ${p.label}`).join(', ')),
    h('ul', { class: 'legend' }, parts.map(p => h('li', null, badge(p.level, `${f.number(p.value)} with ${p.label}`)))),
    h('p', null, h('a', { href: '#/map' }, 'See all of them on the map')));
}

function background(s) {
  const busy = work(s).filter(t => t.state !== 'TASK_STATE_IDLE');
  return card('In the background', table('Work in the background', [
    { title: 'What', cell: t => tasks[t.task]?.[1] || t.task },
    { title: 'Node', cell: t => h('a', { href: `#/nodes/${t.node.id}` }, nodeName(t.node)) },
    { title: 'State', cell: t => badge(...taskState(t.state)) },
    { title: 'Progress', cell: progress },
    { title: 'Moved', number: true, cell: t => f.bytes(t.bytes) },
    { title: 'Remark', optional: true, wide: true, cell: t => t.note },
  ], busy, { empty: 'Nothing is going on: all nodes are at rest.', key: t => t.node.id + t.task }),
  s.waiting.length > 0 && h('ul', null, s.waiting.map(w => h('li', null, `Layout ${w.layout} waits for the node ${f.short(w.node)}: ${w.reason}`))));
}

function space(s) {
  const nodes = s.nodes.filter(n => Number(n.capacity) > 0);
  return card('Room', table('Room on nodes', [
    { title: 'Node', cell: n => h('a', { href: `#/nodes/${n.id}` }, nodeName(n)) },
    { title: 'Zone', cell: n => n.zone },
    { title: 'State', cell: n => badge(...stateOf(n)) },
    { title: 'Used', cell: n => bar(n.capacity - n.free, n.capacity, f.percent(n.capacity - n.free, n.capacity) + ' used', n.readOnly ? 'attention' : 'plain') },
    { title: 'Free', number: true, cell: n => `${f.bytes(n.free)} of ${f.bytes(n.capacity)}` },
  ], nodes, { key: n => n.id, empty: 'No node says how much room it has.' }));
}

function services(s) {
  return card('Services', table('Services', [
    { title: 'Service', cell: v => v.name },
    { title: 'State', cell: v => badge(v.healthy ? 'good' : 'danger', v.healthy ? v.active ? 'healthy, active' : 'healthy' : 'cannot serve') },
    { title: 'Address', optional: true, cell: v => v.address },
    { title: 'Machine', optional: true, cell: v => [v.machine, v.zone].filter(Boolean).join(', ') },
    { title: 'Version', optional: true, cell: v => v.version },
    { title: 'Problem', optional: true, wide: true, cell: v => v.problem },
  ], s.services));
}
