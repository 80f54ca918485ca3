import { h } from '../dom.js';
import { call } from '../api.js';
import * as f from '../format.js';
import { ask, badge, button, card, field, form, nodeName, progress, table, taskState, tasks } from '../ui.js';
import { eventTable } from './events.js';

export default function work(app) {
  let history = null, without = '';
  const page = {
    async load(byItself) {
      try {
        history = (await call('ListEvents', { kinds: ['EVENT_KIND_TASK'], limit: 50 }, byItself)).events;
        without = '';
      } catch (e) {
        without = e.message;
      }
    },
    changed(before) {
      const states = seen => seen?.status?.nodes.flatMap(n => n.tasks.map(t => t.status.state)).join();
      if (states(before) !== states(app.seen)) app.load(true);
    },
    view() {
      const s = app.seen?.status;
      if (!s) return h('p', { class: 'empty' }, 'Asking the cluster how it is …');
      return [
        Object.keys(tasks).map(task => one(app, s, task)),
        card('History', without ? h('p', { class: 'empty' }, without) : history ? eventTable(history) : h('p', { class: 'empty' }, 'Asking …')),
      ];
    },
  };
  return page;
}

async function command(task, request, said) {
  const answer = await call('CommandNodes', { task, ...request });
  const failed = answer.nodes.filter(n => n.problem);
  if (failed.length) throw new Error(failed.map(n => `${f.short(n.node)}: ${n.problem}`).join('\n'));
  return `${said} (${f.plural(answer.nodes.length, 'node')})`;
}

function one(app, s, task) {
  const [, name, about] = tasks[task];
  const rows = s.nodes.map(node => ({ node, ...node.tasks.find(t => t.status.task === task) })).filter(r => r.status);
  if (!rows.length) return null;
  const stuck = rows.filter(r => r.status.state === 'TASK_STATE_STUCK');
  return h('section', { class: 'card', key: task }, h('h2', null, name), h('p', { class: 'soft' }, `It ${about}.`),
    table(`${name} on each node`, [
      { title: 'Node', cell: r => h('a', { href: `#/nodes/${r.node.id}` }, nodeName(r.node)) },
      { title: 'State', cell: r => badge(...taskState(r.status.state)) },
      { title: 'Progress', cell: r => progress({ ...r.status, left: r.left }) },
      { title: 'Moved', number: true, cell: r => f.bytes(r.status.bytes) },
      { title: 'Rate', number: true, cell: r => r.status.rate === '0' ? 'no limit' : `${f.bytes(r.status.rate)}/s` },
      { title: 'Problems', number: true, cell: r => f.number(r.status.problems) },
      { title: 'Last', cell: r => r.status.ended && r.status.state !== 'TASK_STATE_RUNNING' ? `ended ${f.ago(r.status.ended)}` : r.status.began ? `began ${f.ago(r.status.began)}` : '' },
      { title: 'Remark', optional: true, wide: true, cell: r => r.status.note },
    ], rows, { key: r => r.node.id }),
    h('div', { class: 'row actions' },
      button(app, 'Start', () => command(task, { start: true }, `${name} goes on`), { label: `Start ${name.toLowerCase()}` }),
      button(app, 'Pause', () => command(task, { start: false }, `${name} is paused until it is started again`), { label: `Pause ${name.toLowerCase()}` }),
      stuck.length > 0 && button(app, 'Confirm and go on', async () => {
        const yes = await ask(`Let ${name.toLowerCase()} go on?`, stuck.map(r => `${nodeName(r.node)}: ${r.status.note}`), 'Yes, go on', { danger: true });
        return yes ? command(task, { nodes: stuck.map(r => r.node.id), start: true, confirm: true }, `${name} goes on`) : undefined;
      }, { kind: 'danger' }),
      form(app, field('Rate a second', { name: 'rate', id: task, required: true, placeholder: '20 MB, or none', size: 12, autocomplete: 'off' }), 'Set', async values => {
        const none = values.rate.trim() === 'none', rate = none ? -1 : f.parseBytes(values.rate);
        if (!none && !(rate > 0)) throw new Error(`“${values.rate}” is no rate: give bytes a second, such as 20 MB, or none for no limit.`);
        return command(task, { start: true, rate }, none ? `${name} has no limit` : `${name} is limited to ${f.bytes(rate)} a second`);
      }, { kind: '', key: `rate-${task}` })));
}
