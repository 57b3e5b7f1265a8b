// Reel plays one recording, or several in step. Its time is in seconds from where the first of them begins.
//
// Several follow the first that has footage at the moment: their speed is nudged until they are less than half a frame apart.

const slack = 0.012; // seconds apart that are left alone
const jump = 0.4;    // seconds apart from which on a picture is moved at once

export class Reel {
  offsets = [0];
  playing = false;
  rate = 1;
  at = 0;
  waiting = null; // the picture that the others wait for

  constructor(pictures) {
    this.pictures = pictures;
    this.offsets = pictures.map(() => 0);
  }

  get end() { return Math.max(...this.pictures.map((p, i) => this.offsets[i] + (p.length || 0))); }
  get lead() { return this.pictures.find((_, i) => this.#covers(i, this.at)) ?? null; }

  get time() {
    if (this.pictures.length === 1) return this.pictures[0].timed ? this.pictures[0].media.currentTime : 0;
    return this.at;
  }

  // local is the time within one picture's footage.
  local(p, t = this.time) { return t - this.offsets[this.pictures.indexOf(p)]; }

  #covers(i, t) {
    const local = t - this.offsets[i];
    return local >= 0 && (local < this.pictures[i].length || this.pictures.length === 1);
  }

  seek(t) {
    this.at = Math.max(0, Number.isFinite(this.end) && this.end > 0 ? Math.min(t, this.end) : t);
    this.pictures.forEach((p, i) => {
      const here = this.#covers(i, this.at);
      if (this.pictures.length > 1) p.away.hidden = here;
      if (here) p.seekTo(this.at - this.offsets[i]);
      else p.media.pause();
    });
    if (this.playing) this.#start();
  }

  play() {
    if (this.end > 0 && this.time >= this.end - 0.02) this.seek(0);
    this.playing = true;
    this.#start();
  }

  pause() {
    this.playing = false;
    this.waiting = null;
    for (const p of this.pictures) p.media.pause();
    this.#align();
  }

  setRate(rate) {
    this.rate = rate;
    for (const p of this.pictures) p.media.playbackRate = rate;
  }

  // tick is called for every picture that the screen draws.
  tick() {
    if (!this.playing) return;
    const [only] = this.pictures;
    if (this.pictures.length === 1) {
      if (only.media.ended) this.pause(); // it would go on by itself when it is moved
      else if (!only.stop.hidden) this.playing = false;
      return;
    }
    const covered = this.pictures.filter((_, i) => this.#covers(i, this.at));
    if (!covered.length) return this.#nextBegin();
    if (covered.some(p => !p.stop.hidden)) return this.pause();
    this.waiting = covered.find(p => !p.media.ended && (p.media.readyState < 3 || p.media.seeking)) ?? null;
    if (this.waiting) return covered.forEach(p => p.media.pause());
    const lead = covered[0];
    if (lead.media.paused && !lead.media.ended) return this.#start();
    this.at = this.offsets[this.pictures.indexOf(lead)] + lead.media.currentTime;
    if (lead.media.ended) this.at += 0.001;
    this.pictures.forEach((p, i) => this.#follow(p, i, lead));
  }

  #follow(p, i, lead) {
    const here = this.#covers(i, this.at);
    p.away.hidden = here;
    if (!here) return p.media.pause();
    if (p === lead) { p.media.playbackRate = this.rate; return; }
    const apart = this.at - this.offsets[i] - p.media.currentTime;
    if (p.media.paused || Math.abs(apart) > jump) {
      p.media.currentTime = this.at - this.offsets[i];
      this.#run(p);
    } else {
      p.media.playbackRate = Math.abs(apart) < slack ? this.rate : this.rate * (1 + Math.max(-0.2, Math.min(0.2, apart * 2)));
    }
  }

  // apart is how far the pictures are out of step, in seconds.
  apart() {
    const times = this.pictures.filter((_, i) => this.#covers(i, this.at)).map(p => p.media.currentTime + this.offsets[this.pictures.indexOf(p)]);
    return times.length > 1 ? Math.max(...times) - Math.min(...times) : 0;
  }

  #start() {
    this.pictures.forEach((p, i) => {
      if (!p.timed || !this.#covers(i, this.at)) return;
      p.media.playbackRate = this.rate;
      this.#run(p);
    });
  }

  #run(p) { p.media.play().catch(() => { /* it was paused again, or can't be played: the picture says so itself */ }); }

  #nextBegin() {
    const next = this.offsets.filter(o => o > this.at).sort((a, b) => a - b)[0];
    if (next === undefined) return this.pause();
    this.seek(next);
  }

  #align() {
    if (this.pictures.length > 1) this.seek(this.at);
  }
}
