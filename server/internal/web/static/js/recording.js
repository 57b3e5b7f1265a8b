// A recording's page: plays the original by checked parts, and says what was found.
import {open} from '/js/checked.js';

const MARKS = {sound: '✓', incomplete: '!', broken: '✗', checking: '○', unavailable: '○'};
const stage = document.querySelector('.stage[data-rec]');
const media = stage?.querySelector('video, audio, img');
let session, ahead;

function make(tag, className, text = '') {
  return Object.assign(document.createElement(tag), {className, textContent: text});
}

// Words over or under the picture, read out as they change.
const notice = make('p', 'checked-notice');
notice.setAttribute('role', 'status');
const lines = make('ul', 'checked-lines');
const all = make('button', 'plain');
const badge = make('p', 'checked-badge');

function onverdict({state, first, lines: found}) {
  const box = document.querySelector('.verdict');
  box.dataset.state = state;
  box.querySelector('.mark').textContent = MARKS[state];
  box.querySelector('[data-verdict]').textContent = first;
  lines.replaceChildren(...found.map(({ok, text}) => make('li', '', `${ok === null ? '○' : ok ? '✓' : '✗'} ${text}`)));
  all.hidden = state !== 'checking' || !session?.src;
}

// onbroken takes notice of a part that is not as sealed. The player reads ahead: what comes before it may still play.
function onbroken(found) {
  ahead = found;
  dry();
}

// dry stops once nothing more can be played before that part, and offers what can be done.
function dry() {
  if (!ahead || media.readyState > 2 && !media.error || notice.dataset.part === String(ahead.index)) return;
  const {index, text} = ahead;
  media.pause?.();
  notice.dataset.part = index;
  const past = make('button', 'plain', session.say('go-past')), show = make('button', 'plain', session.say('show-anyway'));
  past.onclick = async () => {
    clear();
    if (!await session.goPast(media, index)) notice.textContent = session.say('no-past');
  };
  show.onclick = () => {
    session.showAnyway(index);
    stage.dataset.marked = 'true';
    badge.textContent = `≠ ${session.say('shown-anyway')}`;
    badge.hidden = false;
    resume(media.currentTime);
  };
  const can = media.pause && session.parts[index].until !== null ? [past] : [];
  if (session.read.reasons.get(index) === 'changed') can.push(show);
  notice.replaceChildren(text + ' ', ...can);
}

function clear() {
  delete notice.dataset.part;
  ahead = null;
  notice.replaceChildren();
}

// resume plays on at a time; a stream that failed does not go on by itself.
function resume(at) {
  clear();
  media.src = session.src;
  if (!media.load) return;
  media.load();
  media.addEventListener('loadedmetadata', () => { media.currentTime = at ?? 0; media.play().catch(() => {}); }, {once: true});
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
  for (const event of ['waiting', 'stalled', 'error', 'seeking']) media.addEventListener(event, dry);
  const playing = media.paused === false;
  if (session.src) media.src = session.src;
  if (playing) media.play().catch(() => {});
  if (media.preload) media.preload = 'auto';
}

if (media) start().catch(error => { notice.textContent = String(error); });
