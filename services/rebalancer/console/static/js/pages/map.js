import { h } from '../dom.js';
import { call } from '../api.js';
import * as f from '../format.js';
import { announce, badge, bar, card, nodeName, stateOf, table } from '../ui.js';

const side = 64;
const states = {
  PARTITION_STATE_COMPLETE: ['good', 'complete', 'all copies are where they belong'],
  PARTITION_STATE_MOVING: ['neutral', 'moving', 'all copies are there, and go to other nodes'],
  PARTITION_STATE_UNDER_REPLICATED: ['attention', 'fewer copies', 'fewer good copies than wanted'],
  PARTITION_STATE_UNREADABLE: ['danger', 'not readable', 'no node that has it answers'],
};
const order = Object.keys(states).reverse();
const stateIn = p => states[p.state] || ['unknown', 'not known', ''];
const hex = i => i.toString(16).padStart(3, '0');

export default function map(app) {
  let map = null, at = -1, chosen = '', canvas = null, watcher = null;

  const page = {
    async load(byItself) {
      const answer = await call('GetPartitions', { revision: map?.revision || '0' }, byItself);
      if (!map || answer.partitions.length || answer.revision !== map.revision) map = answer;
      // The worst one is what somebody wants to see first.
      if (at < 0 && map.partitions.length) at = Math.max(0, order.map(s => map.partitions.findIndex(p => p.state === s)).find(i => i >= 0) ?? 0);
      page.redraw();
    },
    changed() {
      if (map && app.seen.partitions !== undefined && app.seen.partitions !== map.revision) app.load(true);
    },
    leave: () => watcher?.disconnect(),
    redraw: () => requestAnimationFrame(() => canvas && draw()),
    view() {
      if (!map) return h('p', { class: 'empty' }, 'Asking for the partitions …');
      if (!map.partitions.length) return h('p', { class: 'empty' }, 'There is no layout, so no node owns anything yet.');
      return [
        h('div', { class: 'grid map' }, h('section', { class: 'card' },
          h('h2', null, 'All 4096 partitions'),
          h('div', {
            class: 'canvas', role: 'application', tabindex: 0, 'aria-label': 'Map of the partitions, 64 in a row', 'aria-describedby': 'map-help map-counts',
            onkeydown: key, onfocus: () => at < 0 && point(0), onpointermove: pointer, onpointerdown: pointer,
          }, h('canvas', { 'aria-hidden': 'true', created: place })),
          h('ul', { class: 'legend', id: 'map-counts' }, order.map(s => [s, map.partitions.filter(p => p.state === s).length]).filter(([, n]) => n).map(([s, n]) =>
            h('li', null, badge(states[s][0], `${f.number(n)} ${states[s][1]}`)))),
          h('p', { class: 'soft', id: 'map-help' }, 'Point at one, or move with the arrow keys, to see who has it. Full squares are complete, half ones have fewer copies, crossed ones cannot be read, and those with a hole move.')),
        h('section', { class: 'card' }, h('h2', null, at < 0 ? 'A partition' : `Partition ${hex(at)}`), detail())),
        nodes(),
        map.problems.length > 0 && card('Not asked', h('ul', null, map.problems.map(p => h('li', null, p)))),
      ];
    },
  };

  function detail() {
    if (at < 0) return h('p', { class: 'empty' }, 'None is chosen.');
    const p = map.partitions[at], [level, word, meaning] = stateIn(p);
    const row = (i, former) => ({ ...map.nodes[i], former, lacking: p.lacking.includes(i) });
    const owners = [...p.owners.map(i => row(i, false)), ...p.former.map(i => row(i, true))];
    return [
      h('p', null, badge(level, word), ' ', meaning),
      h('p', null, `${f.plural(p.copies, 'good copy', 'good copies')} of ${map.replication}. It holds the chunks whose hash begins with ${hex(at)}.`),
      table(`Owners of partition ${hex(at)}`, [
        { title: 'Owner', cell: n => h('a', { href: `#/nodes/${n.id}` }, n.machine || f.short(n.id)) },
        { title: 'Zone', cell: n => n.zone },
        { title: 'State', cell: n => badge(n.alive ? n.lacking ? 'attention' : 'good' : 'danger', n.alive ? n.lacking ? 'lacks some of it' : 'has it' : 'away') },
        { title: 'Layout', cell: n => n.former ? 'until it is handed over' : 'current' },
      ], owners, { key: n => n.id + n.former }),
    ];
  }

  function nodes() {
    const status = app.seen?.status?.nodes || [];
    const slots = map.nodes.map((n, i) => ({
      ...status.find(s => s.id === n.id), ...n, i, owned: map.partitions.filter(p => p.owners.includes(i)).length,
    }));
    const zones = Object.values(slots.reduce((all, n) => {
      const z = all[n.zone] ||= { zone: n.zone, nodes: 0, owned: 0, used: 0, free: 0, capacity: 0 };
      z.nodes++;
      z.owned += n.owned;
      z.used += Number(n.capacity || 0) - Number(n.free || 0);
      z.free += Number(n.free || 0);
      z.capacity += Number(n.capacity || 0);
      return all;
    }, {}));
    const room = n => Number(n.capacity) > 0 ? [bar(n.capacity - n.free, n.capacity, `${f.percent(n.capacity - n.free, n.capacity)} used`), ` ${f.bytes(n.free)} free of ${f.bytes(n.capacity)}`] : 'not known';
    const target = n => `${f.number(n.owned)} (${f.percent(n.owned, 4096 * map.replication)} of all copies)`;
    return card('Nodes and zones', table('Nodes', [
      { title: 'Node', cell: n => h('a', { href: `#/nodes/${n.id}` }, nodeName(n)) },
      { title: 'Zone', cell: n => n.zone },
      { title: 'State', cell: n => n.state ? badge(...stateOf(n)) : badge(n.alive ? 'good' : 'danger', n.alive ? 'alive' : 'away') },
      { title: 'Room', wide: true, cell: room },
      { title: 'Target', cell: target },
      {
        title: 'On the map', unseen: true, cell: n => h('button', {
          type: 'button', class: 'small', 'aria-pressed': String(chosen === n.id), 'aria-label': `Show ${nodeName(n)} on the map`,
          onclick: () => { chosen = chosen === n.id ? '' : n.id; page.redraw(); app.update(); },
        }, 'show'),
      },
    ], slots, { key: n => n.id }), zones.length > 1 && [h('h3', null, 'Zones'), table('Zones', [
      { title: 'Zone', cell: z => z.zone },
      { title: 'Nodes', number: true, cell: z => z.nodes },
      { title: 'Room', wide: true, cell: room },
      { title: 'Target', cell: target },
    ], zones, { key: z => z.zone })]);
  }

  function point(i) {
    if (i === at || i < 0 || i >= side * side) return;
    at = i;
    page.redraw();
    app.update();
  }

  function key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -side, ArrowDown: side }[event.key];
    const to = event.key === 'Home' ? 0 : event.key === 'End' ? side * side - 1 : step && at + step;
    if (to === undefined) return;
    event.preventDefault();
    point(Math.max(0, Math.min(side * side - 1, to)));
    const p = map.partitions[at];
    announce(`Partition ${hex(at)}: ${stateIn(p)[1]}, ${f.plural(p.copies, 'good copy', 'good copies')}`);
  }

  function pointer(event) {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor((event.clientX - box.left) / box.width * side), y = Math.floor((event.clientY - box.top) / box.height * side);
    if (x >= 0 && x < side && y >= 0 && y < side) point(y * side + x);
  }

  function place(element) {
    canvas = element;
    watcher = new ResizeObserver(() => draw());
    watcher.observe(element.parentNode || element);
    requestAnimationFrame(() => watcher.observe(element));
  }

  function draw() {
    const size = Math.round(canvas.clientWidth * devicePixelRatio);
    if (!size || !map?.partitions.length) return;
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const style = getComputedStyle(document.documentElement), colour = name => style.getPropertyValue(name).trim();
    const colours = { good: colour('--good-fill'), neutral: colour('--plain'), attention: colour('--attention-fill'), danger: colour('--danger-fill'), unknown: colour('--neutral-fill') };
    const c = canvas.getContext('2d'), cell = size / side, gap = Math.max(1, cell * 0.1);
    c.clearRect(0, 0, size, size);
    const mine = map.nodes.findIndex(n => n.id === chosen);
    map.partitions.forEach((p, i) => {
      const x = (i % side) * cell, y = Math.floor(i / side) * cell, w = cell - gap;
      const [level] = stateIn(p);
      c.globalAlpha = mine >= 0 && !p.owners.includes(mine) && !p.former.includes(mine) ? 0.15 : 1;
      c.fillStyle = c.strokeStyle = colours[level];
      c.lineWidth = Math.max(1, cell * (level === 'danger' ? 0.26 : 0.16));
      if (level === 'attention') {
        c.fillRect(x, y + w / 2, w, w / 2);
        c.strokeRect(x + c.lineWidth / 2, y + c.lineWidth / 2, w - c.lineWidth, w - c.lineWidth);
      } else if (level === 'danger') {
        c.beginPath();
        c.moveTo(x, y); c.lineTo(x + w, y + w); c.moveTo(x + w, y); c.lineTo(x, y + w);
        c.stroke();
      } else {
        c.fillRect(x, y, w, w);
        if (level === 'neutral') c.clearRect(x + w * 0.3, y + w * 0.3, w * 0.4, w * 0.4);
      }
    });
    c.globalAlpha = 1;
    if (at >= 0) {
      c.strokeStyle = colour('--ink');
      c.lineWidth = Math.max(2, cell * 0.25);
      c.strokeRect((at % side) * cell - gap / 2, Math.floor(at / side) * cell - gap / 2, cell, cell);
    }
  }

  return page;
}
