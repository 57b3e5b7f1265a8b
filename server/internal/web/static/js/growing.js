// Keeps up to date what the page says of a recording that grows, and tells the player when more of it is stored.
const place = document.querySelector('[data-growth]');
const every = 2000; // milliseconds

async function look() {
  if (document.hidden) return true;
  const answer = await fetch(place.dataset.growth, { headers: { Accept: 'application/json' } });
  if (!answer.ok) return answer.status >= 500; // signed out, or disposed of: the page as it stands is the last word
  const g = await answer.json();
  for (const [word, text] of Object.entries(g.words)) {
    for (const e of document.querySelectorAll(`[data-word=${word}]`)) if (e.textContent !== text) e.textContent = text;
  }
  const state = place.dataset.state = g.state || 'ended';
  for (const badge of document.querySelectorAll('[data-growing]')) badge.className = `badge growth-${state}`;
  document.dispatchEvent(new CustomEvent('growth', { detail: g }));
  if (g.parts > 0 && place.dataset.parts === '0' && document.activeElement === document.body) location.reload(); // there is something to play now
  return g.grows;
}

async function go() {
  let on = true;
  try { on = await look(); } catch (e) { console.info('growth', e); } // the network is away: try again
  if (on) setTimeout(go, every);
}

setTimeout(go, every);
