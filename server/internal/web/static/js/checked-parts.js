// The parts of one recording: fetched, hashed, and given out only if they are what they should be. At most four are kept.

const KEPT = 4;
const SLICE = 1 << 20;    // bytes given out at once
const TRIES = [300, 1000, 3000]; // milliseconds to wait before the server is asked again

class Stop extends Error {
  constructor(index, reason) {
    super(`part ${index}: ${reason}`);
    this.reason = reason;
  }
}

const hex = buffer => Array.from(new Uint8Array(buffer), b => b.toString(16).padStart(2, '0')).join('');

// fitted cuts or fills what is given out of a wrong part to the size that a player counts on.
function fitted(bytes, size) {
  const out = new Uint8Array(size);
  out.set(bytes.subarray(0, size));
  return out;
}

// whole reads an answer that should have so many bytes. It takes half the time of arrayBuffer, which does not know how many are coming.
async function whole(answer, size) {
  const reader = answer.body.getReader();
  let out = new Uint8Array(size), at = 0;
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return out.subarray(0, at);
    if (at + value.length > out.length) {
      const larger = new Uint8Array(at + value.length); // more than there should be: it is not the part, whatever it is
      larger.set(out.subarray(0, at));
      out = larger;
    }
    out.set(value, at);
    at += value.length;
  }
}

// remember hands bytes over to the service worker.
function remember(key, bytes) {
  navigator.serviceWorker?.controller?.postMessage({remember: key, bytes}, [bytes.buffer]);
}

// recall asks the service worker for a part that it may remember; null if it does not.
function recall(key) {
  const worker = navigator.serviceWorker?.controller;
  if (!worker) return null;
  return new Promise(resolve => {
    const {port1, port2} = new MessageChannel();
    port1.onmessage = ({data}) => { port1.close(); resolve(data); };
    setTimeout(resolve, 100, null);
    worker.postMessage({recall: key}, [port2]);
  });
}

export class Parts {
  constructor(rec, list, calls) {
    this.rec = rec;
    this.calls = calls;
    this.parts = [];
    this.states = [];
    this.reasons = new Map(); // why a part is broken
    this.kept = new Map();    // bytes or promises of them, the oldest first
    this.allowed = new Map(); // what is given out of parts that are not right: zeros or raw
    this.right = new Set();   // parts whose bytes have the hash of the list
    this.first = new Set();   // parts that the service worker remembers for the next visit
    this.fetching = 0;
    this.ended = new AbortController();
    let offset = 0;
    for (const [index, p] of list.entries()) {
      this.parts.push({index, offset, size: p.size, hash: p.hash, absent: p.absent === true, from: p.from ?? null, until: p.until ?? null});
      this.states.push(p.absent ? 'absent' : 'unchecked');
      offset += p.size;
    }
    this.stated = this.parts.map(p => p.from !== null);
  }

  // busy says whether a part is being fetched.
  get busy() { return this.fetching > 0; }

  get matched() { return this.right.size; }

  // sealedAs compares the server's list with what was sealed, null if that is not known: then no part counts as checked.
  sealedAs(sealed) {
    this.known = Boolean(sealed);
    if (!sealed) return;
    for (const p of this.parts) {
      const want = sealed[p.index];
      if (!want || want.hash !== p.hash || want.size !== p.size || want.offset !== p.offset || Boolean(want.absent) !== p.absent) {
        this.break(p.index, 'list');
        this.calls.broken({index: p.index, reason: 'list'});
      } else if (this.right.has(p.index)) {
        this.become(p.index, 'checked');
      }
    }
  }

  // unsealed says that what was sealed can't be found out here: the server's list has to do, and the verdict says so.
  unsealed() {
    this.known = true;
    for (const i of this.right) this.become(i, 'checked');
  }

  // spread gives seconds to the parts that have none, as if the bytes were evenly spread over the footage.
  spread(seconds, size) {
    for (const p of this.parts) {
      if (this.stated[p.index] || size === 0) continue;
      p.from = seconds * p.offset / size;
      p.until = seconds * (p.offset + p.size) / size;
    }
  }

  allow(index, how) {
    this.kept.delete(index);
    this.allowed.set(index, how);
  }

  close() {
    this.ended.abort();
    this.kept.clear();
  }

  become(index, state) {
    if (this.states[index] === state) return;
    this.states[index] = state;
    this.calls.part(index);
  }

  break(index, reason) {
    this.right.delete(index);
    this.kept.delete(index);
    const known = this.reasons.has(index);
    this.reasons.set(index, reason);
    this.become(index, 'broken');
    // The server looks for itself, and writes down what it finds: the custodian must hear of it.
    if (!known && reason !== 'list') fetch(`/recordings/${this.rec}/parts/${index}/check`, {method: 'POST'}).catch(() => {});
  }

  // bytes returns some bytes from a place on, a copy. It throws, and says why, if they may not be shown.
  async bytes(at, until) {
    const index = this.find(at), p = this.parts[index];
    let whole;
    try {
      whole = await this.load(index);
    } catch (error) {
      if (error instanceof Stop) this.calls.broken({index, reason: error.reason});
      throw error;
    }
    if (at - p.offset > p.size / 2 && index + 1 < this.parts.length) this.load(index + 1).catch(() => {}); // is wanted next
    return whole.slice(at - p.offset, Math.min(at - p.offset + SLICE, until - p.offset, p.size));
  }

  find(at) {
    let low = 0, high = this.parts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.parts[middle].offset <= at) low = middle; else high = middle - 1;
    }
    return low;
  }

  // load returns a part's bytes, all of them, checked or allowed.
  load(index) {
    let found = this.kept.get(index);
    this.kept.delete(index);
    if (!found) {
      found = this.fetch(index);
      found.catch(() => { if (this.kept.get(index) === found) this.kept.delete(index); });
    }
    this.kept.set(index, found);
    while (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
    return found;
  }

  // check checks a part without keeping its bytes.
  async check(index) {
    if (this.states[index] === 'unchecked' && !this.right.has(index)) await (this.kept.get(index) ?? this.fetch(index));
  }

  async fetch(index) {
    const p = this.parts[index], allowed = this.allowed.get(index);
    if (allowed === 'zeros') return new Uint8Array(p.size);
    if (p.absent) throw new Stop(index, 'absent');
    if (!allowed && this.reasons.has(index)) throw new Stop(index, this.reasons.get(index));
    const known = this.first.has(index) && !allowed ? await recall(`${this.rec}/${index}`) : null;
    const answer = known && await this.fits(p, known) ? {bytes: known} : await this.get(index);
    if (answer.status === 410) {
      this.break(index, 'gone');
      throw new Stop(index, 'gone');
    }
    const {bytes} = answer;
    if (allowed) return fitted(bytes, p.size);
    if (bytes !== known && !await this.fits(p, bytes)) {
      this.break(index, 'changed');
      throw new Stop(index, 'changed');
    }
    if (bytes !== known && this.first.has(index)) remember(`${this.rec}/${index}`, bytes.slice());
    if (this.reasons.has(index)) throw new Stop(index, this.reasons.get(index)); // meanwhile
    this.right.add(index);
    if (this.known) this.become(index, 'checked');
    else this.calls.progress();
    return bytes;
  }

  // fits says whether bytes are those of a part.
  async fits(p, bytes) {
    return bytes.length === p.size && hex(await crypto.subtle.digest('SHA-256', bytes)) === p.hash;
  }

  // get fetches a part, and asks again for a while if the server can't be reached.
  async get(index) {
    this.fetching++;
    try {
      return await this.ask(index);
    } finally {
      this.fetching--;
    }
  }

  async ask(index) {
    for (let tried = 0; ; tried++) {
      try {
        const answer = await fetch(`/recordings/${this.rec}/parts/${index}`, {signal: this.ended.signal});
        if (answer.status === 410) return answer;
        if (!answer.ok) throw new Error(String(answer.status));
        return {bytes: await whole(answer, this.parts[index].size)};
      } catch (error) {
        if (this.ended.signal.aborted) throw error;
        if (tried === TRIES.length) throw new Stop(index, 'unreachable');
        await new Promise(resolve => setTimeout(resolve, TRIES[tried]));
      }
    }
  }
}
