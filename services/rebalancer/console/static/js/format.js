// Numbers, sizes and times for people.

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

export function bytes(value) {
  let n = Number(value || 0), unit = 0;
  while (Math.abs(n) >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

// parseBytes reads a size such as 500 GB, 1.5TiB or 1048576; NaN if it is none.
export function parseBytes(text) {
  const m = /^\s*([\d.]+)\s*([kmgtpe]?)(i?)b?\s*$/i.exec(text);
  if (!m) return NaN;
  const power = ' kmgtpe'.indexOf(m[2].toLowerCase() || ' ');
  return Math.round(Number(m[1]) * (m[3] ? 1024 : 1000) ** power);
}

const grouped = new Intl.NumberFormat('en');
export const number = value => grouped.format(Number(value || 0));

export const plural = (n, one, many = one + 's') => `${number(n)} ${Number(n) === 1 ? one : many}`;

// rate is a number a second.
export function rate(value) {
  const n = Number(value || 0);
  return n >= 100 ? number(Math.round(n)) : n >= 10 ? n.toFixed(0) : n > 0 && n < 0.1 ? '< 0.1' : n.toFixed(1).replace(/\.0$/, '');
}

export function percent(part, whole) {
  const share = Number(whole) > 0 ? Number(part) / Number(whole) : 0;
  return share > 0 && share < 0.01 ? '< 1 %' : share > 0.99 && share < 1 ? '99 %' : `${Math.round(share * 100)} %`;
}

// seconds reads a duration as protobuf writes it, such as 12.5s.
export const seconds = text => text ? parseFloat(text) : 0;

export function duration(s) {
  if (s < 1) return 'under a second';
  if (s < 90) return plural(Math.round(s), 'second');
  if (s < 5400) return plural(Math.round(s / 60), 'minute');
  if (s < 129600) return plural(Math.round(s / 3600), 'hour');
  return plural(Math.round(s / 86400), 'day');
}

export function ago(time, now = Date.now()) {
  if (!time) return 'never';
  const s = (now - new Date(time)) / 1000;
  return s < 5 ? 'just now' : `${duration(s)} ago`;
}

const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
export const time = value => value ? exact.format(new Date(value)) : 'never';

// utf8 reads the base64 in which bytes come.
export const utf8 = value => new TextDecoder().decode(Uint8Array.from(atob(value), c => c.charCodeAt(0)));

// short is an ID as people compare them.
export const short = id => (id || '').slice(0, 8);
