// The network as blocks: what every layer makes of the images, and where one does not fit. The text form is beside
// it, and both write the same field of the recipe.
import { guarded, latest, say, wordsOf } from '../actions.js';
import { $, button, element, keepingFocus } from '../dom.js';
import { ask } from '../protocol.js';
import { state, watch } from '../store.js';
import { partsOf, textOf } from '../usage.js';
import { words } from '../words.js';
import { changeField } from './recipe.js';

/** @typedef {import('../worker.js').DraftLayer} DraftLayer */

/** The layers as text, as they are shown; some may not be readable yet. @type {string[]} */
let layers = [];
/** The data for which they are shown. @type {import('../store.js').State['data']} */
let of = null;
/** Which block is open, to be changed. */
let opened = -1;

/** Shows the network of the recipe. */
const showRecipe = latest(async () => {
  const { data, recipe } = state;
  if (!data || !recipe) return;
  const draft = await ask('draft', [recipe.network, data.shape, data.classes.length]);
  layers = draft.layers.map(({ text }) => text);
  paint(draft);
});

/**
 * Takes other layers: shows what they make, and puts them into the recipe if all can be read. @param {string[]}
 * other
 */
async function take(other) {
  layers = other;
  const { data } = state;
  if (!data) return;
  const draft = await ask('draft', [{ layers }, data.shape, data.classes.length]);
  paint(draft);
  // While one cannot be read the recipe keeps the layers that it has.
  if (layers.length && draft.layers.every(({ readable }) => readable))
    await changeField('network.layers', layers.join(', '));
}

/** @param {{ layers: DraftLayer[], error: string | null }} draft */
function paint(draft) {
  keepingFocus($('layers'), () => $('layers').replaceChildren(...draft.layers.map((layer, i) => block(layer, i))));
  if (state.activity === 'training') {
    for (const control of $('layers').querySelectorAll('button')) control.disabled = true;
  }
  const parameters = draft.layers.reduce((sum, layer) => sum + layer.parameters, 0);
  const fits = draft.error === null && draft.layers.every(({ error }) => error === null);
  $('network-about').textContent = words.network.about(draft.layers.length, fits ? parameters : null);
  $('network-error').textContent = draft.error ?? '';
  const [first] = $('add-layer').options;
  if (first) first.textContent = addLabel();
  const last = /end with `([^`]+)`/.exec(draft.error ?? '')?.[1];
  if (last) {
    const add = guarded(() => take([...layers, ...last.split(', ')]));
    $('network-error').append(' ', button(words.network.putLast(last), add));
  }
}

/**
 * @param {DraftLayer} layer
 * @param {number} i
 */
function block({ text, output, parameters, error }, i) {
  const open = button('', () => {
    opened = opened === i ? -1 : i;
    repaint();
  });
  Object.assign(open, { className: 'open', title: words.network.change(text) });
  open.append(
    element('b', text),
    element('span', { className: 'soft', textContent: words.network.output(output, parameters) }),
  );
  open.setAttribute('aria-expanded', String(opened === i));
  const move = (/** @type {number} */ by) => guarded(() => moved(i, i + by));
  const [up, down] = [button('↑', move(-1), words.network.up(text)), button('↓', move(1), words.network.down(text))];
  for (const [arrow, isAtEdge] of /** @type {[HTMLElement, boolean][]} */ ([
    [up, i === 0],
    [down, i === layers.length - 1],
  ])) {
    if (isAtEdge) Object.assign(arrow, { disabled: true }).dataset.edge = '';
  }
  const remove = button(
    '✕',
    guarded(() => {
      if (opened >= i) opened = opened === i ? -1 : opened - 1;
      return take(layers.filter((_, at) => at !== i));
    }),
    words.network.remove(text),
  );
  const item = element('li', { draggable: true, className: error ? 'wrong' : '' }, open, up, down, remove);
  if (opened === i) item.append(editor(text, i));
  if (error) item.append(element('p', { className: 'refusal', textContent: error }));
  const missing = /put `([^`]+)` before it/.exec(error ?? '')?.[1];
  if (missing) {
    const add = guarded(() => {
      if (opened >= i) opened += 1; // the block that was open moves down
      return take([...layers.slice(0, i), missing, ...layers.slice(i)]);
    });
    item.append(Object.assign(button(words.network.put(missing), add), { className: 'fix' }));
  }
  item.ondragstart = (event) => event.dataTransfer?.setData('application/x-layer', String(i));
  item.ondragover = (event) => {
    if (!event.dataTransfer?.types.includes('application/x-layer')) return;
    event.preventDefault();
    event.stopPropagation();
    item.classList.add('target');
  };
  item.ondragleave = () => item.classList.remove('target');
  item.ondrop = guarded((/** @type {DragEvent} */ event) => {
    item.classList.remove('target');
    const from = event.dataTransfer?.getData('application/x-layer');
    if (!from) return;
    event.preventDefault();
    event.stopPropagation();
    return moved(Number(from), i);
  });
  item.onkeydown = (event) => {
    // as the arrows do, without leaving the block
    if (!event.altKey || !['ArrowUp', 'ArrowDown'].includes(event.key)) return;
    event.preventDefault();
    move(event.key === 'ArrowUp' ? -1 : 1)();
  };
  return item;
}

const repaint = () => {
  take(layers).catch((error) => say(wordsOf(error)));
};

/** @param {number} from @param {number} to */
async function moved(from, to) {
  if (to < 0 || to >= layers.length || from === to) return;
  const other = [...layers];
  other.splice(to, 0, ...other.splice(from, 1));
  if (opened === from) opened = to;
  else if (from < opened && opened <= to) opened -= 1;
  else if (to <= opened && opened < from) opened += 1;
  await take(other);
  /** @type {HTMLElement | null} */ ($('layers').children[to]?.querySelector('.open'))?.focus();
}

/**
 * The parts of a layer as controls, made from how its kind is written; of a kind that nobody knows, its text.
 * @param {string} text
 * @param {number} i
 */
function editor(text, i) {
  const kind = state.kinds.find(({ name }) => name === text.trim().split(/[\s[]/)[0]);
  const parts = kind && partsOf(kind.usage, text);
  const put = (/** @type {string} */ other) =>
    guarded(() => take(layers.map((layer, at) => (at === i ? other : layer))))();
  const box = element('div', { className: 'editor' });
  if (kind) box.append(element('p', { className: 'soft', textContent: kind.about }));
  if (!parts) {
    const input = element('input', { value: text, ariaLabel: words.network.asText });
    input.onchange = () => put(input.value);
    box.append(input);
    return box;
  }
  for (const part of parts) {
    const control = part.choices
      ? element('select', {}, ...part.choices.map((choice) => new Option(choice, choice)))
      : element(
          'input',
          part.kind === 'flag' ? { type: 'checkbox', checked: part.value !== '' } : { placeholder: part.default ?? '' },
        );
    if (part.kind !== 'flag') control.value = part.value;
    control.onchange = () => {
      part.value =
        control instanceof HTMLInputElement && control.type === 'checkbox'
          ? control.checked
            ? part.name
            : ''
          : control.value.trim();
      put(textOf(kind.name, parts));
    };
    box.append(element('label', {}, part.name, ' ', control));
  }
  return box;
}

/** Whether a layer that is added comes behind the open block: nothing comes behind the classes. */
const isBehindOpen = () => opened >= 0 && layers[opened] !== 'linear classes';
const addLabel = () => (isBehindOpen() ? words.network.addBehind(layers[opened]) : words.network.add);

watch(['kinds'], () => {
  const options = state.kinds.map(({ name, about, example }) => new Option(words.network.option(name, about), example));
  const last = new Option(words.network.lastLayer, 'linear classes');
  $('add-layer').replaceChildren(new Option(addLabel(), ''), ...options, last);
});
$('add-layer').onchange = guarded(async () => {
  const added = $('add-layer').value;
  $('add-layer').value = '';
  if (!added) return;
  // Behind the open block, else before the last one, if that makes the classes; which nothing comes behind.
  const isLast = added === 'linear classes';
  const end = layers.length - (layers.at(-1) === 'linear classes' && !isLast ? 1 : 0);
  const at = isBehindOpen() && !isLast ? opened + 1 : end;
  opened = isLast ? -1 : at;
  await take([...layers.slice(0, at), added, ...layers.slice(at)]);
});
$('empty-layers').onclick = guarded(async () => {
  opened = -1;
  await take([]);
  $('network-title').scrollIntoView({ block: 'nearest' });
});
watch(['recipe', 'data'], () => {
  const { recipe, data } = state;
  // What the builder itself has written is shown already, with what cannot be read yet.
  if (data === of && recipe?.network.layers?.join(', ') === layers.join(', ')) return;
  of = data;
  opened = -1;
  showRecipe().catch((error) => say(wordsOf(error)));
});
