// The timeline: poster strip, waveform, what was checked of each recording, marks, gaps, header, restarts. Patterns differ as well as colours.

import { clock, color, make, say } from '/js/page.js';

const heights = { strip: 52, wave: 36, bar: 20, marks: 22 };

export class Timeline {
  from = 0; until = 0; // what is in view; until 0: all
  in = null; out = null;
  facts = []; // of each picture, as the server tells it
  looks = []; // {strip, image, peaks} of each picture

  constructor(reel, seek) {
    this.reel = reel;
    this.canvas = make('canvas', { 'aria-hidden': 'true' });
    this.root = make('div', { class: 'timeline', role: 'slider', tabindex: 0, 'aria-label': say('timeline'), 'aria-valuemin': 0, 'aria-orientation': 'horizontal' }, this.canvas);
    this.legend = make('ul', { class: 'legend' });
    const at = e => this.#time(e.offsetX);
    this.root.addEventListener('pointerdown', e => {
      this.root.setPointerCapture(e.pointerId);
      seek(this.#markNear(e.offsetX) ?? at(e));
    });
    this.root.addEventListener('pointermove', e => { if (e.buttons & 1) seek(at(e)); });
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  get #span() { return [this.until ? this.from : 0, this.until || this.reel.end || 1]; }
  #x(t) { const [a, b] = this.#span; return (t - a) / (b - a) * this.root.clientWidth; }
  #time(x) { const [a, b] = this.#span; return a + x / this.root.clientWidth * (b - a); }

  // zoom shows a shorter or longer stretch around the present moment.
  zoom(factor) {
    const [a, b] = this.#span, all = this.reel.end, width = Math.max(2, Math.min(all, (b - a) * factor)), t = this.reel.time;
    this.until = 0;
    if (width < all) {
      this.from = Math.max(0, Math.min(all - width, t - width / 2));
      this.until = this.from + width;
    }
    this.draw();
  }

  marks() {
    return this.facts.flatMap((f, i) => (f?.marks ?? []).map(m => ({ ...m, time: m.at / 1000 + this.reel.offsets[i] }))).sort((a, b) => a.time - b.time);
  }

  #markNear(x) {
    const close = this.marks().map(m => [Math.abs(this.#x(m.time) - x), m.time]).filter(([d]) => d < 6).sort((a, b) => a[0] - b[0]);
    return close[0]?.[1];
  }

  draw() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => { this.due = 0; this.#draw(); });
  }

  #draw() {
    const n = this.reel.pictures.length, look = this.looks[0] ?? {}, alone = n === 1, t = this.reel.time;
    const top = { strip: 0 };
    top.wave = alone && look.image ? heights.strip : 0;
    top.bar = top.wave + (alone && look.peaks ? heights.wave : 0);
    top.marks = top.bar + n * (heights.bar + 2);
    const w = this.root.clientWidth, h = top.marks + heights.marks, scale = devicePixelRatio || 1;
    if (!w) return;
    if (this.until && (t < this.from || t > this.until)) this.zoom(1);
    if (this.canvas.width !== Math.round(w * scale) || this.canvas.height !== Math.round(h * scale)) {
      this.canvas.width = Math.round(w * scale);
      this.canvas.height = Math.round(h * scale);
      this.canvas.height && this.root.style.setProperty('height', h + 'px');
    }
    const g = this.canvas.getContext('2d');
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, w, h);
    this.ink = Object.fromEntries(['ink', 'quiet', 'line', 'accent', 'sound', 'incomplete', 'broken', 'unchecked', 'stage'].map(c => [c, color(c, this.root)]));
    if (alone && look.image) this.#strip(g, look, w);
    if (alone && look.peaks) this.#wave(g, look.peaks, top.wave, w);
    this.reel.pictures.forEach((p, i) => this.#bar(g, p, i, top.bar + i * (heights.bar + 2)));
    this.#flags(g, top.marks);
    this.#points(g, h);
    this.#head(g, t, h);
    this.#describe(t);
  }

  #strip(g, look, w) {
    const s = look.strip, wide = s.width * heights.strip / s.height;
    for (let x = 0; x < w; x += wide) {
      const i = Math.max(0, Math.min(s.tiles - 1, Math.floor(this.#time(x) * 1000 / s.every_ms)));
      g.drawImage(look.image, i % s.columns * s.width, Math.floor(i / s.columns) * s.height, s.width, s.height, x, 0, wide, heights.strip - 2);
    }
  }

  #wave(g, peaks, y, w) {
    const middle = y + heights.wave / 2, all = this.reel.end, most = Math.max(1e-9, ...peaks);
    g.fillStyle = this.ink.quiet;
    for (let x = 0; x < w; x++) {
      const v = peaks[Math.floor(this.#time(x) / all * peaks.length)] ?? 0, tall = Math.max(1, v / most * (heights.wave - 4));
      g.fillRect(x, middle - tall / 2, 1, tall);
    }
  }

  #bar(g, p, i, y) {
    const offset = this.reel.offsets[i], x0 = this.#x(offset), x1 = this.#x(offset + (p.length || 0)), f = this.facts[i];
    g.strokeStyle = this.ink.line;
    g.strokeRect(x0 + .5, y + .5, Math.max(1, x1 - x0 - 1), heights.bar - 1);
    const found = p.stretches();
    for (const s of found.length ? found : [{ from: 0, until: p.length, state: 'unchecked' }]) this.#state(g, s.state, this.#x(s.from + offset), this.#x(s.until + offset), y);
    for (const k of f?.gaps ?? []) this.#state(g, 'gap', this.#x(k.from * p.length + offset), Math.max(this.#x(k.until * p.length + offset), this.#x(k.from * p.length + offset) + 2), y);
    if (f?.header) {
      g.fillStyle = this.ink.accent;
      g.fillRect(this.#x(f.header.from / 1000 + offset), y, Math.max(3, this.#x(f.header.until / 1000 + offset) - this.#x(f.header.from / 1000 + offset)), 4);
    }
    for (const r of f?.resets ?? []) this.#text(g, '↻', this.#x(r / 1000 + offset), y + heights.bar - 4, this.ink.incomplete);
  }

  // state draws a stretch: checked solid, unchecked dotted, broken hatched both ways, missing empty with a cross line, a gap hatched one way.
  #state(g, state, a, b, y) {
    const h = heights.bar, w = b - a;
    if (b < 0 || a > this.root.clientWidth || w <= 0) return;
    g.save();
    g.beginPath();
    g.rect(a, y, w, h);
    g.clip();
    if (state === 'checked') {
      g.fillStyle = this.ink.sound;
      g.fillRect(a, y + 6, w, h - 10);
    } else if (state === 'unchecked') {
      g.fillStyle = this.ink.unchecked;
      for (let x = Math.max(0, a) - a % 6; x < Math.min(b, this.root.clientWidth); x += 6) g.fillRect(x, y + 10, 2, 2);
    } else {
      g.strokeStyle = state === 'gap' ? this.ink.incomplete : this.ink.broken;
      g.lineWidth = 2;
      for (let x = Math.floor((Math.max(0, a) - h) / 7) * 7; x < Math.min(b, this.root.clientWidth) + h; x += 7) {
        g.beginPath();
        g.moveTo(x, y + h); g.lineTo(x + h, y);
        if (state !== 'gap') { g.moveTo(x, y); g.lineTo(x + h, y + h); }
        g.stroke();
      }
      g.strokeRect(a, y + 1, w, h - 2);
    }
    g.restore();
  }

  #text(g, text, x, y, ink) {
    g.fillStyle = ink;
    g.font = '14px system-ui, sans-serif';
    g.textAlign = 'center';
    g.fillText(text, x, y);
  }

  #flags(g, y) {
    let last = -99;
    for (const m of this.marks()) {
      const x = this.#x(m.time);
      if (x - last < 5 || x < 0 || x > this.root.clientWidth) continue;
      last = x;
      this.#text(g, '⚑', x + 4, y + 15, this.ink.accent);
    }
  }

  #points(g, h) {
    g.fillStyle = this.ink.ink;
    for (const [t, side] of [[this.in, 1], [this.out, -1]]) {
      if (t === null) continue;
      const x = this.#x(t);
      g.fillRect(x - 1, 0, 2, h);
      g.fillRect(Math.min(x, x + 8 * side), 0, 8, 2);
      g.fillRect(Math.min(x, x + 8 * side), h - 2, 8, 2);
    }
  }

  #head(g, t, h) {
    const x = this.#x(t);
    g.fillStyle = this.ink.stage;
    g.fillRect(x - 2, 0, 5, h);
    g.fillStyle = this.ink.ink;
    g.fillRect(x - 1, 0, 3, h);
  }

  // describe says the same to who does not see the picture, and in a legend of what is there.
  #describe(t) {
    const p = this.reel.lead ?? this.reel.pictures[0], state = p.stateAt(this.reel.local(p, t)), end = this.reel.end;
    this.root.setAttribute('aria-valuemax', Math.round(end * 1000) / 1000);
    this.root.setAttribute('aria-valuenow', Math.round(t * 1000) / 1000);
    this.root.setAttribute('aria-valuetext', say('of', { time: clock(t, false), all: end ? clock(end, false) : say('no-length') }) + (state ? ' · ' + say(state === 'unchecked' ? 'unchecked' : 'is-' + state) : ''));
    const states = new Set(this.reel.pictures.flatMap(q => q.stretches().map(s => s.state))), any = k => this.facts.some(f => f?.[k]?.length || f?.[k]?.until);
    const kinds = [['checked', states.has('checked')], ['unchecked', states.has('unchecked')], ['broken', states.has('broken')], ['absent', states.has('absent')], ['gap', any('gaps')],
      ['header', any('header')], ['mark', any('marks')], ['reset', any('resets')]].filter(([, on]) => on).map(([k]) => k);
    if (this.told === kinds.join()) return;
    this.told = kinds.join();
    this.legend.replaceChildren(...kinds.map(k => make('li', { class: 'key key-' + k }, say(k === 'unchecked' ? 'unchecked' : 'is-' + k))));
  }
}
