// A picture of the frame on the screen, and the sheet that says where it stands and what was checked of it.

import { clock, make, say } from '/js/page.js';

const band = 44; // pixels under the picture, which say what it is

// showFrame opens a window with the picture and its sheet, to be saved.
export async function showFrame(picture, facts, wallText) {
  const m = picture.media, wide = m.videoWidth || m.naturalWidth, high = m.videoHeight || m.naturalHeight;
  if (!wide || !high) throw new Error('nothing to draw');
  const at = picture.kind === 'video' ? picture.shown : 0, part = picture.partAt(at), state = picture.derived ? 'derived' : picture.stateAt(at) ?? 'unchecked';
  const word = say(state === 'derived' || state === 'unchecked' ? state : 'is-' + state);
  const canvas = make('canvas', { width: wide, height: high + band }), g = canvas.getContext('2d');
  g.drawImage(m, 0, 0, wide, high);
  label(g, wide, high, [`${say('derived')} · ${picture.rec} · ${clock(at)}`, `${word} · ${wallText}`]);
  const blob = await new Promise(done => canvas.toBlob(done, 'image/png'));
  const sheet = {
    type: 'camseal-frame',
    recording: picture.rec, device: picture.getAttribute('device'), name: picture.getAttribute('name'),
    at_ms: Math.round(at * 1000), wall_clock: wallText, proven: facts?.clock?.says ?? [],
    part: part ? { index: part.index, hash: part.hash, offset: part.offset, size: part.size, state } : null,
    checked: { state, verdict: picture.verdict?.state ?? 'unavailable', says: picture.verdict?.first ?? say('no-worker'), by: say('how') },
    picture: { width: wide, height: high, band, sha256: await digest(blob) },
  };
  show(blob, sheet, `${picture.rec}-${clock(at).replaceAll(':', '-')}`, word);
}

// label writes under the picture what it is; its own pixels stay as they are.
function label(g, wide, high, lines) {
  g.fillStyle = '#12171d';
  g.fillRect(0, high, wide, band);
  g.fillStyle = '#dfe6ee';
  g.font = '15px system-ui, "Noto Sans SC", sans-serif';
  lines.forEach((l, i) => g.fillText(l, 8, high + 18 + i * 19, wide - 16));
}

async function digest(blob) {
  if (!globalThis.crypto?.subtle) return null;
  const raw = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  return [...raw].map(b => b.toString(16).padStart(2, '0')).join('');
}

function show(blob, sheet, name, word) {
  const url = URL.createObjectURL(blob), text = URL.createObjectURL(new Blob([JSON.stringify(sheet, null, 1) + '\n'], { type: 'application/json' }));
  const row = (term, value) => [make('dt', {}, term), make('dd', {}, value)];
  const dialog = make('dialog', { class: 'frame', 'aria-label': say('picture') },
    make('img', { src: url, alt: `${say('picture')} ${clock(sheet.at_ms / 1000)}` }),
    make('dl', {}, ...row(say('of-recording'), sheet.recording), ...row(say('time'), `${clock(sheet.at_ms / 1000)} · ${sheet.wall_clock}`),
      ...(sheet.part ? row(say('of-part'), `${sheet.part.index + 1} · ${sheet.part.hash}`) : []), ...row(say('of-checks'), `${word} · ${sheet.checked.says}`),
      ...(sheet.picture.sha256 ? row(say('of-hash'), sheet.picture.sha256) : [])),
    make('p', { class: 'quiet' }, say('sheet-says')),
    make('p', { class: 'choices' }, make('a', { class: 'button', href: url, download: name + '.png' }, say('save-picture')), make('a', { class: 'button lesser', href: text, download: name + '.json' }, say('save-sheet')),
      make('button', { type: 'button', class: 'lesser', click: () => dialog.close() }, say('close'))));
  dialog.addEventListener('close', () => {
    URL.revokeObjectURL(url);
    URL.revokeObjectURL(text);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}
