// Keeps the page current: the server sends the parts that changed, and only those are replaced.

const silence = 12000; // ms without a word after which the page says that it is not connected: two beats of the server and a little
const again = 3000; // ms between attempts to connect
const longest = 2000; // ms that a touch may hold changes back

// as holds each part as the server sent it: scripts add to some of them.
const as = new Map();

class Live extends HTMLElement {
  connectedCallback() {
    this.lost = document.getElementById('lost');
    this.at = this.lost.dataset.at;
    this.heard = performance.now();
    this.waiting = [];
    this.pressed = 0;
    for (const part of document.querySelectorAll('#bar > *, #alarms > *, #people > *, #tiles > *, #slot > *, #groups > *, #heard > *')) as.set(part.id, part.cloneNode(true));
    // A part that is being touched must not be replaced under the finger: the touch would hit nothing.
    for (const kind of ['pointerdown', 'keydown']) document.addEventListener(kind, () => { this.pressed = performance.now(); }, true);
    for (const kind of ['pointerup', 'pointercancel', 'keyup']) document.addEventListener(kind, () => setTimeout(() => this.release()), true);
    this.connect();
    setInterval(() => this.look(), 500);
  }

  connect() {
    this.tried = performance.now();
    this.source?.close();
    this.source = new EventSource(this.getAttribute('src'));
    this.source.onmessage = (e) => this.take(JSON.parse(e.data));
    this.source.onerror = () => this.say(true);
  }

  look() {
    const now = performance.now();
    if (now - this.heard > silence) this.say(true);
    if (this.source.readyState === EventSource.CLOSED && now - this.tried > again || now - this.heard > 2 * silence && now - this.tried > silence) this.connect();
    if (this.pressed && now - this.pressed > longest) this.release();
  }

  say(lost) {
    if (lost && this.lost.hidden) this.lost.textContent = '✗ ' + this.lost.dataset.text.replace('%s', this.at);
    this.lost.hidden = !lost;
    document.body.classList.toggle('stale', lost);
  }

  take(news) {
    if (news.gone) {
      location.reload();
      return;
    }
    this.heard = performance.now();
    this.at = news.at;
    this.say(false);
    this.waiting.push(...news.regions ?? []);
    if (!this.pressed) this.release();
  }

  release() {
    this.pressed = 0;
    for (const region of this.waiting.splice(0)) update(region);
  }
}

// update brings one region to what the server says: order holds the ids of all its parts, parts the HTML of those that changed.
function update({ in: where, order, parts }) {
  const box = document.getElementById(where);
  if (!box) return;
  const focused = box.contains(document.activeElement) ? document.activeElement.id : '';
  for (const child of [...box.children]) if (!order.includes(child.id)) child.remove();
  let before = box.firstElementChild;
  for (const id of order) {
    let part = document.getElementById(id);
    if (parts[id] !== undefined) {
      const fresh = document.createElement('template');
      fresh.innerHTML = parts[id];
      const next = fresh.content.firstElementChild;
      const same = as.get(id)?.isEqualNode(next);
      as.set(id, next.cloneNode(true));
      if (!part) {
        box.insertBefore(next, before);
        part = next;
      } else if (!same) {
        if (part === before) before = next;
        part.replaceWith(next);
        part = next;
      }
    }
    if (!part) continue;
    if (part === before) before = before.nextElementSibling;
    else box.insertBefore(part, before);
  }
  if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

customElements.define('camseal-live', Live);
