// <camseal-picture>: one recording's picture or sound, with what was checked of it. It never shows bytes that don't match as if they did.

import { open } from '/js/checked.js';
import { clock, make, say } from '/js/page.js';

const patience = 2000; // milliseconds until an error that the session does not explain is shown

// isGone reports whether a part's bytes are not there, rather than others.
function isGone(b) { return b.reason === 'gone' || b.reason === 'absent'; }

export class Picture extends HTMLElement {
  states = [];      // of the parts, by index
  parts = [];
  broken = new Map(); // by index: {index, from, until, reason}
  anyway = new Set(); // indexes of broken parts that are shown as they are
  verdict = null;
  frame = Infinity; // seconds, the shortest that was seen between two frames
  shown = 0;        // the time of the frame on the screen

  get kind() { return this.getAttribute('kind'); }
  get rec() { return this.getAttribute('rec'); }
  get derived() { return this.hasAttribute('derived'); }
  get timed() { return this.kind !== 'img'; }
  get length() { return this.timed && Number.isFinite(this.media.duration) ? this.media.duration : this.known || this.#seekableEnd(); }
  get endless() { return this.timed && this.media.readyState > 0 && !Number.isFinite(this.media.duration); }

  // build makes the elements. load starts.
  build() {
    this.replaceChildren();
    this.media = make(this.kind, { 'aria-label': say(this.derived ? 'derived' : 'original'), ...(this.timed ? { preload: 'auto', playsinline: true, tabindex: 0 } : { alt: say('original') }) });
    this.badges = make('div', { class: 'badges' });
    this.stop = make('div', { class: 'stop', role: 'alert', hidden: true });
    this.away = make('div', { class: 'away', hidden: true }, say('away'));
    this.name = make('p', { class: 'picture-name' }, make('bdi', {}, this.getAttribute('name')));
    this.count = make('span', { class: 'count' }, say('opening'));
    this.check = make('div', { class: 'check' }, this.count, make('details', {}, make('summary', { 'aria-label': say('about-check') }, 'ⓘ'), make('p', {}, say('how'))));
    this.trouble = make('ul', { class: 'trouble', hidden: true });
    this.screen = make('div', { class: 'screen screen-' + this.kind }, this.media, this.away, this.stop, this.badges);
    this.append(this.name, this.screen, this.check, this.trouble);
    for (const event of ['waiting', 'ended', 'timeupdate', 'seeking']) this.media.addEventListener(event, () => this.#changed());
    this.media.addEventListener('error', () => this.#failed());
    this.media.addEventListener('loadedmetadata', () => this.#changed());
    if (this.timed && !this.derived) this.media.addEventListener('durationchange', () => { this.session?.setDuration?.(this.media.duration); this.#tell(); });
    this.#frames();
  }

  // load opens the recording for checked playback; without a worker it plays what the server sends, and says so on the picture.
  async load(at) {
    if (this.derived) {
      this.check.replaceChildren(make('p', {}, say('derived-says')));
      this.#source(this.getAttribute('src'));
      return this.#mark();
    }
    try {
      this.session = await open(this.rec, {
        onpart: () => this.#part(),
        onverdict: v => this.#judge(v),
        onbroken: b => this.#broke(b),
      });
    } catch (e) {
      console.info('checked playback', e);
    }
    const s = this.session;
    this.parts = s?.parts ?? [];
    this.states = s?.states ?? [];
    s?.watch?.(this.media);
    if (s?.verdict) this.#judge(s.verdict);
    if (this.checked && s.checkAll) this.check.prepend(this.all = make('button', { type: 'button', class: 'lesser all', click: () => this.#checkAll() }, say('check-all')));
    this.#source(s?.src ?? this.getAttribute('src'), at);
    this.#tell();
  }

  // renew opens the recording anew, with all that is stored by now, and stays where it is.
  async renew() {
    const at = this.media.currentTime;
    this.session?.close();
    this.all?.remove();
    this.broken.clear();
    this.anyway.clear();
    await this.load(at);
  }

  get checked() { return !this.derived && !!this.session?.src; }

  // stretches returns the parts as times: [{from, until, state}], neighbours of one state joined.
  stretches() {
    const all = this.parts.reduce((n, p) => Math.max(n, p.offset + p.size), 0), out = [];
    this.parts.forEach((p, i) => {
      const from = p.from ?? p.offset / all * this.length, until = p.until ?? (p.offset + p.size) / all * this.length;
      const state = this.anyway.has(i) ? 'broken' : this.states[i] ?? 'unchecked', last = out.at(-1);
      if (last?.state === state) last.until = Math.max(last.until, until);
      else out.push({ from, until, state });
    });
    return out;
  }

  // partAt returns the part that holds a moment of the footage.
  partAt(t) {
    const all = this.parts.reduce((n, p) => Math.max(n, p.offset + p.size), 0);
    return this.parts.find(p => t >= (p.from ?? p.offset / all * this.length) && t < (p.until ?? (p.offset + p.size) / all * this.length)) ?? null;
  }

  // stateAt says what is known about a moment: 'checked', 'unchecked', 'broken', 'absent', or null where there are no parts.
  stateAt(t) {
    const p = this.partAt(t);
    return p ? this.anyway.has(p.index) ? 'broken' : this.states[p.index] ?? 'unchecked' : null;
  }

  // seekTo goes to a time. A stream that broke off does not go on by itself: its source is set anew.
  seekTo(t) {
    if (this.stop.hidden && !this.media.error) this.media.currentTime = t;
    else this.#source(this.session?.src ?? this.getAttribute('src'), t);
  }

  #source(src, at) {
    this.stop.hidden = true;
    if (!this.timed) { // under the same address a browser may wait for the answer that is just failing
      this.tries = (this.tries ?? 0) + 1;
      this.media.src = this.tries > 1 ? `${src}?${this.tries}` : src;
      return;
    }
    this.media.src = src;
    this.media.load();
    if (at != null) this.media.addEventListener('loadedmetadata', () => { this.media.currentTime = at; }, { once: true });
  }

  #seekableEnd() {
    const s = this.media.seekable;
    return s?.length && Number.isFinite(s.end(s.length - 1)) ? s.end(s.length - 1) : 0;
  }

  // checkAll has every part checked, without playing it.
  async #checkAll() {
    this.all.disabled = true;
    await this.session.checkAll();
    this.#tell();
  }

  #part() {
    if (this.session) [this.parts, this.states] = [this.session.parts, this.session.states];
    if (!this.telling) {
      this.telling = true;
      requestAnimationFrame(() => { this.telling = false; this.#tell(); });
    }
  }

  #judge(verdict) {
    this.verdict = verdict;
    this.dispatchEvent(new CustomEvent('verdict', { bubbles: true, detail: verdict }));
  }

  // broke is told of a part that is not as sealed once nothing more can be played in front of it.
  #broke({ index, from, until, reason, text }) {
    if (this.anyway.has(index) && reason !== 'undecodable') return;
    const part = this.parts[index] ?? this.session?.parts[index];
    this.broken.set(index, { index, from: from ?? part?.from, until: until ?? part?.until, reason, text });
    this.#tell();
    if (!this.passing) this.#halt(this.broken.get(index));
  }

  #halt(b) {
    if (this.timed) this.media.pause();
    const timed = b.from != null && b.until != null, buttons = make('p', { class: 'choices' });
    const words = say((isGone(b) ? 'gone' : 'stopped') + (timed ? '' : '-at'), { from: Math.floor(b.from), until: Math.ceil(b.until), part: b.index + 1 });
    const choose = (text, act, look) => buttons.append(make('button', { type: 'button', class: look, click: act }, say(text)));
    if (b.reason === 'unreachable') choose('again', () => this.#again(b));
    else if (this.timed && timed) choose('past', () => this.#past(b));
    if (b.reason === 'changed') choose('anyway', () => this.#anyway(b), 'lesser');
    this.stop.replaceChildren(make('p', {}, make('span', { 'aria-hidden': 'true' }, '✗ '), b.reason === 'unreachable' ? say('unreachable') : b.text ?? words), buttons);
    this.stop.hidden = false;
    this.dispatchEvent(new CustomEvent('halt', { bubbles: true, detail: b }));
  }

  #again(b) {
    this.broken.delete(b.index);
    this.#source(this.session.src, this.timed ? this.media.currentTime : null);
    this.#tell();
  }

  async #past(b) {
    if (await this.#while(() => this.session.goPast(this.media, b.index))) return this.#resume();
    this.stop.replaceChildren(make('p', {}, say('no-past')));
    this.stop.hidden = false;
  }

  async #anyway(b) {
    this.anyway.add(b.index);
    this.stop.hidden = true;
    this.#tell();
    if (this.timed) {
      await this.session.goThrough(this.media, b.index);
      if (this.stop.hidden) this.#resume();
      return;
    }
    this.session.showAnyway(b.index);
    this.#source(this.session.src);
  }

  // while lets the session try several places: what the element complains of meanwhile is not the last word.
  async #while(act) {
    this.stop.hidden = true;
    this.passing = true;
    const went = await act();
    this.passing = false;
    return went;
  }

  #resume() { this.dispatchEvent(new CustomEvent('resume', { bubbles: true })); }

  // failed waits for the session's word on what is wrong, and without one says what the element says.
  #failed() {
    if (this.passing || !this.media.getAttribute('src')) return;
    setTimeout(() => { if (this.timed ? this.media.error : !this.media.naturalWidth) this.#complain(); }, this.checked ? patience : 0);
  }

  #complain() {
    if (this.passing || !this.stop.hidden) return;
    const e = this.media.error, cut = !this.timed || e?.code === MediaError.MEDIA_ERR_NETWORK, at = this.timed ? this.media.currentTime : null;
    const again = make('button', { type: 'button', click: () => this.#source(this.session?.src ?? this.getAttribute('src'), at) }, say('again'));
    this.stop.replaceChildren(make('p', {}, say(cut || this.timed && this.media.readyState > 0 ? 'cut-off' : 'unplayable')), make('p', { class: 'choices' }, again));
    this.stop.hidden = false;
    this.dispatchEvent(new CustomEvent('halt', { bubbles: true }));
  }

  // mark writes on the picture what it is.
  #mark() {
    const t = this.timed ? this.media.currentTime : 0, on = [];
    if (this.derived) on.push(['derived', say('derived')]);
    else if (this.session !== undefined && !this.checked || this.session === undefined && this.media.getAttribute('src')) on.push(['unchecked', '○ ' + say('unchecked')]);
    let wrong = false;
    for (const i of this.anyway) { // what comes after a part that is shown as it is may depend on it
      const b = this.broken.get(i);
      wrong ||= b.from == null || t >= b.from - 1 && t < b.until + 2;
    }
    if (wrong) on.push(['broken', '✗ ' + say('not-sealed')]);
    this.screen.classList.toggle('wrong', wrong);
    const now = JSON.stringify(on);
    if (now !== this.marked) this.badges.replaceChildren(...on.map(([c, text]) => make('span', { class: 'on-picture is-' + c }, text)));
    this.marked = now;
  }

  #tell() {
    const n = this.states.filter((s, i) => s === 'checked' && !this.anyway.has(i)).length;
    if (this.all) this.all.hidden = !this.states.includes('unchecked');
    this.count.textContent = this.checked ? say('checked', { n, all: this.parts.length }) : say('no-worker');
    const wrong = [...this.broken.values()].filter(b => b.reason !== 'unreachable').sort((a, b) => a.index - b.index);
    this.trouble.hidden = !wrong.length;
    this.trouble.replaceChildren(...wrong.slice(0, 50).map(b => make('li', {}, '✗ ', say(isGone(b) ? 'is-absent' : 'is-broken'), ' · ',
      b.from == null ? `${say('of-part')} ${b.index + 1}` : `${clock(b.from, false)}–${clock(b.until, false)}`)));
    this.#changed();
  }

  #changed() {
    this.#mark();
    this.dispatchEvent(new CustomEvent('change', { bubbles: true }));
  }

  // frames learns how long a frame is, and which one is on the screen.
  #frames() {
    if (!this.media.requestVideoFrameCallback) return;
    let before = null;
    const seen = (_, f) => {
      const gap = before ? f.mediaTime - before.mediaTime : 0;
      if (before && f.presentedFrames === before.presentedFrames + 1 && gap > 0.002 && gap < 1) this.frame = Math.min(this.frame, gap);
      before = f;
      this.shown = f.mediaTime;
      this.dispatchEvent(new Event('frame'));
      this.media.requestVideoFrameCallback(seen);
    };
    this.media.requestVideoFrameCallback(seen);
  }

  // step shows the next frame, or the one before. Frames need not be equally long: the one that comes is looked at.
  async step(forwards) {
    this.screen.scrollIntoView({ block: 'nearest' }); // frames that nobody sees are not drawn, and not reported
    const m = this.media, from = this.kind === 'video' ? this.shown : m.currentTime, unit = Number.isFinite(this.frame) ? this.frame : 1 / 120;
    if (this.kind !== 'video') return this.#seek(m.currentTime + (forwards ? 0.04 : -0.04));
    if (!forwards) {
      await this.#seek(from - Math.min(unit, 0.02) / 2);
      return this.#learn(from);
    }
    for (let ahead = unit + 0.001; from + ahead <= m.duration + 1 && ahead < 10; ahead += unit / (Number.isFinite(this.frame) ? 2 : 1)) {
      await this.#seek(from + ahead);
      if (this.shown > from) return this.#learn(from);
    }
  }

  #learn(from) {
    const gap = Math.abs(this.shown - from);
    if (gap > 0.002) this.frame = Math.min(this.frame, gap);
  }

  // seek goes to a time and returns when its frame is on the screen; a frame that is there already is not shown again.
  #seek(t) {
    const m = this.media;
    return new Promise(done => {
      let timer;
      const end = () => { clearTimeout(timer); this.removeEventListener('frame', end); done(); };
      m.addEventListener('seeked', () => { timer = setTimeout(end, this.kind === 'video' ? 120 : 0); }, { once: true });
      this.addEventListener('frame', end);
      timer = setTimeout(end, 3000);
      m.currentTime = Math.max(0, Math.min(t, this.length || t));
    });
  }
}

customElements.define('camseal-picture', Picture);
