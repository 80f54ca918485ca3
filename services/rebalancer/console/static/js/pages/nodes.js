import { h } from '../dom.js';
import { call } from '../api.js';
import * as f from '../format.js';
import { badge, bar, button, card, figure, nodeName, progress, stateOf, table, taskState, tasks } from '../ui.js';

export default function nodes(app, [id]) {
  return id ? one(app, id) : list(app);
}

function list(app) {
  return {
    view() {
      const s = app.seen?.status;
      if (!s) return h('p', { class: 'empty' }, 'Asking the cluster how it is …');
      return card(null, table('Nodes', [
        { title: 'Node', cell: n => h('a', { href: `#/nodes/${n.id}` }, nodeName(n)) },
        { title: 'State', cell: n => badge(...stateOf(n)) },
        { title: 'Zone', cell: n => n.zone },
        { title: 'Room', cell: n => Number(n.capacity) > 0 ? [bar(n.capacity - n.free, n.capacity, `${f.percent(n.capacity - n.free, n.capacity)} used`, n.readOnly ? 'attention' : 'plain'), h('small', null, `${f.bytes(n.free)} free of ${f.bytes(n.capacity)}`)] : n.capacityText },
        { title: 'Chunks', number: true, cell: n => f.number(n.chunks) },
        { title: 'Partitions', number: true, cell: n => f.number(n.partitions) },
        { title: 'Rebalanced', cell: n => done(n, 'TASK_REBALANCE') },
        { title: 'Bad', number: true, cell: n => Number(n.quarantined) + Number(n.wanted) > 0 ? badge('danger', f.number(Number(n.quarantined) + Number(n.wanted))) : '0' },
        { title: 'Version', cell: n => n.version },
        { title: 'Problem', optional: true, wide: true, cell: n => n.problem },
      ], s.nodes, { key: n => n.id, empty: 'No node is known yet. Start a chunk-node: it shows up here by itself.' }));
    },
  };
}

function done(n, task) {
  const t = n.tasks.find(t => t.status.task === task)?.status;
  if (!t) return '';
  return t.state === 'TASK_STATE_IDLE' ? '100 %' : progress({ ...t, left: '' });
}

function one(app, id) {
  let damaged = null;
  const page = {
    title: `Node ${f.short(id)}`,
    async load(byItself) {
      const chunks = [], problems = new Set();
      for (let after = ''; chunks.length < 2000;) {
        const answer = await call('ListDamaged', { after, limit: 500 }, byItself);
        chunks.push(...answer.chunks);
        answer.problems.forEach(p => problems.add(p));
        if (!answer.more || !answer.chunks.length) break;
        after = answer.chunks.at(-1).hash;
      }
      damaged = { chunks: chunks.filter(c => c.nodes.includes(id)), problems: [...problems] };
    },
    changed(before) {
      const bad = seen => { const n = seen?.status?.nodes.find(n => n.id === id); return n && `${n.wanted} ${n.quarantined}`; };
      if (bad(before) !== bad(app.seen)) app.load(true);
    },
    tools: () => h('div', { class: 'tools' }, h('a', { class: 'button', href: '#/nodes' }, 'All nodes')),
    view() {
      const n = app.seen?.status?.nodes.find(n => n.id === id);
      if (!app.seen) return h('p', { class: 'empty' }, 'Asking the cluster how it is …');
      if (!n) return h('p', { class: 'message attention' }, 'The cluster knows no such node.');
      const command = (task, start, said) => async () => {
        const answer = await call('CommandNodes', { nodes: [id], task, start });
        const problem = answer.nodes.find(a => a.problem)?.problem;
        if (problem) throw new Error(problem);
        return said;
      };
      return [
        n.problem && h('p', { class: `message ${stateOf(n)[0] === 'danger' ? 'danger' : 'attention'}` }, n.problem),
        h('dl', { class: 'figures' },
          figure('State', badge(...stateOf(n)), `in ${n.zone || 'no zone'}`),
          figure('Chunks', f.number(n.chunks), `${f.bytes(n.bytes)}, ${f.bytes(n.storedBytes)} on disk`),
          figure('Free', f.bytes(n.free), `of ${f.bytes(n.capacity)}`),
          figure('Partitions', f.number(n.partitions), `${f.number(n.foreign)} chunks of others`),
          figure('Without a good copy', f.number(n.wanted), `${f.number(n.quarantined)} set aside`),
          figure('To hand over', f.number(n.owed), 'copies owed to others')),
        h('div', { class: 'grid' },
          card('About it', h('dl', { class: 'facts' }, facts(n).filter(([, v]) => v).map(([k, v]) => [h('dt', null, k), h('dd', null, v)]))),
          card('Since its start', h('dl', { class: 'facts' }, [
            ['Chunks read', `${f.number(n.reads)}, ${f.bytes(n.bytesRead)}`], ['Chunks written', `${f.number(n.writes)}, ${f.bytes(n.bytesWritten)}`],
            ['References added', f.number(n.references)], ['Deletions', f.number(n.deletes)], ['Errors', f.number(n.errors)],
            ['Collected', f.number(n.collected)], ['Waiting to be collected', f.number(n.uncollected)], ['In the trash', f.bytes(n.trashed)],
          ].map(([k, v]) => [h('dt', null, k), h('dd', null, v)])))),
        n.disks.length > 0 && card('Disks', table('Disks', [
          { title: 'Path', cell: d => h('code', null, d.path) },
          { title: 'State', cell: d => badge(d.failed ? 'danger' : 'good', d.failed ? 'out of use' : 'works') },
          { title: 'Room', cell: d => [bar(d.capacity - d.free, d.capacity, `${f.percent(d.capacity - d.free, d.capacity)} used`), h('small', null, `${f.bytes(d.free)} free of ${f.bytes(d.capacity)}`)] },
          { title: 'Problem', optional: true, wide: true, cell: d => d.failed },
        ], n.disks)),
        card('What it does', table('Tasks', [
          { title: 'Task', cell: t => tasks[t.status.task]?.[1] || t.status.task },
          { title: 'State', cell: t => badge(...taskState(t.status.state)) },
          { title: 'Progress', cell: t => progress({ ...t.status, left: t.left }) },
          { title: 'Problems', number: true, cell: t => f.number(t.status.problems) },
          { title: 'Remark', optional: true, wide: true, cell: t => t.status.note },
        ], n.tasks, { key: t => t.status.task }), h('p', null), h('p', null, h('a', { href: '#/work' }, 'Start, pause or slow down work'))),
        h('section', { class: 'card' }, h('h2', null, 'Checksum problems'),
          damaged ? [
            table('Chunks without a good copy', [
              { title: 'Chunk', cell: c => h('code', { title: c.hash }, c.hash.slice(0, 16)) },
              { title: 'State', cell: c => badge(c.lost ? 'danger' : 'attention', c.lost ? 'lost everywhere' : 'looked for') },
              { title: 'Since', cell: c => f.time(c.since) },
              { title: 'Objects', wide: true, cell: c => h('ul', { class: 'plain' }, c.objects.map(o => h('li', null, o.bucket ? h('a', { href: `#/buckets/${encodeURIComponent(o.bucket)}` }, `${o.bucket}/${o.key}`) : `attempt ${f.short(o.attempt)}`, ` (${o.state})`))) },
              { title: 'Problem', optional: true, wide: true, cell: c => c.problem },
            ], damaged.chunks, { key: c => c.hash, empty: 'Every chunk here that is known to be bad has been repaired, or none was bad.' }),
            damaged.problems.map(p => h('p', { class: 'message attention' }, `Not asked: ${p}`)),
          ] : h('p', { class: 'empty' }, 'Asking …'),
          h('div', { class: 'row end' },
            button(app, 'Check all checksums', command('TASK_SCRUB', true, 'The node reads all its chunks again.')),
            button(app, 'Repair now', command('TASK_REPAIR', true, 'The node compares its chunks with the others, and fetches what is missing.'), { kind: 'primary' }))),
      ];
    },
  };
  return page;
}

const facts = n => [
  ['ID', h('code', null, n.id)], ['Machine', n.machine], ['Address', n.address], ['Version', n.version],
  ['Last ping', n.consul ? `Consul’s checks: ${n.consul}` : n.alive ? 'it answers' : 'it does not answer'],
  ['Layout', n.layout !== '0' && `has adopted ${n.layout}, carried out ${n.walked}`], ['Capacity', n.capacityText],
];
