// The drawing pad, pictures, and what the model says of them.
import { $, guarded, onceAtATime, state } from './common.js';
import { ask } from './worker-client.js';

/** @typedef {import('./common.js').Manifest} Manifest */
/** @typedef {[number, number]} Point */
/** @typedef {import('./worker.js').Answer} Answer */

const pad = $('pad'), pen = contextOf(pad, { willReadFrequently: true });
/** @type {Point[][]} */
let strokes = [];
/** @type {ImageBitmap | null} */
let picture = null;
let asked = 0;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} options
 */
function contextOf(canvas, options = {}) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d', options)); // every browser that runs WebAssembly has it
}

export function paint() {
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, 280, 280);
  if (picture) {
    const scale = 280 / Math.max(picture.width, picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    pen.drawImage(picture, (280 - width) / 2, (280 - height) / 2, width, height);
  }
  Object.assign(pen, { strokeStyle: '#fff', fillStyle: '#fff', lineWidth: 22, lineCap: 'round', lineJoin: 'round' });
  for (const stroke of strokes) {
    pen.beginPath();
    stroke.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (stroke.length === 1) pen.arc(...stroke[0], 1, 0, 7);
    pen.stroke();
  }
}

/**
 * @param {PointerEvent} event
 * @returns {Point}
 */
const place = (event) => {
  const box = pad.getBoundingClientRect();
  return [(event.clientX - box.left) * 280 / box.width, (event.clientY - box.top) * 280 / box.height];
};
pad.onpointerdown = (event) => {
  pad.setPointerCapture(event.pointerId);
  picture = null;
  strokes.push([place(event)]);
  paint();
};
pad.onpointermove = (event) => {
  if (!event.buttons || !strokes.length) return;
  strokes[strokes.length - 1].push(place(event));
  paint();
  answerWhileDrawing();
};
pad.onpointerup = guarded(() => askAgain());

// One question at a time, so that the pen does not wait for the answers; the last stroke's comes with the pen's lifting.
const answerWhileDrawing = guarded(onceAtATime(askAgain));
pad.onkeydown = (event) => {
  if (event.key === 'Delete' || event.key === 'Backspace' || event.key === 'Escape') $('clear').click();
  if (event.key === 'z' && (event.ctrlKey || event.metaKey)) $('undo').click();
};
$('undo').onclick = guarded(() => { strokes.pop(); paint(); return askAgain(); });
$('clear').onclick = guarded(() => { [strokes, picture] = [[], null]; paint(); return askAgain(); });

/** @param {File} file */
export async function takeImage(file) {
  if (file.size > 64e6) throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most 64 MB are taken`);
  /** @type {ImageBitmap} */
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is no image that this browser can read`);
  }
  [strokes, picture] = [[], image];
  paint();
  await askAgain();
}

// What was asked last is what is shown: an older answer that comes late is dropped.
export async function askAgain() {
  const mine = ++asked;
  const { about } = state;
  if (!about) return;
  if (!strokes.length && !picture) {
    $('answer').textContent = about.shape.channels === 1 ? 'Draw a digit.' : 'Open a picture.';
    $('answers').replaceChildren();
    return;
  }
  let [image, width, height] = [pen.getImageData(0, 0, 280, 280).data, 280, 280];
  if (picture) {
    const scale = Math.min(1, 1024 / Math.max(picture.width, picture.height));
    [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * scale)));
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext('2d'));
    context.drawImage(picture, 0, 0, width, height);
    image = context.getImageData(0, 0, width, height).data;
  }
  const models = [about, ...state.beside];
  try {
    const answers = await ask('ask', [models.length, image.buffer, width, height]);
    if (mine === asked) showAnswers(models, answers);
  } catch (error) {
    if (mine === asked) throw error; // nobody waits for the answer to an older question
  }
}

/**
 * @param {Manifest[]} models
 * @param {{ seen: Uint8Array, answers: Answer[], responses: Float32Array }} answered
 */
function showAnswers(models, { seen, answers, responses }) {
  const best = (/** @type {Answer} */ { probabilities }) => probabilities.indexOf(Math.max(...probabilities));
  const said = (/** @type {number} */ i) => `${models[i].classes[best(answers[i])]}, ${(100 * Math.max(...answers[i].probabilities)).toFixed(1)} %`;
  $('answer').textContent = said(0);
  $('answers').replaceChildren(...models.map((about, i) => {
    const column = document.createElement('div');
    if (models.length > 1) column.append(element('h3', i ? `${about.name}: ${said(i)}` : about.name));
    const bars = element('ol', '');
    bars.className = 'bars';
    bars.append(...about.classes.map((name, c) => {
      const probability = answers[i].probabilities[c];
      const item = document.createElement('li'), meter = document.createElement('meter');
      [meter.value, meter.ariaLabel] = [probability, `probability of ${name}`];
      item.append(element('span', name), meter, element('span', `${(100 * probability).toFixed(1)} %`));
      return item;
    }));
    const latency = element('p', `answered in ${answers[i].milliseconds.toFixed(1)} ms`);
    latency.className = 'soft latency';
    column.append(bars, latency);
    return column;
  }));
  const { channels, height, width } = models[0].shape;
  tiles($('seen'), [1, channels, height, width, ...seen], 1, (value) => value);
  const [maps, , down, across] = responses;
  $('responses-figure').hidden = !maps;
  const high = highest(responses.slice(4), (value) => value);
  if (maps) tiles($('responses'), responses, across === 1 ? 16 : 8, (value) => 255 * value / high);
  $('responses-about').textContent = down === 1 ? `answers of the first hidden layer, ${maps} neurons` : `feature maps of the first convolution, ${maps} of ${across}×${down}`;
}

// The weights of the first layer: grey is 0, lighter is above, darker below.
export async function showFilters() {
  const filters = await ask('filters');
  const [count, , height, width] = filters;
  const high = highest(filters.slice(4), Math.abs);
  tiles($('filters'), filters, count > 16 ? 16 : count, (value) => 127.5 + 127.5 * value / high);
  $('filters-about').textContent = `weights of the first layer, ${count} of ${width}×${height}; grey is 0`;
}

/**
 * @param {Float32Array} values
 * @param {(value: number) => number} size
 */
const highest = (values, size) => values.reduce((high, value) => Math.max(high, size(value)), 1e-6);

/**
 * @param {string} tag
 * @param {string} text
 */
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

/**
 * Images, as the worker hands them out (count, channels, height, width, values), side by side on a canvas.
 * @param {HTMLCanvasElement} canvas
 * @param {Iterable<number>} images
 * @param {number} columns
 * @param {(value: number) => number} shade
 */
function tiles(canvas, [count, channels, height, width, ...values], columns, shade) {
  const gap = count > 1 && width > 1 ? 1 : 0;
  const [across, down] = [width + gap, height + gap];
  [canvas.width, canvas.height] = [columns * across - gap, Math.ceil(count / columns) * down - gap];
  const image = new ImageData(canvas.width, canvas.height);
  for (let tile = 0; tile < count; tile++) {
    const [left, top] = [tile % columns * across, Math.floor(tile / columns) * down];
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const at = 4 * ((top + y) * canvas.width + left + x);
      for (let c = 0; c < 3; c++) image.data[at + c] = shade(values[((tile * channels + c % channels) * height + y) * width + x]);
      image.data[at + 3] = 255;
    }
  }
  contextOf(canvas).putImageData(image, 0, 0);
}
