// Keeps the page current: the recorder sends the parts that changed.

const silence = 4000; // ms without a word after which the page says that it is not connected
const longest = 2000; // ms that a touch may hold changes back

let heard = performance.now();
let pressed = 0;
let source;
const waiting = new Map();

// A button that is being touched must not be replaced under the finger: the touch would hit another one.
function release() {
  pressed = 0;
  for (const [id, html] of waiting) {
    const box = document.getElementById(id);
    const fresh = document.createElement('div');
    fresh.innerHTML = html;
    if (fresh.innerHTML === box.innerHTML.trim()) continue;
    const focused = box.contains(document.activeElement) ? document.activeElement.id : '';
    box.replaceChildren(...fresh.childNodes);
    if (focused) (document.getElementById(focused) ?? box.querySelector('button:enabled'))?.focus({ preventScroll: true });
  }
  waiting.clear();
}

function say(lost) {
  document.getElementById('lost').hidden = !lost;
  document.body.classList.toggle('stale', lost);
}

function connect() {
  source = new EventSource('/events');
  source.onmessage = (e) => {
    heard = performance.now();
    say(false);
    for (const [id, html] of Object.entries(JSON.parse(e.data))) waiting.set(id, html);
    if (!pressed) release();
  };
}

for (const kind of ['pointerdown', 'keydown']) document.addEventListener(kind, () => { pressed = performance.now(); }, true);
for (const kind of ['pointerup', 'pointercancel', 'keyup']) document.addEventListener(kind, () => setTimeout(release), true);
setInterval(() => {
  const now = performance.now();
  if (now - heard > silence) say(true);
  if (source.readyState === EventSource.CLOSED) connect();
  if (pressed && now - pressed > longest) release();
}, 1000);
if (location.search) history.replaceState(null, '', '/'); // a page that is loaded again does not say again what was done
connect();
