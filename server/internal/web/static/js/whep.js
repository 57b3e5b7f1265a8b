// Watching live by WHEP: an offer to receive, the server's answer, and a DELETE at the end. Connections that are lost are made again.

const waits = [1, 2, 4, 8, 16, 30]; // seconds between attempts
const patience = 10_000; // for a connection to come about, after the answer
const grace = 3_000; // in which a lost connection may come back by itself

// serversOf reads the ICE servers that an answer's Link headers name (RFC 9725, 4.6).
export function serversOf(header) {
  const servers = [];
  for (const link of (header ?? '').split(/,\s*(?=<)/)) {
    const m = link.match(/^\s*<([^>]*)>(.*)$/s);
    if (!m || !/;\s*rel="?ice-server"?(?=\s*(;|$))/i.test(m[2])) continue;
    const value = name => m[2].match(new RegExp(`;\\s*${name}="((?:[^"\\\\]|\\\\.)*)"`, 'i'))?.[1].replace(/\\(.)/g, '$1');
    const server = { urls: m[1] }, username = value('username'), credential = value('credential');
    if (username !== undefined && credential !== undefined) Object.assign(server, { username, credential });
    servers.push(server);
  }
  return servers;
}

// wordsOf is what a refusal says, which is text or JSON.
function wordsOf(text) {
  try { return JSON.parse(text).message; } catch { return text.trim(); }
}

// Watch asks for one stream until it is ended. It tells what happens by on(state, details): asking, connected, again, refused.
export class Watch {
  constructor(address, stream, on) {
    this.address = address;
    this.stream = stream; // a MediaStream, whose tracks are replaced with each connection
    this.on = on;
    this.tries = 0;
    this.#ask();
  }

  // end ends it for good, and tells the server, even while the page goes away; unless who is signed out has nothing to tell it.
  end(tell = true) {
    this.over = true;
    if (!tell) this.session = null;
    this.#drop();
  }

  // works says that pictures come: the next loss is a new one.
  works() { this.tries = 0; }

  #drop() {
    clearTimeout(this.timer);
    const { pc, session } = this;
    this.pc = this.session = null;
    if (!session) return pc?.close();
    // Closed ahead of the DELETE, the connection would have the server answer that there is no such session.
    fetch(session, { method: 'DELETE', keepalive: true }).catch(() => 0).finally(() => pc?.close()); // the server notices all the same
  }

  async #ask() {
    this.on('asking');
    const pc = this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    try {
      for (const kind of ['video', 'audio']) pc.addTransceiver(kind, { direction: 'recvonly' });
      pc.addEventListener('track', e => this.#track(pc, e.track));
      pc.addEventListener('connectionstatechange', () => this.#changed(pc));
      const offer = await pc.createOffer();
      const r = await fetch(this.address, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer.sdp });
      const text = await r.text();
      if (r.status === 201) this.session = new URL(r.headers.get('Location'), new URL(this.address, location)).href;
      if (this.pc !== pc) return this.#drop();
      if (r.status !== 201) return this.#refused(r, text);
      const iceServers = serversOf(r.headers.get('Link'));
      if (iceServers.length) pc.setConfiguration({ ...pc.getConfiguration(), iceServers });
      await pc.setLocalDescription(offer);
      await pc.setRemoteDescription({ type: 'answer', sdp: text });
      this.timer = setTimeout(() => pc.connectionState === 'connected' || this.#again('again'), patience);
    } catch (e) {
      console.info('live', e);
      if (this.pc === pc) this.#again('again');
    }
  }

  #track(pc, track) {
    if (this.pc !== pc) return;
    for (const old of this.stream.getTracks()) if (old.kind === track.kind) this.stream.removeTrack(old);
    this.stream.addTrack(track);
  }

  #changed(pc) {
    if (this.pc !== pc) return;
    clearTimeout(this.timer);
    switch (pc.connectionState) {
      case 'connected': return this.on('connected');
      case 'disconnected': this.timer = setTimeout(() => this.#again('lost'), grace); return;
      case 'failed': case 'closed': return this.#again('lost');
    }
  }

  // refused: what may change is asked again, what won't is not.
  #refused(r, why) {
    const after = Number(r.headers.get('Retry-After'));
    if (r.status === 503 || r.status === 429 || r.status >= 500) return this.#again('busy', after);
    this.over = true;
    this.#drop();
    this.on('refused', { status: r.status, why: wordsOf(why) });
  }

  #again(why, after = 0) {
    this.#drop();
    if (this.over) return;
    const wait = Math.max(waits[Math.min(this.tries, waits.length - 1)], Math.min(after || 0, 60));
    this.tries++;
    this.on('again', { why, seconds: wait });
    this.timer = setTimeout(() => this.#ask(), wait * (900 + Math.random() * 200));
  }
}
