// What a page shows is a function of what is known: h describes it, and patch changes the document to it in place,
// so that focus, selection, scrolling and what somebody types survive each update.

const svgTags = new Set(['svg', 'g', 'path', 'rect', 'line', 'text', 'circle', 'polyline', 'title']);
const properties = new Set(['value', 'checked', 'disabled', 'open', 'selected', 'hidden', 'required', 'readOnly']);

// h describes an element. Children may be nested lists; null and false leave their place empty.
export function h(tag, props, ...children) {
  return {
    tag, props: props || {},
    children: children.flat(Infinity).map(c => c === null || c === undefined || c === false || c === true ? { text: '' }
      : typeof c === 'object' ? c : { text: String(c) }),
  };
}

// patch makes the children of an element what is described. Only patch may change them.
export function patch(parent, ...children) {
  const next = h('', null, children).children;
  reconcile(parent, parent.described || [], next, false);
  parent.described = next;
}

function create(v, svg) {
  if (!v.tag) return v.element = document.createTextNode(v.text);
  const inSVG = v.tag === 'svg' || svg && svgTags.has(v.tag);
  v.element = inSVG ? document.createElementNS('http://www.w3.org/2000/svg', v.tag) : document.createElement(v.tag);
  reconcile(v.element, [], v.children, inSVG);
  for (const [name, value] of Object.entries(v.props)) set(v.element, name, value); // a select has its options before its value
  if (v.props.created) v.props.created(v.element);
  return v.element;
}

function update(old, v, svg) {
  v.element = old.element;
  if (!v.tag) {
    if (v.text !== old.text) v.element.data = v.text;
    return;
  }
  reconcile(v.element, old.children, v.children, svg && svgTags.has(v.tag) || v.tag === 'svg');
  for (const name of Object.keys(old.props)) if (!(name in v.props)) set(v.element, name, null);
  for (const [name, value] of Object.entries(v.props)) if (value !== old.props[name]) set(v.element, name, value);
  if (v.props.updated) v.props.updated(v.element);
}

function set(element, name, value) {
  if (name === 'key' || name === 'created' || name === 'updated') return;
  if (name.startsWith('on')) {
    const handlers = element.handlers ||= {};
    const kind = name.slice(2);
    if (!handlers[kind]) element.addEventListener(kind, event => handlers[kind] && handlers[kind](event));
    handlers[kind] = value;
  } else if (name === 'style') {
    for (const [k, v] of Object.entries(value || {})) element.style.setProperty(k, v);
  } else if (properties.has(name)) {
    if (element[name] !== value) element[name] = value ?? (typeof element[name] === 'string' ? '' : false);
  } else if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? '' : value);
  }
}

const keyOf = v => v.tag ? v.props.key : undefined;

function reconcile(parent, olds, news, svg) {
  const keyed = new Map(), plain = [];
  for (const o of olds) keyOf(o) !== undefined ? keyed.set(keyOf(o), o) : plain.push(o);
  const kept = new Set();
  let next = 0;
  for (const v of news) {
    const key = keyOf(v);
    const old = key !== undefined ? keyed.get(key) : plain[next++];
    if (old && old.tag === v.tag && !kept.has(old)) {
      kept.add(old);
      update(old, v, svg);
    } else {
      create(v, svg);
    }
  }
  for (const o of olds) if (!kept.has(o)) o.element.remove();
  news.forEach((v, i) => {
    if (parent.childNodes[i] !== v.element) parent.insertBefore(v.element, parent.childNodes[i] || null);
  });
}
