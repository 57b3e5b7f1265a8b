// What every page of the kiosk does beyond HTML: it stays current, spares typing, lists its keys, and signs out who has left.
import './live.js';
import './forms.js';

const keys = document.getElementById('keys');
document.getElementById('keys-open').addEventListener('click', () => keys.showModal());
document.addEventListener('keydown', (e) => {
  if (e.key === '?' && !e.target.closest('input, textarea, select') && !keys.open) {
    e.preventDefault();
    keys.showModal();
  }
});

// The announcement of what was done is made once.
const here = new URL(location.href);
if (here.searchParams.has('said') || here.searchParams.has('lang')) {
  here.searchParams.delete('said');
  here.searchParams.delete('lang');
  history.replaceState(null, '', here);
}

// Five minutes without a touch: back to the slots, and the server has signed the officer out. While somebody is busy it is told so.
const idle = 5 * 60 * 1000, told = 60 * 1000;
let touched = performance.now(), awake = touched;
for (const kind of ['pointerdown', 'keydown', 'input']) {
  document.addEventListener(kind, () => {
    touched = performance.now();
    if (touched - awake > told && document.body.classList.contains('signed-in')) {
      awake = touched;
      fetch('/awake', { method: 'POST' }).catch(() => {}); // a lost connection is told by the page's live part
    }
  }, { capture: true, passive: true });
}
setInterval(() => {
  if (performance.now() - touched > idle && (location.pathname !== '/' || document.body.classList.contains('signed-in'))) location.assign('/');
}, 1000);
