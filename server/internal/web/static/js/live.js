// The wall of recorders on duty: <camseal-live> is one recorder's screen, <camseal-wall> keeps what is said about them new.

import { make, say, useWords } from '/js/page.js';
import { Watch } from '/js/whep.js';

const oldAfter = 5_000; // without a picture, what is shown is said to be old
const every = 2_000;

// Screen shows one recorder. data-state says what it does: idle, asking, playing, still, again, refused, off. After the first picture,
// data-first-ms says how long after the click that came, and data-frames counts pictures.
class Screen extends HTMLElement {
  connectedCallback() {
    if (this.built) return;
    this.built = true;
    this.says = this.querySelector('.live-told');
    this.idle = this.says.textContent;
    this.name = this.getAttribute('name');
    const button = (name, act) => make('button', { type: 'button', class: 'second', 'data-do': name, 'aria-label': say(name + '-of', { name: this.name }), click: act }, say(name));
    this.buttons = { watch: button('watch', () => this.watch()), stop: button('stop', () => this.stop()), sound: button('sound', () => this.#sound()), full: button('full', () => this.#full()) };
    this.video = make('video', { playsinline: true, disablepictureinpicture: true, disableremoteplayback: true, 'aria-label': say('picture', { name: this.name }) });
    this.video.muted = true;
    this.frame = make('div', { class: 'live-screen' }, this.video, make('p', { class: 'live-evidence' }, say('evidence')), this.says);
    this.says.setAttribute('role', 'status');
    this.replaceChildren(this.frame, make('div', { class: 'live-do' }, ...Object.values(this.buttons)));
    this.#state('idle');
    this.refresh();
    addEventListener('pagehide', () => this.stop());
  }

  // refresh takes what the server says anew.
  refresh() {
    const { watch, sound, full, stop } = this.buttons, on = !!this.watching;
    watch.hidden = on || !this.hasAttribute('watch');
    stop.hidden = full.hidden = !on;
    sound.hidden = !on || !this.hasAttribute('sound');
    if (!on) this.says.textContent = this.last ?? this.idle;
  }

  watch() {
    if (this.watching) return;
    if (!this.hasAttribute('ready')) {
      location.href = '/live/purpose?' + new URLSearchParams({ next: this.closest('camseal-wall').getAttribute('next') });
      return;
    }
    if (!window.RTCPeerConnection) return this.#say('no-webrtc');
    this.last = null;
    this.began = performance.now();
    delete this.dataset.firstMs;
    this.stream = new MediaStream();
    this.video.srcObject = this.stream;
    this.watching = new Watch(`/live/${this.getAttribute('stream')}/whep`, this.stream, (state, of) => this.#told(state, of));
    this.refresh();
    this.buttons.stop.focus();
    this.#next();
    this.clock = setInterval(() => this.#still(), 1000);
  }

  stop(why = 'ended') {
    if (!this.watching) return;
    const held = this.contains(document.activeElement);
    this.watching.end(why !== 'signed-out');
    this.watching = null;
    clearInterval(this.clock);
    this.video.srcObject = null;
    this.#state('idle');
    this.last = say(why);
    this.refresh();
    if (held && !this.buttons.watch.hidden) this.buttons.watch.focus();
  }

  #state(state) { this.dataset.state = state; }

  #say(key, values) { this.says.textContent = key ? say(key, values) : ''; }

  // told hears what becomes of the connection.
  #told(state, of) {
    this.connected = state === 'connected';
    if (state === 'asking') { this.#state('asking'); this.#say('asking'); }
    if (this.connected) this.video.play().catch(e => console.info('live', e));
    if (state === 'again') { this.#state('again'); this.#say(of.why, of); }
    if (state === 'refused') {
      this.stop();
      this.#state('refused');
      this.last = of.status === 401 ? say('signed-out') : say('refused', { why: of.why || of.status });
      this.refresh();
    }
  }

  // next waits for the next picture.
  #next() {
    const watching = this.watching;
    this.video.requestVideoFrameCallback((now, meta) => {
      if (this.watching !== watching || !watching) return;
      if (!this.connected) return this.#next(); // a late one of a connection that is lost
      this.newest = performance.now();
      this.dataset.firstMs ??= Math.round(this.newest - this.began);
      this.dataset.frames = meta.presentedFrames;
      if (this.dataset.state !== 'playing') {
        this.#state('playing');
        this.#say('');
        watching.works();
      }
      this.#next();
    });
  }

  // still says so when the picture is an old one.
  #still() {
    const old = performance.now() - (this.newest ?? 0);
    if (!['playing', 'still'].includes(this.dataset.state) || old < oldAfter) return;
    this.#state('still');
    this.#say('still', { seconds: Math.round(old / 1000) });
  }

  #sound() {
    this.video.muted = !this.video.muted;
    this.buttons.sound.setAttribute('aria-pressed', String(!this.video.muted));
  }

  // full enlarges the screen with all that is written on it.
  #full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.frame.requestFullscreen().catch(e => console.info('live', e));
  }
}

// Wall asks every two seconds what is new, and puts it in its places; pictures that are watched are left alone.
class Wall extends HTMLElement {
  connectedCallback() {
    this.status = this.querySelector('[data-status]');
    setTimeout(() => this.#ask(), every);
  }

  async #ask() {
    try {
      if (!document.hidden) this.#take(await this.#fetch());
      this.#say('');
    } catch (e) {
      console.info('wall', e);
      this.#say('stale');
    }
    if (!this.over) setTimeout(() => this.#ask(), every);
  }

  async #fetch() {
    const r = await fetch(this.getAttribute('state'), { headers: { Accept: 'application/json' } });
    if (r.ok) return r.json();
    if (r.status === 401 || r.status === 403) {
      this.over = true;
      for (const s of this.querySelectorAll('camseal-live')) s.stop('signed-out');
      return null;
    }
    if (r.status === 404 && this.classList.contains('large')) return { tiles: [] };
    throw new Error(r.statusText);
  }

  #say(key) {
    const text = this.over ? say('signed-out') : key && say(key);
    if (this.status.textContent !== text) this.status.textContent = text;
  }

  #take(state) {
    if (!state) return;
    const counts = document.getElementById('live-counts');
    if (counts && state.head && counts.textContent !== state.head) counts.textContent = state.head;
    const place = this.querySelector('.live-wall') ?? this, seen = new Set();
    for (const t of state.tiles) {
      seen.add(t.stream);
      const fresh = new DOMParser().parseFromString(t.html, 'text/html').querySelector('.live-tile');
      const tile = this.#tile(t.stream);
      if (tile) this.#renew(tile, fresh);
      else if (place.matches('.live-wall')) place.append(document.adoptNode(fresh));
    }
    for (const tile of this.querySelectorAll('.live-tile')) if (!seen.has(tile.dataset.stream)) this.#lost(tile);
    const map = document.querySelector('[data-map]');
    if (map && map.dataset.text !== state.map) {
      map.dataset.text = state.map;
      map.replaceChildren(...new DOMParser().parseFromString(state.map ?? '', 'text/html').body.childNodes);
    }
  }

  #tile(stream) { return [...this.querySelectorAll('.live-tile')].find(t => t.dataset.stream === stream); }

  // renew takes over what is said, and leaves the picture and the focus where they are.
  #renew(tile, fresh) {
    tile.classList.toggle('off', fresh.classList.contains('off'));
    const number = tile.querySelector('.no'), facts = tile.querySelector('.live-facts'), news = fresh.querySelector('.live-facts');
    if (number) number.textContent = fresh.querySelector('.no').textContent;
    if (!facts.contains(document.activeElement) || facts.querySelector('.sealed')?.href !== news.querySelector('.sealed')?.href) facts.replaceWith(document.adoptNode(news));
    else facts.querySelector('dl').replaceWith(document.adoptNode(news.querySelector('dl')));
    const screen = tile.querySelector('camseal-live'), now = fresh.querySelector('camseal-live');
    for (const name of ['watch', 'ready', 'sound']) screen.toggleAttribute(name, now.hasAttribute(name));
    screen.idle = now.querySelector('.live-told').textContent;
    screen.refresh();
  }

  // lost takes away who is not on the wall any more, unless somebody looks at it.
  #lost(tile) {
    const screen = tile.querySelector('camseal-live');
    screen.removeAttribute('watch');
    tile.classList.add('off');
    if (screen.watching || !tile.closest('.live-wall')) {
      screen.idle = say('gone');
      return screen.watching || screen.refresh();
    }
    tile.remove();
  }
}

useWords(document.querySelector('camseal-wall')?.getAttribute('words'));
customElements.define('camseal-live', Screen);
customElements.define('camseal-wall', Wall);
