// The player's keys: one table for what they do, for the buttons' names, and for the list that ? shows.

import { make, say } from '/js/page.js';

// keys are [key, text, act]; an act is a method of the player. Letters work in either case.
export const keys = [
  [' ', 'play', p => p.toggle()],
  ['j', 'reverse', p => p.shuttle(-1)],
  ['k', 'halt', p => p.pause()],
  ['l', 'forwards', p => p.shuttle(1)],
  [',', 'frame-back', p => p.step(false)],
  ['.', 'frame-on', p => p.step(true)],
  ['ArrowLeft', 'back', p => p.go(p.reel.time - 5)],
  ['ArrowRight', 'on', p => p.go(p.reel.time + 5)],
  ['Home', 'begin', p => p.go(0)],
  ['End', 'end', p => p.go(p.reel.end)],
  ['[', 'mark-before', p => p.toMark(-1)],
  [']', 'mark-after', p => p.toMark(1)],
  ['<', 'slower', p => p.faster(-1)],
  ['>', 'faster', p => p.faster(1)],
  ['i', 'in-here', p => p.point('in')],
  ['o', 'out-here', p => p.point('out')],
  ['x', 'clear', p => p.clear()],
  ['p', 'loop', p => p.loop()],
  ['m', 'mark', p => p.mark()],
  ['s', 'picture', p => p.picture()],
  ['v', 'silent', p => p.silent()],
  ['f', 'full', p => p.full()],
  ['+', 'closer', p => p.timeline.zoom(0.5)],
  ['-', 'wider', p => p.timeline.zoom(2)],
  ['?', 'keys', p => p.help()],
];

const names = { ' ': '␣', ArrowLeft: '←', ArrowRight: '→' };

// nameOf writes a key as the list shows it.
export function nameOf(key) { return names[key] ?? (key.length === 1 ? key.toUpperCase() : key); }

const remembered = 'camseal-single-keys';

// on reports whether single keys act. Who dictates or shares a keyboard can turn them off.
export function on() { return localStorage.getItem(remembered) !== 'off'; }

// listen has the table's keys act on a player, except where something else takes them.
export function listen(player) {
  document.addEventListener('keydown', e => {
    if (e.defaultPrevented || e.ctrlKey || e.altKey || e.metaKey || e.target.closest?.('input, textarea, select, dialog')) return;
    if (e.key === ' ' && e.target.closest?.('button, a, summary')) return;
    const slider = e.target === player.timeline.root, row = keys.find(([k]) => k === e.key || k === e.key.toLowerCase());
    if (!row || !on() && !slider && e.key !== '?') return;
    e.preventDefault();
    row[2](player);
  });
}

// help shows the list.
export function help(player) {
  const box = make('input', { type: 'checkbox', change: e => localStorage.setItem(remembered, e.target.checked ? 'on' : 'off') });
  box.checked = on();
  const dialog = make('dialog', { class: 'keys', 'aria-label': say('keys'), close: () => dialog.remove() },
    make('h2', {}, say('keys')),
    make('dl', {}, ...keys.filter(([, text]) => player.can(text)).flatMap(([k, text]) => [make('dt', {}, make('kbd', {}, nameOf(k))), make('dd', {}, say(text))])),
    make('p', {}, make('label', {}, box, ' ', say('keys-single'))),
    make('p', { class: 'choices' }, make('button', { type: 'button', click: () => dialog.close() }, say('close'))));
  document.body.append(dialog);
  dialog.showModal();
}
