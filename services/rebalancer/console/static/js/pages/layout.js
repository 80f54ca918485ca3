import { h } from '../dom.js';
import { call } from '../api.js';
import * as f from '../format.js';
import { ask, badge, button, card, check, field, form, nodeName, stateOf, table } from '../ui.js';

export default function layout(app) {
  let l = null, plan = null, fixed = '', chosen = '', force = false;

  const page = {
    async load(byItself) {
      try {
        l = await call('GetLayout', {}, byItself);
        fixed = '';
      } catch (e) {
        if (e.code !== 'FailedPrecondition') throw e;
        fixed = e.message;
        return;
      }
      plan = staged() ? await call('PlanLayout', {}, byItself) : null;
    },
    changed(before) {
      const about = seen => seen?.status && [seen.status.layout, seen.status.oldestLayout, ...seen.status.nodes.map(n => n.id + n.state + n.alive)].join();
      if (about(before) !== about(app.seen)) app.load(true);
    },
    tools: () => h('div', { class: 'tools' }, button(app, 'Refresh', () => page.load())),
    view() {
      if (fixed) return [card('The layout is fixed', h('p', null, fixed)), app.seen?.status && current(app.seen.status.nodes)];
      if (!l) return h('p', { class: 'empty' }, 'Asking for the layout …');
      return [
        l.problem && h('p', { class: 'message attention' }, l.problem),
        l.recovered && h('p', { class: 'message attention' }, `Layout ${l.recovered.layout} was put back at ${f.time(l.recovered.at)} as ${l.recovered.from} had it, since Consul had lost data. Changes that were staged must be staged again.`),
        summary(),
        current(l.nodes),
        stage(),
        staged() && change(),
        past(),
      ];
    },
  };

  const staged = () => l?.staged && (l.staged.replication > 0 || l.staged.assign.length > 0 || l.staged.remove.length > 0);
  const name = id => { const n = l.nodes.find(n => n.id === id); return n ? nodeName(n) : f.short(id); };
  const wish = id => l.current?.nodes.find(n => n.id === id);
  const then = async (said, promise) => {
    await promise;
    await page.load();
    return said;
  };

  function summary() {
    if (!l.current) return h('p', { class: 'message attention' }, 'No layout is in force, so nothing can be stored. Stage at least one node, look at the plan, and apply it.');
    return card(`Layout ${l.current.number}`,
      h('p', null, `${f.plural(l.current.replication, 'copy', 'copies')} of everything on ${f.plural(l.current.nodes.length, 'node')}; room for ${f.bytes(l.current.usable)}, each byte counted once.`),
      l.oldest !== l.current.number && h('p', null, badge('attention', 'moving'), ` The layouts from ${l.oldest} on are still readable while chunks move.`),
      l.waiting.length > 0 && h('ul', null, l.waiting.map(w => h('li', null, `Layout ${w.layout} waits for the node ${name(w.node)}: ${w.reason}`))));
  }

  function current(nodes) {
    return card('Nodes', table('Nodes of the layout and others', [
      { title: 'Node', cell: n => h('a', { href: `#/nodes/${n.id}` }, nodeName(n)) },
      { title: 'Zone', cell: n => n.zone },
      { title: 'State', cell: n => badge(...stateOf(n)) },
      { title: 'Capacity', number: true, cell: n => l && wish(n.id) ? Number(wish(n.id).capacity) ? f.bytes(wish(n.id).capacity) : 'by its tokens' : n.capacityText || f.bytes(n.capacity) },
      { title: 'Tokens', number: true, optional: true, cell: n => l && wish(n.id)?.tokens },
      { title: 'Partitions', number: true, cell: n => f.number(n.partitions) },
      { title: 'Free', number: true, cell: n => f.bytes(n.free) },
      { title: 'Change', unseen: true, optional: true, cell: n => l && h('div', { class: 'row' },
        !wish(n.id) && n.alive && button(app, 'Add', () => then(`${nodeName(n)} is staged. Look at the plan below.`, call('AssignNode', { node: n.id, zone: n.zone })), { kind: 'small', label: `Add ${nodeName(n)}` }),
        wish(n.id) && button(app, 'Remove', () => then(`The removal of ${nodeName(n)} is staged. Look at the plan below.`, call('RemoveNode', { node: n.id })), { kind: 'small', label: `Remove ${nodeName(n)}` }),
        stateOf(n)[1] === 'missing' && button(app, 'Declare lost', () => lost(n), { kind: 'small danger', label: `Declare lost: ${nodeName(n)}` })) },
    ], nodes, { key: n => n.id, empty: 'No node is known yet. Start a chunk-node: it shows up here by itself.' }));
  }

  async function lost(n) {
    const would = await call('DeclareLost', { node: n.id });
    const yes = await ask(`Give up node ${nodeName(n)}?`, [
      'Do this only if its disks will never come back.',
      would.partitions > 0 ? `${f.plural(would.partitions, 'partition')} of 4096 have no other owner that is alive: what is only there is lost.` : 'Every partition that it owns has another owner that is alive.',
      would.alone > 0 ? `${f.plural(would.alone, 'partition')} have one other owner that is alive.` : '',
    ].filter(Boolean), 'Declare it lost', { danger: true, word: f.short(n.id) });
    if (yes) return then(`Node ${nodeName(n)} is declared lost.`, call('DeclareLost', { node: n.id, confirmed: true }));
  }

  function stage() {
    const options = l.nodes.map(n => [n.id, `${nodeName(n)} (${stateOf(n)[1]})`]);
    if (!options.length) return null;
    const n = l.nodes.find(n => n.id === chosen) || l.nodes[0];
    return card('Stage a change', h('p', { class: 'soft' }, 'Nothing happens before you have seen the plan and applied it.'),
      form(app, [
        field('Node', { name: 'node', options, value: n.id, onchange: e => { chosen = e.target.value; app.update(); } }),
        field('Zone', { name: 'zone', required: true, value: n.zone, key: `zone-${n.id}`, size: 12, autocomplete: 'off' }),
        field('Capacity', { name: 'capacity', placeholder: Number(n.capacity) ? `${f.bytes(n.capacity)} there` : 'as there is', size: 14, autocomplete: 'off' }, 'empty: what the tokens stand for'),
        field('Tokens', { name: 'tokens', type: 'number', min: 1, placeholder: proposal(n), autocomplete: 'off' }, 'empty: proposed from the room'),
      ], 'Stage this node', values => {
        const capacity = values.capacity ? f.parseBytes(values.capacity) : 0;
        if (!(capacity >= 0)) throw new Error(`“${values.capacity}” is no size: give one such as 500 GB or 2TiB.`);
        return then(`${name(values.node)} is staged. Look at the plan below.`, call('AssignNode', { node: values.node, zone: values.zone, capacity, tokens: Number(values.tokens) || 0 }));
      }, { reset: false, kind: '' }),
      h('hr'),
      form(app, field('Copies of everything', { name: 'copies', options: [1, 2, 3], value: String(l.staged?.replication || l.current?.replication || 3) }), 'Stage the number of copies',
        values => then(`${f.plural(values.copies, 'copy', 'copies')} are staged. Look at the plan below.`, call('SetReplication', { replication: Number(values.copies) })), { reset: false, kind: '' }));
  }

  // proposal is 80 % of the free space at 10 GB a token, as the server proposes it.
  const proposal = n => Number(n.free) > 0 ? String(Math.max(1, Math.round(Number(n.free) * 0.8 / 10e9))) : '';

  function change() {
    return h('section', { class: 'card', id: 'plan' }, h('h2', null, 'The plan'),
      h('ul', null,
        l.staged.assign.map(a => h('li', null, `${name(a.id)} in zone ${a.zone}, ${f.plural(a.tokens, 'token')}${Number(a.capacity) ? `, ${f.bytes(a.capacity)}` : ''}`)),
        l.staged.remove.map(id => h('li', null, `${name(id)} is removed`)),
        l.staged.replication > 0 && h('li', null, `${f.plural(l.staged.replication, 'copy', 'copies')} of everything`)),
      plan && [
        plan.obstacle ? h('p', { class: 'message danger' }, `It cannot be applied: ${plan.obstacle}`) : [
          h('p', null, h('strong', null, `${f.number(plan.moved)} copies of partitions move`), `: ${f.bytes(plan.bytes)}`,
            plan.duration && f.seconds(plan.duration) > 0 ? `, about ${f.duration(f.seconds(plan.duration))} at ${f.bytes(plan.rate)} a second.` : '.',
            ` Room for ${f.bytes(plan.usableBefore)} before, ${f.bytes(plan.usableAfter)} after.`),
          shares('From now to then, each node', plan.nodes, s => name(s.name)),
          plan.zones.length > 1 && shares('Each zone', plan.zones, s => s.name),
        ],
        plan.remarks.map(r => h('p', { class: 'message attention' }, r)),
        plan.risk && [h('p', { class: 'message danger' }, plan.risk), check('I accept this risk', { onchange: e => { force = e.target.checked; app.update(); }, checked: force })],
      ],
      h('div', { class: 'row end' },
        button(app, 'Drop it', () => then('What was staged is dropped.', call('DropLayout'))),
        plan && !plan.obstacle && button(app, 'Apply', async () => {
          const yes = await ask('Apply this layout?', `${f.number(plan.moved)} copies of partitions move, ${f.bytes(plan.bytes)}. All data stays readable meanwhile.`, 'Apply it');
          if (!yes) return;
          const applied = await call('ApplyLayout', { revision: plan.revision, force });
          force = false;
          return then(`Layout ${applied.layout.number} is in force.`, Promise.resolve());
        }, { kind: 'primary', disabled: !!plan.risk && !force })));
  }

  // shares draws what each has before and after; what it says is in words beside it.
  function shares(title, list, label) {
    const most = Math.max(1, ...list.map(s => Math.max(s.partitionsBefore, s.partitionsAfter)));
    return [h('h3', null, title), h('p', { class: 'soft' }, 'Partitions: the upper bar is now, the lower one then.'), h('div', { class: 'plan' }, list.map(s => {
      const before = 100 * s.partitionsBefore / most, after = 100 * s.partitionsAfter / most;
      return h('div', { class: 'share', key: s.name },
        h('span', null, label(s), s.zone && s.zone !== s.name ? h('small', null, s.zone) : null),
        h('svg', { viewBox: '0 0 100 20', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
          h('rect', { class: 'before', x: 0, y: 1, width: before, height: 8 }),
          h('rect', { class: 'after', x: 0, y: 11, width: Math.min(before, after), height: 8 }),
          after > before && h('rect', { class: 'grow', x: before, y: 11, width: after - before, height: 8 }),
          after < before && h('rect', { class: 'shrink', x: after, y: 14, width: before - after, height: 2 })),
        h('span', null, `${f.number(s.partitionsBefore)} → ${f.number(s.partitionsAfter)}`,
          h('small', null, [s.gained && `+${f.number(s.gained)}`, s.lost && `−${f.number(s.lost)}`, Number(s.received) && `receives ${f.bytes(s.received)}`].filter(Boolean).join(', ') || 'stays as it is')));
    }))];
  }

  function past() {
    const numbers = [...l.history].sort((a, b) => Number(b) - Number(a));
    return card('History', table('Layouts that were in force', [
      { title: 'Layout', cell: n => n === l.current?.number ? badge('good', `${n}, in force`) : Number(n) >= Number(l.oldest) ? badge('attention', `${n}, still readable`) : n },
      { title: 'Go back', unseen: true, optional: true, cell: n => n !== l.current?.number && button(app, `Go back to ${n}`,
        () => then(`What makes the nodes those of layout ${n} is staged. Look at the plan.`, call('StageLayout', { number: n })), { kind: 'small' }) },
    ], numbers.slice(0, 30), { key: n => n, empty: 'No layout was published yet.' }),
    l.lost.length > 0 && [h('h3', null, 'Declared lost'), h('ul', null, l.lost.map(n => h('li', null, `${name(n.node)}, ${f.time(n.at)}, up to layout ${n.layout}`)))]);
  }

  return page;
}
