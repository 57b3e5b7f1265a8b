// A recording's page: plays the original by checked parts, and says what was found.
import {open} from '/js/checked.js';

const MARKS = {sound: '✓', incomplete: '!', broken: '✗', checking: '○', unavailable: '○'};
const stage = document.querySelector('.stage[data-rec]');
const media = stage?.querySelector('video, audio, img');
let session;

function make(tag, className, text = '') {
  return Object.assign(document.createElement(tag), {className, textContent: text});
}

// Words over or under the picture, read out as they change.
const notice = make('p', 'checked-notice');
notice.setAttribute('role', 'status');
const lines = make('ul', 'checked-lines');
const all = make('button', '');
const badge = make('p', 'checked-badge');

function onverdict({state, first, lines: found}) {
  const box = document.querySelector('.verdict');
  box.dataset.state = state;
  box.querySelector('.mark').textContent = MARKS[state];
  box.querySelector('[data-verdict]').textContent = first;
  lines.replaceChildren(...found.map(({ok, text}) => make('li', '', `${ok === null ? '○' : ok ? '✓' : '✗'} ${text}`)));
  all.hidden = state !== 'checking' || !session?.src;
}

// onbroken stops in front of a part that is not as sealed, and offers what can be done.
function onbroken({index, reason, text}) {
  if (notice.dataset.part === String(index)) return;
  media.pause?.();
  notice.dataset.part = index;
  const past = make('button', '', session.say('go-past')), show = make('button', '', session.say('show-anyway'));
  past.onclick = async () => {
    clear();
    if (!await session.goPast(media, index)) notice.textContent = session.say('no-past');
  };
  show.onclick = () => {
    clear();
    stage.dataset.marked = 'true';
    badge.textContent = `≠ ${session.say('shown-anyway')}`;
    badge.hidden = false;
    if (media.pause) {
      session.goThrough(media, index);
    } else {
      session.showAnyway(index);
      media.src = session.src;
    }
  };
  const can = media.pause && session.parts[index].until !== null ? [past] : [];
  if (reason === 'changed') can.push(show);
  notice.replaceChildren(text + ' ', ...can);
}

function clear() {
  delete notice.dataset.part;
  notice.replaceChildren();
}

async function start() {
  stage.append(badge, notice);
  session = await open(stage.dataset.rec, {onverdict, onbroken});
  onverdict(session.verdict);
  const more = make('details', 'checked');
  all.textContent = session.say('check-all');
  all.onclick = () => { all.disabled = true; session.checkAll(); };
  more.append(make('summary', '', session.say('lines')), lines);
  document.querySelector('.verdict > div').append(all, more);
  badge.hidden = session.src !== null;
  badge.textContent = `○ ${session.say('unchecked')}`;
  media.addEventListener('durationchange', () => session.setDuration(media.duration));
  session.watch(media);
  const playing = media.paused === false;
  if (session.src) media.src = session.src;
  if (playing) media.play().catch(() => {});
  if (media.preload) media.preload = 'auto';
}

if (media) start().catch(error => { notice.textContent = String(error); });
