// <camseal-player>: the transport over one recording, or over several in step.

import { icon } from '/js/icons.js';
import * as keyboard from '/js/keys.js';
import { clock, make, say, seconds, useWords, wall } from '/js/page.js';
import '/js/picture.js';
import { Reel } from '/js/reel.js';
import { showFrame } from '/js/sheet.js';
import { Timeline } from '/js/timeline.js';

const speeds = [0.25, 0.5, 1, 1.5, 2, 4, 8];
const ahead = 5; // seconds of newer footage that are worth opening a recording anew for
const written = { 'in-here': 'in', 'out-here': 'out', mark: 'mark', keys: 'keys' }; // buttons that carry words

class Player extends HTMLElement {
  connectedCallback() {
    if (this.built) return;
    this.built = true;
    useWords(this.getAttribute('words'));
    this.pictures = [...this.querySelectorAll('camseal-picture')];
    for (const p of this.pictures) p.build();
    this.alone = this.pictures.length === 1;
    this.form = this.querySelector('.mark-form');
    this.reel = new Reel(this.pictures);
    this.timeline = new Timeline(this.reel, t => this.go(t));
    this.#build();
    keyboard.listen(this);
    this.#follow();
    for (const p of this.pictures) p.load();
    this.#facts();
    this.#asked();
  }

  get timed() { return this.pictures.some(p => p.timed); }

  // can reports whether a key or a button makes sense for what is shown.
  can(what) {
    if (what === 'mark') return !!this.form;
    if (what === 'picture') return this.alone && this.pictures[0].kind !== 'audio';
    if (['keys', 'full'].includes(what)) return true;
    return this.timed;
  }

  #build() {
    this.buttons = {};
    const button = name => {
      const key = keyboard.keys.find(([, text]) => text === name);
      const b = make('button', { type: 'button', class: 'control', 'data-do': name, 'aria-label': say(name), title: `${say(name)} (${keyboard.nameOf(key[0])})`, click: () => key[2](this) },
        icon(name), written[name] ? make('span', {}, say(written[name])) : null);
      this.buttons[name] = b;
      return b;
    };
    const group = (...names) => make('div', { class: 'group' }, ...names.filter(n => this.can(n)).map(button));
    this.time = make('input', { class: 'time', size: 13, 'aria-label': say('time'), autocomplete: 'off', spellcheck: 'false', change: () => this.#typed(), focus: e => e.target.select() });
    this.speed = make('select', { 'aria-label': say('speed'), change: e => this.setRate(Number(e.target.value)) }, ...speeds.map(s => make('option', { value: s }, s + '×')));
    this.speed.value = 1;
    this.points = make('span', { class: 'points' });
    this.wall = make('p', { class: 'wall' });
    this.proven = make('ul', { class: 'proven' });
    this.says = make('p', { class: 'status', role: 'status' });
    this.notes = make('div', { class: 'notes' });
    const place = this.querySelector('.transport');
    if (this.timed) {
      place.append(this.timeline.root, make('div', { class: 'controls' }, group('begin', 'back', 'frame-back', 'play', 'frame-on', 'on', 'end'), make('div', { class: 'group' }, this.speed, this.time),
        make('div', { class: 'group' }, ...['in-here', 'out-here', 'loop', 'clear'].map(button), this.points), group('mark', 'picture', 'silent', 'closer', 'wider', 'full', 'keys')), this.timeline.legend, this.says, this.wall, this.proven);
      this.buttons.loop.setAttribute('aria-pressed', 'false');
      this.buttons.silent.setAttribute('aria-pressed', 'false');
    } else place.append(make('div', { class: 'controls' }, group('picture', 'full', 'keys')), this.says);
    place.append(this.notes);
  }

  // follow keeps what is shown with what plays.
  #follow() {
    this.addEventListener('change', () => this.#changed());
    this.addEventListener('halt', () => { this.shuttling = 0; this.reel.pause(); });
    this.addEventListener('resume', () => { this.reel.play(); });
    this.addEventListener('verdict', e => { if (this.alone) judge(e.detail); });
    for (const p of this.pictures) {
      for (const event of ['play', 'pause', 'ended', 'seeked', 'durationchange', 'progress']) p.media.addEventListener(event, () => this.#changed());
      p.media.addEventListener('click', () => this.timed && this.toggle());
      if (this.alone) p.media.addEventListener('play', () => { this.reel.playing = true; this.#run(); });
      if (this.alone) p.media.addEventListener('pause', () => { if (p.media.paused && !p.media.seeking) this.reel.playing = false; });
      if (this.alone) p.media.addEventListener('seeking', () => { this.reel.at = p.media.currentTime; });
    }
    for (const a of document.querySelectorAll('a.seek')) a.addEventListener('click', e => {
      const t = Number(new URL(a.href).searchParams.get('t'));
      if (!this.alone || !Number.isFinite(t)) return;
      e.preventDefault();
      this.go(t);
    });
    if (this.alone && this.timed && !this.pictures[0].derived) {
      document.addEventListener('growth', e => { this.grown = e.detail; this.#grew(); });
      this.pictures[0].media.addEventListener('ended', () => this.#grew());
    }
    this.form?.addEventListener('submit', e => { e.preventDefault(); this.#sendMark(); });
  }

  // facts asks the server for marks, gaps, times, and what there is to look at.
  async #facts() {
    try {
      this.timeline.facts = await Promise.all(this.pictures.map(async p => {
        const r = await fetch(`/recordings/${p.rec}/timeline`);
        if (!r.ok) throw new Error(r.statusText);
        return r.json();
      }));
    } catch (e) {
      console.info('timeline', e);
      return this.#note('no-timeline');
    }
    this.pictures.forEach((p, i) => { p.known = this.timeline.facts[i].duration / 1000; });
    const [f] = this.timeline.facts;
    if (this.timeline.facts.some(x => x.arriving) && !document.querySelector('[data-growth]')) this.#note('arriving');
    if (f.all_marks > f.marks.length) this.#note('marks-thin', { all: f.all_marks });
    if (this.alone) this.proven.replaceChildren(...f.clock.says.map(line => make('li', {}, line)));
    if (this.alone && new URLSearchParams(location.search).get('at') === 'newest') this.go(Math.max(0, this.pictures[0].length - ahead));
    if (this.alone) this.#looks(f);
    else this.#step();
    this.#changed();
  }

  // grew offers what was stored since the recording was opened here, and goes on with it by itself where playing came to the end of what there was.
  #grew() {
    const [p] = this.pictures, g = this.grown;
    if (!g || !p.session || g.parts <= p.parts.length || this.renewing) return;
    if (!this.notes.querySelector('[data-note=newer]')) {
      this.notes.append(make('p', { 'data-note': 'newer' }, make('button', { type: 'button', class: 'lesser', click: () => this.#goOn() }, say('newer'))));
    }
    if (p.media.ended && (!g.grows || g.stored / 1000 > p.media.currentTime + ahead)) this.#goOn();
  }

  async #goOn() {
    const [p] = this.pictures, on = this.reel.playing || p.media.ended;
    this.renewing = true;
    this.notes.querySelector('[data-note=newer]')?.remove();
    await p.renew();
    try {
      const r = await fetch(`/recordings/${p.rec}/timeline`);
      if (r.ok) this.timeline.facts = [await r.json()];
      p.known = this.timeline.facts[0].duration / 1000;
    } catch (e) {
      console.info('timeline', e);
    }
    this.renewing = false;
    if (on) this.play();
    this.#changed();
  }

  #note(key, values) {
    if (this.notes.querySelector(`[data-note=${key}]`)) return;
    this.notes.append(make('p', { class: 'quiet', 'data-note': key }, say(key, values)));
  }

  // looks fetches the poster strip and the waveform, which are there or not.
  async #looks(f) {
    const at = `/recordings/${this.pictures[0].rec}`, get = async path => { const r = await fetch(at + path); return r.ok ? r.json() : null; };
    const [strip, wave] = await Promise.all([f.strip ? get('/strip') : null, f.wave ? get('/wave') : null]);
    const look = this.timeline.looks[0] = { strip, peaks: wave?.peaks ?? (Array.isArray(wave) ? wave : null) };
    if (strip) {
      const r = await fetch(at + '/strip.jpg');
      if (r.ok) look.image = await createImageBitmap(await r.blob());
    }
    this.timeline.draw();
  }

  // step puts several recordings in step by their recorders' clocks, once all lengths are known, and says how sure that is.
  #step() {
    const ready = () => this.pictures.every(p => p.media.readyState > 0 || !p.stop.hidden);
    if (this.apart) return;
    if (!ready()) {
      for (const p of this.pictures) p.media.addEventListener('loadedmetadata', () => { if (ready()) this.#step(); }, { once: true });
      return;
    }
    const begins = this.timeline.facts.map((f, i) => f.clock.begin ?? (f.clock.end ? f.clock.end - this.pictures[i].length * 1000 : null));
    this.first = Math.min(...begins.filter(b => b !== null));
    this.reel.offsets = begins.map(b => b === null ? 0 : (b - this.first) / 1000);
    const list = make('ul', { class: 'plain' });
    this.timeline.facts.forEach((f, i) => {
      if (begins[i] === null) list.append(make('li', {}, say('step-none', { name: f.name })));
      for (const line of f.clock.says) list.append(make('li', {}, make('bdi', {}, f.name), ': ' + line));
    });
    this.apart = make('p', { class: 'points' });
    this.notes.append(make('p', {}, say('step')), list, this.apart);
    this.go(Math.max(0, ...this.reel.offsets)); // where all of them are on
  }

  // asked goes to ?t=SECONDS.
  #asked() {
    const t = Number(new URLSearchParams(location.search).get('t'));
    if (!(t > 0) || !this.alone || !this.timed) return;
    const m = this.pictures[0].media;
    if (m.readyState > 0) this.go(t);
    else m.addEventListener('loadedmetadata', () => this.go(t), { once: true });
  }

  #changed() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      const t = this.reel.time, on = this.reel.playing || this.shuttling < 0;
      if (this.buttons.play) {
        this.buttons.play.setAttribute('aria-label', say(on ? 'pause' : 'play'));
        this.buttons.play.replaceChildren(icon(on ? 'pause' : 'play'));
      }
      if (document.activeElement !== this.time) this.time.value = clock(t);
      if (this.form && !this.form.contains(document.activeElement)) this.form.elements.at.value = clock(t);
      if (this.wall.textContent !== this.#wallText(t)) this.wall.textContent = this.#wallText(t);
      if (this.alone && this.pictures[0].endless) this.#note('no-length');
      if (this.apart && performance.now() > (this.told ?? 0)) {
        this.told = performance.now() + 500;
        this.apart.textContent = say('apart', { ms: Math.round(this.reel.apart() * 1000) });
      }
      const waits = this.reel.waiting?.getAttribute('name');
      if (waits !== this.waits) this.says.textContent = waits === undefined ? '' : say('waiting', { name: waits });
      this.waits = waits;
      this.timeline.draw();
    });
  }

  // wallText is the time of day of a moment, by the recorder's clock.
  #wallText(t) {
    const f = this.timeline.facts[0];
    if (!f) return '';
    if (!this.alone) return Number.isFinite(this.first) ? say(this.timeline.facts.some(x => x.clock.end !== null) ? 'wall-file' : 'wall', { time: wall(this.first + t * 1000, f.clock.zone) }) : say('no-wall');
    if (f.clock.begin !== null) return say('wall', { time: wall(f.clock.begin + t * 1000, f.clock.zone) });
    const length = this.pictures[0].length;
    if (f.clock.end !== null && length) return say('wall-file', { time: wall(f.clock.end - (length - t) * 1000, f.clock.zone) });
    return say('no-wall');
  }

  // run ticks as long as something plays.
  #run() {
    if (this.running) return;
    this.running = true;
    const tick = () => {
      this.reel.tick();
      const t = this.reel.time, { in: from, out } = this.timeline;
      if (this.looping && out !== null && t >= out && this.reel.playing) this.reel.seek(from ?? 0);
      this.#changed();
      this.running = this.reel.playing;
      if (this.running) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  toggle() { this.reel.playing || this.shuttling < 0 ? this.pause() : this.play(); }

  play() {
    this.shuttling = 0;
    if (!this.timed) return;
    this.reel.play();
    this.#run();
  }

  pause() {
    this.shuttling = 0;
    this.reel.pause();
    this.#changed();
  }

  go(t) {
    if (!this.timed || !Number.isFinite(t)) return;
    this.reel.seek(Math.max(0, t));
    this.#changed();
  }

  // shuttle plays on, or backwards; each press doubles the speed.
  shuttle(way) {
    const before = this.shuttling ?? 0;
    if (way > 0) {
      const rate = this.reel.playing && before >= 0 ? Math.min(8, Math.max(1, this.reel.rate) * 2) : 1;
      this.setRate(rate);
      return this.play();
    }
    this.reel.pause();
    this.shuttling = before < 0 ? Math.max(-8, before * 2) : -1;
    this.says.textContent = say('now-speed', { speed: this.shuttling + '×' });
    if (before >= 0) this.#backwards(performance.now(), this.reel.time);
  }

  // backwards shows earlier and earlier frames, as fast as they come.
  async #backwards(began, from) {
    let rate = this.shuttling, at = from, then = began;
    while (this.shuttling < 0 && at > 0) {
      await new Promise(done => requestAnimationFrame(done));
      const now = performance.now();
      rate = this.shuttling;
      at = Math.max(0, at + rate * (now - then) / 1000);
      then = now;
      if (this.pictures.some(p => p.media.seeking)) continue;
      this.go(at);
    }
    if (at <= 0) this.shuttling = 0;
    this.#changed();
  }

  async step(forwards) {
    this.pause();
    const p = this.reel.lead ?? this.pictures[0];
    if (this.stepping) return;
    this.stepping = true;
    await p.step(forwards);
    this.stepping = false;
    if (!this.alone) this.go(this.reel.offsets[this.pictures.indexOf(p)] + p.media.currentTime);
    this.#changed();
  }

  setRate(rate) {
    this.reel.setRate(rate);
    this.speed.value = rate;
    this.says.textContent = say('now-speed', { speed: rate + '×' });
  }

  faster(by) {
    const i = speeds.findIndex(s => s >= this.reel.rate);
    this.setRate(speeds[Math.max(0, Math.min(speeds.length - 1, i + by))]);
  }

  // point sets where a loop begins or ends; points the wrong way round take the other one away.
  point(side) {
    const t = this.reel.time, l = this.timeline;
    l[side] = t;
    if (l.in !== null && l.out !== null && l.in >= l.out) l[side === 'in' ? 'out' : 'in'] = null;
    this.#tellPoints();
  }

  clear() {
    this.timeline.in = this.timeline.out = null;
    this.looping = false;
    this.#tellPoints();
  }

  loop() {
    this.looping = !this.looping;
    this.timeline.in ??= 0;
    this.timeline.out ??= this.reel.end;
    if (this.looping) this.go(this.timeline.in);
    this.#tellPoints();
  }

  #tellPoints() {
    const { in: from, out } = this.timeline, text = from === null && out === null ? '' : say('points', { in: from === null ? '–' : clock(from), out: out === null ? '–' : clock(out) });
    this.points.textContent = this.says.textContent = text;
    this.buttons.loop.setAttribute('aria-pressed', String(!!this.looping));
    this.timeline.draw();
  }

  toMark(way) {
    const t = this.reel.time, all = this.timeline.marks();
    const m = way > 0 ? all.find(x => x.time > t + 0.05) : all.findLast(x => x.time < t - 0.05);
    if (!m) return;
    this.go(m.time);
    this.says.textContent = '⚑ ' + (m.more ? say('marks-more', m) : m.text);
  }

  mark() {
    if (!this.form) return;
    this.form.elements.at.value = clock(this.reel.time);
    this.form.elements.text.focus();
  }

  async #sendMark() {
    const data = new URLSearchParams(new FormData(this.form)), at = this.form.elements.at.value;
    try {
      const r = await fetch(this.form.action, { method: 'POST', body: data, headers: { Accept: 'application/json' } });
      if (!r.ok) throw new Error(r.statusText);
    } catch (e) {
      console.info('mark', e);
      this.says.textContent = say('mark-failed');
      return;
    }
    this.form.elements.text.value = '';
    this.form.elements.text.blur();
    this.says.textContent = say('marked', { time: at });
    const r = await fetch(`/recordings/${this.pictures[0].rec}/timeline`);
    if (r.ok) this.timeline.facts = [await r.json()];
    this.#changed();
  }

  async picture() {
    if (!this.can('picture')) return;
    this.pause();
    try {
      await showFrame(this.pictures[0], this.timeline.facts[0], this.timed ? this.#wallText(this.reel.time) : '');
    } catch (e) {
      console.info('frame', e);
      this.says.textContent = say('frame-failed');
    }
  }

  silent() {
    const off = !this.pictures[0].media.muted;
    this.pictures[0].media.muted = off;
    this.buttons.silent.setAttribute('aria-pressed', String(off));
  }

  full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.requestFullscreen().catch(e => console.info('full screen', e));
  }

  help() { keyboard.help(this); }

  #typed() {
    const t = seconds(this.time.value);
    if (Number.isFinite(t)) this.go(t);
    this.time.blur();
  }
}

const marks = { sound: '✓', incomplete: '!', broken: '✗' };

// judge writes the verdict on top of the page.
function judge(v) {
  const place = document.querySelector('#verdict');
  if (!place) return;
  place.dataset.state = v.state;
  place.querySelector('.mark').textContent = marks[v.state] ?? '○';
  place.querySelector('.lead').textContent = v.first;
  const open = place.querySelector('details')?.open, lines = v.lines ?? [];
  place.querySelector('.lines')?.remove();
  if (!lines.length) return;
  place.lastElementChild.append(make('details', { class: 'lines', open }, make('summary', {}, say('of-checks')),
    make('ul', { class: 'plain' }, ...lines.map(l => make('li', {}, (l.ok === true ? '✓ ' : l.ok === false ? '✗ ' : '○ ') + l.text)))));
}

customElements.define('camseal-player', Player);
