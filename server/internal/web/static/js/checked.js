// Checked playback: what is played is what was sealed. A session fetches a recording's parts, hashes each, and hands its bytes to the
// player, by way of a service worker, only if they are those that were sealed. What was sealed is found by the verifier itself, here in
// the browser. Until it has answered, parts are held against the server's list, and none counts as checked.
import {Parts} from '/js/checked-parts.js';

const STARVES = 600; // milliseconds that an element is without data before a part is to blame
const FIRST = 2000;  // milliseconds that the first picture has to itself
const sessions = new Map();
let controlled; // promise of whether a service worker answers for this page

// open begins a session for a recording. onpart(index, state), onverdict(verdict), onbroken({index, from, until, reason, text}) may be left out.
export async function open(rec, {parts: sealed, onpart, onverdict, onbroken} = {}) {
  const worker = controller();
  const list = sealed ?? await fetch(`/recordings/${rec}/parts`).then(answer => {
    if (!answer.ok) throw new Error(`the list of parts: ${answer.status}`);
    return answer.json();
  });
  const session = new Session(rec, list, {onpart, onverdict, onbroken});
  if (window.crypto?.subtle && list.parts.length > 0) { // while the worker starts
    session.read.first = new Set([0, list.next ?? 0]);
    for (const index of session.read.first) session.read.load(index).catch(() => {});
  }
  session.start(await worker);
  return session;
}

// controller has a service worker answer for this page, and says whether one does.
function controller() {
  return controlled ??= (async () => {
    const all = navigator.serviceWorker;
    if (!all || !window.crypto?.subtle) return false;
    try {
      all.addEventListener('message', serve);
      all.startMessages();
      const registered = all.register('/checked-worker.js', {scope: '/'});
      if (!all.controller) {
        const taken = new Promise(resolve => {
          all.addEventListener('controllerchange', () => resolve(), {once: true});
          setTimeout(resolve, 8000);
        });
        (await registered).active?.postMessage('claim'); // a page that was reloaded past the worker
        await taken;
      }
      registered.catch(() => {}); // a worker is there; a newer one can come with the next page
      return all.controller !== null;
    } catch {
      return false;
    }
  })();
}

// serve answers one request that the service worker passes on: first the head, then bytes whenever more is asked for.
function serve({data, ports: [port]}) {
  const session = sessions.get(data?.checked);
  if (!session) {
    port?.postMessage(null);
    return;
  }
  const {size, type} = session;
  const asked = rangeOf(data.range, size);
  const headers = {'Content-Type': type, 'Accept-Ranges': 'bytes', 'Cache-Control': 'no-store'};
  if (!asked) {
    port.postMessage({status: 416, headers: {...headers, 'Content-Range': `bytes */${size}`}, length: 0});
    return;
  }
  let [at, until] = asked;
  if (data.range) headers['Content-Range'] = `bytes ${at}-${until - 1}/${size}`;
  headers['Content-Length'] = String(until - at);
  port.onmessage = async ({data: word}) => {
    if (word !== 'more') {
      port.close();
      return;
    }
    try {
      const bytes = await session.read.bytes(at, until);
      at += bytes.length;
      session.given++;
      port.postMessage({bytes, last: at >= until}, [bytes.buffer]);
    } catch (error) {
      port.postMessage({failed: String(error?.message ?? error)});
    }
  };
  port.postMessage({status: data.range ? 206 : 200, headers, length: until - at});
}

// rangeOf reads a Range header: from, until; null if it can't be served.
function rangeOf(header, size) {
  if (!header) return [0, size];
  const [, first, last] = header.match(/^bytes=(\d*)-(\d*)$/) ?? [];
  if (first === undefined || first === '' && last === '') return null;
  const from = first === '' ? Math.max(size - Number(last), 0) : Number(first);
  const until = first === '' || last === '' ? size : Math.min(Number(last) + 1, size);
  return from < until ? [from, until] : null;
}

// playsFrom sets the source anew, for a stream that failed does not go on by itself, and says whether it plays from a time on.
function playsFrom(media, src, at) {
  return new Promise(resolve => {
    const heard = new AbortController();
    const end = plays => { heard.abort(); clearTimeout(late); resolve(plays); };
    const late = setTimeout(end, 15000, false);
    const on = (event, act) => media.addEventListener(event, act, {signal: heard.signal});
    on('loadedmetadata', () => { media.currentTime = at; media.play().catch(() => {}); });
    on('error', () => end(false));
    on('timeupdate', () => { if (!media.seeking && media.currentTime > at + 0.1) end(true); });
    media.src = src;
    media.load();
  });
}

class Session {
  constructor(rec, list, calls) {
    this.rec = rec;
    this.calls = calls;
    this.size = list.size;
    this.type = list.type;
    this.list = list;
    this.texts = list.texts;
    this.src = null;
    this.read = new Parts(rec, list.parts, {part: index => this.partChanged(index), progress: () => this.judge(), broken: found => this.found(found)});
    this.parts = this.read.parts;
    this.states = this.read.states;
    this.proof = null; // what the verifier answered
    this.verdict = null;
    this.duration = 0;
    this.given = 0;  // pieces handed to the player
    this.hit = null; // the part that a stream stopped at
  }

  // watch tells the session which element plays it. A player reads ahead: with this, onbroken comes when nothing more can be played before
  // the part, and not when it is first read.
  watch(media) {
    this.media = media;
    for (const event of ['loadeddata', 'load', 'error']) {
      media.addEventListener(event, () => { if (media.currentSrc.includes(this.src)) this.prove(); });
    }
  }

  start(worker) {
    if (worker && this.size > 0) {
      this.id = crypto.randomUUID();
      sessions.set(this.id, this);
      this.src = `/checked/${this.id}/${this.rec}`;
    }
    this.worker = worker;
    this.judge();
    setTimeout(() => this.prove(), this.src ? FIRST : 0); // the first picture comes first
  }

  // prove has the verifier check the proofs.
  prove() {
    if (this.closed || this.proving) return;
    this.proving = true;
    if (!this.list.wasm || !this.list.runner || !window.Worker || !window.WebAssembly) {
      this.proven({failed: 'none', why: 'no-verifier'});
      return;
    }
    this.prover = new Worker('/js/checked-proof.js');
    this.prover.onmessage = ({data}) => this.proven(data);
    this.prover.onerror = event => { event.preventDefault(); this.proven({failed: event.message}); };
    this.prover.postMessage({rec: this.rec, lang: document.documentElement.lang, verifier: this.list.wasm, runner: this.list.runner});
  }

  // proven takes in the verifier's answer.
  proven(answer) {
    this.proof = answer;
    if (!answer.failed) this.read.sealedAs(answer.parts);
    else this.read.unsealed();
    this.judge();
  }

  // setDuration tells the length of the footage in seconds, for parts whose seconds the recorder did not state.
  setDuration(seconds) {
    if (!(seconds > 0) || !isFinite(seconds)) return;
    this.duration = seconds;
    this.read.spread(seconds, this.size);
  }

  // passOver gives up a part that can't be shown: the player goes on behind it, and zeros stand in its place for whatever reads ahead.
  passOver(index) { this.allow(index, 'zeros'); }

  // goPast passes a part over and has the player play on behind it, and says whether that went. Where a picture that others build upon
  // begins in that part, they can't be decoded either: it tries a little later, and later again.
  async goPast(media, index) {
    this.passOver(index);
    const begin = this.parts[index].until ?? media.currentTime;
    for (const later of [0.05, 0.5, 1, 2, 4, 8, 16]) {
      if (this.closed || begin + later >= media.duration) break;
      if (await playsFrom(media, this.src, begin + later)) return true;
    }
    return false;
  }

  // showAnyway lets a part's bytes through as they lie in the vault. The player marks them.
  showAnyway(index) { this.allow(index, 'raw'); }

  allow(index, how) {
    if (this.hit?.index === index) this.hit = null;
    this.read.allow(index, how);
  }

  // goThrough shows a part anyway and has the player play on. Changed bytes need not make sense to it: if they do not, onbroken says so.
  async goThrough(media, index) {
    this.showAnyway(index);
    media.addEventListener('error', () => this.tell({index, reason: 'undecodable'}), {once: true});
    await playsFrom(media, this.src, media.currentTime);
  }

  // checkAll checks every part that was not checked yet, one after the other. It does not keep their bytes.
  async checkAll(signal) {
    for (let i = 0; i < this.parts.length && !signal?.aborted && !this.closed; i++) {
      await this.read.check(i).catch(() => {});
    }
  }

  close() {
    this.closed = true;
    sessions.delete(this.id);
    this.prover?.terminate();
    this.read.close();
  }

  partChanged(index) {
    this.calls.onpart?.(index, this.states[index]);
    this.judge();
  }

  found(hit) {
    if (this.media?.readyState === undefined || hit.reason === 'list') {
      this.tell(hit);
      return;
    }
    this.hit = hit;
    this.starved = 0;
    this.looking ??= setInterval(() => this.look(), STARVES / 3);
  }

  // look sees whether the element has nothing left to play and nothing comes, for lack of the part that was hit.
  look() {
    const {media, hit, given} = this;
    const hungry = media.error || media.readyState <= media.HAVE_CURRENT_DATA && !media.ended;
    this.starved = hungry && !this.read.busy && given === this.seen ? this.starved + 1 : 0;
    this.seen = given;
    if (!this.closed && hit && this.starved < 3) return;
    clearInterval(this.looking);
    this.looking = this.hit = null;
    if (!this.closed && hit) this.tell(hit);
  }

  tell({index, reason}) {
    const {from, until} = this.parts[index];
    this.calls.onbroken?.({index, from, until, reason, text: this.words(index, reason)});
  }

  // words says what is wrong with a part.
  words(index, reason) {
    const p = this.parts[index];
    const at = p.from === null ? this.say('at-bytes', {from: p.offset, until: p.offset + p.size - 1, part: index + 1})
      : this.read.stated[index] ? this.say('at-exact', {from: p.from, until: p.until}) : this.say('at', {from: Math.floor(p.from), until: Math.ceil(p.until)});
    return this.say(reason, {at});
  }

  say(key, values = {}) {
    return (this.texts[key] ?? key).replace(/\{([a-z]+)\}/g, (all, name) => values[name] ?? all);
  }

  // judge draws the verdict: never rounder than what is known.
  judge() {
    const of = this.parts.length, n = this.read.matched, proof = this.proof;
    const bad = this.states.indexOf('broken');
    const lost = proof?.verdict === 'broken', unread = proof?.failed || proof?.verdict === 'unreadable';
    const whole = n === this.states.filter(s => s !== 'absent').length;
    let state, first;
    if (bad >= 0 || lost) {
      state = 'broken';
      first = this.say('broken', {first: lost ? proof.first : this.words(bad, this.read.reasons.get(bad))});
    } else if (this.size > 0 && this.worker === false) {
      [state, first] = ['unavailable', this.say('no-worker')];
    } else if (unread) {
      [state, first] = ['unavailable', this.say('no-proofs', {why: this.say(proof.why ?? 'proofs-failed'), n, of})];
    } else if (!proof) {
      [state, first] = ['checking', this.say('checking', {n, of})];
    } else if (!whole) {
      [state, first] = ['checking', this.say(proof.first ? 'parts-less' : 'parts', {n, of})];
    } else if (proof.first) {
      [state, first] = ['incomplete', this.say('incomplete', {n, of, first: proof.first})];
    } else {
      [state, first] = ['sound', this.say(of ? 'sound' : 'sound-0', {n, of})];
    }
    this.verdict = {state, first, lines: this.lines(n, of, bad, whole)};
    this.calls.onverdict?.(this.verdict);
  }

  lines(n, of, bad, whole) {
    const out = [{key: 'parts', ok: bad >= 0 ? false : whole && this.proof && !this.proof.failed ? true : null,
      text: this.say(this.proof && !this.proof.failed ? 'line-parts' : 'line-list', {n, of})}];
    this.states.forEach((state, i) => {
      if (state === 'broken' && out.length < 20) out.push({key: `part-${i}`, ok: false, text: this.words(i, this.read.reasons.get(i))});
    });
    if (this.list.sealed > of) out.push({key: 'more', ok: null, text: this.say('more', {n: this.list.sealed - of})});
    return [...out, ...(this.proof?.lines ?? []), {key: 'key', ok: null, text: this.say('key')}];
  }
}
