// What spares typing: lists to pick from, lines for officers, a keypad, a large button for the sound. Each form works without.

// typed says beside a field that its value is a person's now.
function typed(input) {
  const badge = input.closest('.field')?.querySelector('.badge[data-typed]');
  if (!badge) return;
  badge.textContent = badge.dataset.typed;
  badge.className = 'badge field-typed';
}

document.addEventListener('input', (e) => { if (e.isTrusted && e.target.name) typed(e.target); });

// A second press before the answer is there says nothing twice.
document.addEventListener('submit', (e) => {
  if (e.target.method !== 'post') return;
  if (e.target.dataset.sent) e.preventDefault();
  e.target.dataset.sent = 'yes';
});
addEventListener('pageshow', () => { for (const form of document.forms) delete form.dataset.sent; });

// A card reader types the number and Enter: where no field has the focus, into that of the card.
const card = document.getElementById('card');
if (card) document.addEventListener('keydown', (e) => { if (e.target === document.body && e.key.length === 1 && e.key !== '?') card.focus(); });

// camseal-pick fills a field, or a line of officers, with what is chosen from its list.
class Pick extends HTMLElement {
  connectedCallback() {
    this.details = this.querySelector('details');
    this.search = this.querySelector('input');
    this.addEventListener('click', (e) => {
      const button = e.target.closest('.list button');
      if (button) this.choose(button);
    });
    this.search.addEventListener('input', () => this.filter());
    this.search.addEventListener('keydown', (e) => { if (e.key === 'Enter') e.preventDefault(); }); // it would send the form
    this.details.addEventListener('toggle', () => {
      if (!this.details.open) return;
      this.search.value = '';
      this.filter();
      this.querySelector('.list').scrollIntoView({ block: 'nearest' });
      for (const other of document.querySelectorAll('camseal-pick details[open]')) if (other !== this.details) other.open = false;
    });
    this.addEventListener('keydown', (e) => {
      if (e.key !== 'Escape' || !this.details.open) return;
      this.details.open = false;
      this.details.firstElementChild.focus();
    });
    document.addEventListener('pointerdown', (e) => { if (!this.contains(e.target)) this.details.open = false; });
    this.addEventListener('focusout', (e) => { if (e.relatedTarget && !this.contains(e.relatedTarget)) this.details.open = false; });
  }

  filter() {
    const want = this.search.value.trim().toLowerCase();
    for (const li of this.querySelectorAll('li')) li.hidden = !li.textContent.toLowerCase().includes(want);
  }

  choose(button) {
    if (button.dataset.value !== undefined) {
      const field = document.getElementById(this.getAttribute('for'));
      field.value = button.dataset.value;
      typed(field);
    } else {
      const rows = this.closest('.field').querySelector('camseal-rows');
      rows.put(button.dataset.name, button.dataset.certificate, button.querySelector('.warn'));
      typed(rows);
    }
    this.details.open = false;
    this.details.firstElementChild.focus();
  }
}

// camseal-rows holds a line for each officer, and always one that is empty.
class Rows extends HTMLElement {
  connectedCallback() {
    this.addEventListener('click', (e) => {
      if (!e.target.closest('.remove')) return;
      const row = e.target.closest('.row');
      for (const input of row.querySelectorAll('input')) input.value = '';
      row.querySelector('.warn')?.remove();
      if (this.children.length > 1) row.remove();
      this.spare();
      typed(this);
      this.querySelector('input').focus();
    });
    this.addEventListener('input', (e) => {
      e.target.closest('.row').querySelector('.warn')?.remove(); // it was of another certificate
      this.spare();
    });
  }

  get empty() { return [...this.children].find((row) => [...row.querySelectorAll('input')].every((i) => !i.value)); }

  spare() {
    if (this.empty) return;
    const row = this.lastElementChild.cloneNode(true);
    row.querySelector('.warn')?.remove();
    for (const input of row.querySelectorAll('input')) {
      input.value = '';
      input.setAttribute('aria-label', input.placeholder + ' ' + (this.children.length + 1));
    }
    this.append(row);
  }

  put(name, certificate, flag) {
    if ([...this.querySelectorAll('[name=certificate]')].some((i) => i.value === certificate)) return;
    this.spare();
    const row = this.empty;
    [row.children[0].value, row.children[1].value] = [name, certificate];
    if (flag) row.append(flag.cloneNode(true));
    this.spare();
  }
}

// camseal-keypad types digits into the field that was used last.
class Keypad extends HTMLElement {
  connectedCallback() {
    const form = this.closest('form'), pad = document.createElement('div');
    let field = form.querySelector('#certificate').value ? form.querySelector('#pin') : form.querySelector('#certificate');
    form.addEventListener('focusin', (e) => { if (e.target.matches('#certificate, #pin')) field = e.target; });
    pad.className = 'pad';
    pad.setAttribute('role', 'group');
    pad.setAttribute('aria-label', this.dataset.label);
    for (const key of [...'123456789', '', '0', '⌫']) {
      const button = document.createElement(key ? 'button' : 'span');
      if (key) {
        button.type = 'button';
        button.textContent = key;
        if (key === '⌫') button.setAttribute('aria-label', this.dataset.delete);
        button.addEventListener('click', () => { field.value = key === '⌫' ? field.value.slice(0, -1) : field.value + key; });
      }
      pad.append(button);
    }
    this.append(pad);
  }
}

// camseal-play gives the sound one large button.
class Play extends HTMLElement {
  connectedCallback() {
    if (this.querySelector('button')) return;
    const audio = this.querySelector('audio'), button = document.createElement('button');
    const show = (text) => { button.textContent = text + ' ' + this.dataset.span; };
    button.type = 'button';
    button.id = 'play';
    audio.hidden = true;
    show('▶ ' + this.dataset.play);
    button.addEventListener('click', () => {
      if (audio.paused) audio.play().catch(() => { button.textContent = '✗ ' + this.dataset.failed; });
      else audio.pause();
    });
    audio.addEventListener('play', () => { audio.currentTime = 0; show('■ ' + this.dataset.stop); });
    for (const end of ['pause', 'ended']) audio.addEventListener(end, () => show('▶ ' + this.dataset.play));
    this.append(button);
  }
}

customElements.define('camseal-pick', Pick);
customElements.define('camseal-rows', Rows);
customElements.define('camseal-keypad', Keypad);
customElements.define('camseal-play', Play);
