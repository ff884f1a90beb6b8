// What the inside of the network at hand looks like: its first weights, what its layers make of an image, and what it
// takes for what.
import { guarded, latest, say, wordsOf } from '../actions.js';
import { $, button, element, paintPixels } from '../dom.js';
import { ask, client } from '../protocol.js';
import { state, watch } from '../store.js';
import { words } from '../words.js';

const MISTAKES = 18;
/** Of more classes there is no table of what is taken for what. */
const MOST_CLASSES = 40;
/** Pictures in a row of a stage: on a narrow screen fewer, which can be seen. */
const inARow = () => (innerWidth < 600 ? 8 : 16);

/** The image that was asked about last, as the network sees it. @type {Uint8Array | null} */
let seen = null;
/** For which device and network the canvases are. */
let laidOut = { device: client(), network: '' };

/**
 * Shows what the network makes of an image, or only its weights.
 * @param {Uint8Array | null} image
 * @param {import('../store.js').Shape} [shape]
 */
export function look(image, shape) {
  seen = image;
  $('seen').hidden = !image;
  $('stages').classList.toggle('unasked', !image);
  if (image && shape) paintPixels($('seen'), image, shape);
  draw();
}

// One drawing at a time; what comes meanwhile is drawn next.
const draw = latest(async () => {
  if (!$('inside-details').open || !state.about) return;
  try {
    await layOut();
    await ask('look', [seen ?? undefined]);
  } catch {
    /* another device or network by now, of which `about` tells */
  }
});

/** Makes a canvas for the weights and for each stage, unless they are there. */
async function layOut() {
  const [device, about] = [client(), state.about];
  if (!device || !about) return;
  const network = JSON.stringify([about.recipe.network, about.shape, about.classes]);
  if (laidOut.device === device && laidOut.network === network) return;
  const most = inARow();
  const stages = await ask('stages', [most]);
  const figures = [[words.inside.weights, ''], ...stages.map((stage) => [stage.layers, words.inside.stage(stage)])];
  const canvases = figures.map(([layers, what], i) => {
    const canvas = element('canvas', { ariaLabel: i ? words.inside.of(layers) : words.inside.weights });
    canvas.setAttribute('role', 'img');
    const columns = i ? stages[i - 1].columns : most;
    const maxWidth = columns < most ? `${columns * 4}rem` : '';
    canvas.style.maxWidth = maxWidth;
    const figure = element('figure', {}, element('figcaption', {}, element('b', layers), ` ${what}`), canvas);
    // The last values are those of the classes, whose names stand below, in rows as theirs.
    if (i && i === stages.length && stages[i - 1].shown === about.classes.length) {
      const items = about.classes.map((name) => element('li', { textContent: name, title: name }));
      const names = element('ol', { className: 'names' }, ...items);
      Object.assign(names.style, { maxWidth, gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` });
      figure.append(names);
    }
    return { canvas, figure };
  });
  $('stages').replaceChildren(...canvases.map(({ figure }) => figure));
  const offscreen = canvases.map(({ canvas }) => canvas.transferControlToOffscreen());
  await ask('take_looks', [offscreen, most], offscreen);
  laidOut = { device, network };
}

$('inside-details').ontoggle = () => draw();

/** A test image as a button that asks the model about it. @param {number} index */
async function picture(index) {
  const caption = captionOf(index);
  const canvas = element('canvas');
  if (state.data) paintPixels(canvas, await ask('test_image', [index]), state.data.shape);
  const asked = button(
    '',
    () => document.dispatchEvent(new CustomEvent('ask-test-image', { detail: index })),
    words.inside.askAbout(caption),
  );
  asked.className = 'picture';
  asked.append(canvas, element('span', caption));
  return asked;
}

/** @param {number[]} images their positions @param {string} title */
async function showPictures(images, title, areMistakes = false) {
  const shown = await Promise.all(images.map(picture));
  $('cell-title').textContent = title;
  $('cell').replaceChildren(...shown);
  $('mistakes').hidden = areMistakes;
}

/** What the model says of every test image, label by label. */
function confusion() {
  const { data, classified } = state;
  if (!data || !classified) return [];
  const cells = data.classes.map(() => data.classes.map(() => /** @type {number[]} */ ([])));
  data.labels.forEach((label, i) => cells[label][classified.classes[i]]?.push(i));
  return cells;
}

/** @param {number} index */
function captionOf(index) {
  const { data, classified } = state;
  if (!data || !classified) return '';
  const [label, said] = [data.classes[data.labels[index]], data.classes[classified.classes[index]]];
  const sure = words.percent(100 * classified.confidences[index], 0);
  return label === said ? `${label}, ${sure}` : `${label} → ${said ?? '?'}, ${sure}`;
}

async function showMistakes() {
  const { data, classified } = state;
  if (!data || !classified) return;
  const wrong = [...data.labels.keys()].filter((i) => data.labels[i] !== classified.classes[i]);
  wrong.sort((a, b) => classified.confidences[b] - classified.confidences[a]);
  const title = wrong.length ? words.inside.mistakes(wrong.length) : words.inside.noMistakes;
  await showPictures(wrong.slice(0, MISTAKES), title, true);
}

watch(['classified', 'data'], () => {
  const { data, classified } = state;
  $('confusion').hidden = !classified;
  if (!data || !classified) return;
  // A table of very many classes could not be read.
  const cells = data.classes.length > MOST_CLASSES ? [] : confusion();
  const most = Math.max(
    1,
    ...cells.flatMap((row, label) => row.map((cell, said) => (label === said ? 0 : cell.length))),
  );
  $('confusion-table').hidden = !cells.length;
  const head = element(
    'tr',
    {},
    element('th', words.inside.isSaid),
    ...data.classes.map((name) => scoped('col', name)),
    scoped('col', words.inside.right),
  );
  const rows = cells.map((row, label) => {
    const all = row.reduce((sum, cell) => sum + cell.length, 0);
    return element(
      'tr',
      {},
      scoped('row', data.classes[label]),
      ...row.map((cell, said) => {
        const text = element('td');
        if (!cell.length) return text;
        const title = words.inside.cell(cell.length, data.classes[label], data.classes[said]);
        const show = guarded(() => showPictures(cell.slice(0, 2 * MISTAKES), title));
        const open = button(String(cell.length), show, title);
        const share = label === said ? cell.length / Math.max(all, 1) : cell.length / most;
        open.className = label === said ? 'right' : 'wrong';
        open.style.setProperty('--share', share.toFixed(3));
        text.append(open);
        return text;
      }),
      element('td', all ? words.percent((100 * row[label].length) / all, 1) : '–'),
    );
  });
  $('confusion-table').replaceChildren(element('thead', {}, head), element('tbody', {}, ...rows));
  showMistakes().catch((error) => say(wordsOf(error)));
});

/** @param {string} scope @param {string} text */
const scoped = (scope, text) => element('th', { scope, textContent: text });
$('mistakes').onclick = guarded(showMistakes);
watch(['about'], () => {
  $('inside-of').textContent = state.about ? words.inside.network(state.about.name) : '';
});
