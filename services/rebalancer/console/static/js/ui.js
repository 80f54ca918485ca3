// Parts that pages are made of.
import { h } from './dom.js';
import * as f from './format.js';

// announce says something to who cannot see what changed.
export function announce(text) {
  const place = document.getElementById('announce');
  place.textContent = '';
  requestAnimationFrame(() => { place.textContent = text; });
}

export const icons = { good: '✓', attention: '!', danger: '✕', unknown: '?', neutral: '·' };

// badge is a state as a word; its colour only repeats what the sign and the word say.
export function badge(level, text) {
  return h('span', { class: `badge ${level}` }, h('span', { class: 'sign', 'aria-hidden': 'true' }, icons[level] || '·'), text);
}

export function card(title, ...content) {
  return h('section', { class: 'card' }, title && h('h2', null, title), content);
}

// figure is a number with its name.
export function figure(name, value, more) {
  return h('div', { class: 'figure' }, h('dt', null, name), h('dd', null, h('strong', null, value), more && h('span', { class: 'more' }, more)));
}

// table shows rows; each column has a title and says what a row has in it; one that is optional is left out if it has nothing. On narrow screens a row becomes a card.
export function table(caption, columns, rows, { empty = 'There is nothing here.', key } = {}) {
  if (!rows.length) return h('p', { class: 'empty' }, empty);
  columns = columns.filter(c => !c.optional || rows.some(row => c.cell(row)));
  return h('div', { class: 'table' }, h('table', { role: 'table' },
    h('caption', { class: 'unseen' }, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map(c =>
      h('th', { role: 'columnheader', scope: 'col', class: c.number ? 'number' : null }, c.unseen ? h('span', { class: 'unseen' }, c.title) : c.title)))),
    h('tbody', { role: 'rowgroup' }, rows.map((row, i) => h('tr', { role: 'row', key: key ? key(row) : i }, columns.map(c =>
      h('td', { role: 'cell', 'data-label': c.unseen ? '' : c.title, class: [c.number && 'number', c.wide && 'wide'].filter(Boolean).join(' ') || null }, h('div', null, c.cell(row)))))))));
}

// bar is a share as a bar; what it means is beside it in words.
export function bar(part, whole, label, level = 'plain') {
  const share = Number(whole) > 0 ? Math.min(1, Number(part) / Number(whole)) : 0;
  return h('span', { class: 'bar', role: 'img', 'aria-label': label }, h('span', { class: `fill ${level}`, style: { width: `${(share * 100).toFixed(1)}%` } }));
}

// stacked is several shares of one whole: [{value, level, label}].
export function stacked(parts, label) {
  const whole = parts.reduce((sum, p) => sum + Number(p.value), 0);
  return h('span', { class: 'bar thick', role: 'img', 'aria-label': label },
    parts.filter(p => Number(p.value) > 0).map(p => h('span', { key: p.label, class: `fill ${p.level}`, style: { width: `${(100 * p.value / whole).toFixed(2)}%` } })));
}

// button does something that takes time: it can be pressed once until that is done, and says what went wrong.
export function button(app, text, action, { kind = '', disabled = false, label } = {}) {
  return h('button', {
    type: 'button', class: kind, disabled, 'aria-label': label || null,
    onclick: event => app.act(event.currentTarget, action),
  }, text);
}

// form is fields and what is done with them: act gets their values by name.
export function form(app, fields, text, act, { kind = 'primary', reset = true, key } = {}) {
  return h('form', {
    key,
    onsubmit: event => {
      event.preventDefault();
      const element = event.currentTarget;
      const values = Object.fromEntries(new FormData(element));
      app.act(element.querySelector('[type=submit]'), async () => {
        const done = await act(values);
        if (reset) element.reset();
        return done;
      });
    },
  }, h('div', { class: 'fields' }, fields, h('button', { type: 'submit', class: kind }, text)));
}

let numbered = 0;

// field is a labelled input; options make it a choice.
export function field(label, props, hint) {
  const id = `f-${props.name}-${props.id || ''}`;
  const { options, id: _, ...rest } = props;
  const described = hint ? `${id}-hint` : null;
  return h('div', { class: 'field' }, h('label', { for: id }, label),
    options ? h('select', { id, 'aria-describedby': described, ...rest }, options.map(o => {
      const [value, text] = Array.isArray(o) ? o : [o, o];
      return h('option', { value, key: value }, text);
    })) : h('input', { id, 'aria-describedby': described, ...rest }),
    hint && h('small', { id: described }, hint));
}

export function check(label, props) {
  return h('label', { class: 'check' }, h('input', { type: 'checkbox', ...props }), ' ', label);
}

// ask asks whether to do something, and answers with a promise of yes or no. word, if given, must be typed for a yes.
export function ask(title, text, yes, { danger = false, word } = {}) {
  const id = `ask-${++numbered}`;
  return new Promise(resolve => {
    const dialog = document.createElement('dialog');
    dialog.setAttribute('aria-labelledby', id);
    const form = document.createElement('form');
    form.method = 'dialog';
    const heading = document.createElement('h2');
    heading.id = id;
    heading.textContent = title;
    form.append(heading);
    for (const line of [].concat(text)) {
      const p = document.createElement('p');
      p.textContent = line;
      form.append(p);
    }
    const ok = document.createElement('button');
    ok.value = 'yes';
    ok.textContent = yes;
    ok.className = danger ? 'danger' : 'primary';
    if (word) {
      const label = document.createElement('label');
      const input = document.createElement('input');
      label.textContent = `Type ${word} to go on: `;
      input.autocomplete = 'off';
      input.oninput = () => { ok.disabled = input.value !== word; };
      ok.disabled = true;
      label.append(input);
      form.append(label);
    }
    const no = document.createElement('button');
    no.value = 'no';
    no.type = 'submit';
    no.formNoValidate = true;
    no.textContent = 'Cancel';
    const row = document.createElement('div');
    row.className = 'row end';
    row.append(no, ok);
    form.append(row);
    dialog.append(form);
    document.body.append(dialog);
    const before = document.activeElement;
    dialog.addEventListener('close', () => {
      dialog.remove();
      before?.focus?.();
      resolve(dialog.returnValue === 'yes');
    });
    dialog.showModal();
  });
}

// How nodes and their work are told.

const nodeStates = {
  NODE_STATE_HEALTHY: ['good', 'healthy'], NODE_STATE_MISSING: ['danger', 'missing'], NODE_STATE_NEW: ['neutral', 'new'],
  NODE_STATE_DRAINING: ['attention', 'draining'], NODE_STATE_EMPTY: ['neutral', 'empty'], NODE_STATE_LEAVING: ['attention', 'leaving'],
  NODE_STATE_LOST: ['danger', 'lost'],
};

// stateOf is a node's state as a level and a word.
export function stateOf(n) {
  const known = nodeStates[n.state] || (n.alive ? ['good', 'healthy'] : ['danger', 'away']);
  if (known[1] === 'healthy' && n.readOnly) return ['attention', 'read-only'];
  if (known[1] === 'healthy' && n.problem) return ['attention', 'problem'];
  if (known[1] === 'healthy' && n.uncompared) return ['attention', 'comparing'];
  return known;
}

export const nodeName = n => n.machine || f.short(n.id);

export const tasks = {
  TASK_REBALANCE: ['rebalance', 'Rebalancing', 'moves chunks to the nodes that own them'],
  TASK_REPAIR: ['repair', 'Repair', 'compares what nodes hold, and fetches what is missing or bad'],
  TASK_SCRUB: ['scrub', 'Scrub', 'reads all chunks again, and checks their checksums'],
  TASK_COLLECTION: ['collection', 'Collection', 'removes chunks that nothing refers to'],
  TASK_LONG_COLLECTION: ['long-collection', 'Long collection', 'asks the metadata for references that were left behind'],
};

const taskStates = {
  TASK_STATE_RUNNING: ['good', 'running'], TASK_STATE_IDLE: ['neutral', 'idle'], TASK_STATE_STOPPED: ['attention', 'stopped'], TASK_STATE_STUCK: ['danger', 'stuck'],
};
export const taskState = s => taskStates[s] || ['unknown', 'unknown'];

// work is all tasks of all nodes, with the nodes that do them.
export const work = status => (status?.nodes || []).flatMap(node => node.tasks.map(t => ({ node, ...t.status, left: t.left })));

export function progress(t) {
  const [level] = taskState(t.state);
  const text = Number(t.total) > 0 ? `${f.percent(t.done, t.total)} done` : `${f.number(t.done)} done`;
  return h('span', { class: 'progress' }, Number(t.total) > 0 && bar(t.done, t.total, text, level === 'good' ? 'plain' : level), h('span', null, text,
    t.state === 'TASK_STATE_RUNNING' && t.left ? `, ${f.duration(f.seconds(t.left))} left` : ''));
}
