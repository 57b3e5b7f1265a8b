// What all parts of the player use: making elements, writing times, words.

let words = {};

// useWords takes the texts that the page came with.
export function useWords(json) { words = JSON.parse(json || '{}'); }

// say returns a text with its {places} filled in.
export function say(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => name in values ? values[name] : whole);
}

// make makes an element: attributes as named, functions as listeners, texts as texts and never as markup.
export function make(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') e.addEventListener(name, value);
    else if (value === true) e.setAttribute(name, '');
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  e.append(...children.filter(c => c != null));
  return e;
}

// clock writes seconds of footage: 00:03:12.440, or without the thousandths.
export function clock(seconds, exact = true) {
  if (!Number.isFinite(seconds)) return '--:--:--';
  const ms = Math.round(Math.max(0, seconds) * 1000), two = n => String(Math.floor(n)).padStart(2, '0');
  return `${two(ms / 3600000)}:${two(ms / 60000 % 60)}:${two(ms / 1000 % 60)}` + (exact ? '.' + String(ms % 1000).padStart(3, '0') : '');
}

// seconds reads a time as people write it; NaN if it is none.
export function seconds(text) {
  const parts = text.trim().replaceAll('：', ':').split(':').map(p => p.trim() === '' ? NaN : Number(p));
  if (parts.length > 3 || parts.some(p => !(p >= 0))) return NaN;
  return parts.reduce((all, p) => all * 60 + p, 0);
}

// wall writes a time of day, milliseconds since 1970 UTC, in a zone given in seconds east of UTC.
export function wall(ms, zone) {
  const d = new Date(ms + zone * 1000), sign = zone < 0 ? '-' : '+', at = Math.abs(zone) / 60;
  const off = String(Math.floor(at / 60)).padStart(2, '0') + ':' + String(at % 60).padStart(2, '0');
  return `${d.toISOString().slice(0, 19).replace('T', ' ')} (UTC${sign}${off})`;
}

// color reads one of the style sheet's colours.
export function color(name, of = document.documentElement) { return getComputedStyle(of).getPropertyValue('--' + name).trim(); }

export const still = matchMedia('(prefers-reduced-motion: reduce)');
