// The data set and its grid of sample images.
import { $, settings, state } from './common.js';
import { ask } from './lab.js';

const TILE = 28, GAP = 8, SHOWN = 60;
const GREY = 0x8a8a8a, GOOD = 0x009e73, WRONG = 0xd55e00;

export const SAMPLE_NAME = 'MNIST, a sample';
export const SAMPLE = ['train-images-idx3-ubyte', 'train-labels-idx1-ubyte', 't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'];

export async function gunzip(blob) {
  return new Response(blob.stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

export async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} cannot be loaded: ${response.status} ${response.statusText}`);
  return response;
}

export async function loadData() {
  const files = state.files ?? await Promise.all(SAMPLE.map(async (name) => {
    const bytes = await gunzip(await (await fetched(`data/${name}.gz`)).blob());
    return new Uint8Array(bytes);
  }));
  await takeData(state.dataName ?? SAMPLE_NAME, files);
}

export async function takeData(name, files) {
  const about = await ask('load_idx', [name, files]);
  [state.files, state.dataName] = [files, name];
  state.labels = await ask('test_labels');
  state.said = null;
  state.classes = about.classes;
  $('data-about').textContent = `${name}: ${about.train_images.toLocaleString('en')} images to train on and ` +
    `${about.test_images.toLocaleString('en')} to test with, of which ${Math.min(SHOWN, about.test_images)} are shown; drawn by ${state.drawnBy}.`;
  $('filter').replaceChildren(new Option('all classes', ''), ...about.classes.map((name) => new Option(`only ${name}`, name)));
  $('filter').value = settings.filter;
  await show();
}

// A small generator with a seed: the same address shows the same images.
function random(seed) {
  let s = (seed * 2654435761) >>> 0 || 1;
  return () => ((s = Math.imul(s ^ (s >>> 15), s | 1), s ^= s + Math.imul(s ^ (s >>> 7), s | 61), (s ^ (s >>> 14)) >>> 0) / 4294967296);
}

export async function show(redraw = true) {
  if (redraw) {
    const pool = [...state.labels.keys()].filter((i) => !settings.filter || state.classes[state.labels[i]] === settings.filter);
    const draw = random(Number(settings.shuffle));
    for (let i = pool.length - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [pool[i], pool[j]] = [pool[j], pool[i]];
    }
    state.shown = pool.slice(0, SHOWN);
  }
  const columns = innerWidth < 600 ? 10 : 20;
  const frame = (i) => (state.said ? (state.said[i] === state.labels[i] ? GOOD : WRONG) : GREY);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  await ask('draw', [state.shown, state.shown.map(frame), columns, TILE * 2, GAP, dark ? 0x1b1e23 : 0xffffff]);
  const captions = $('captions');
  captions.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
  captions.style.gridTemplateRows = `repeat(${Math.ceil(state.shown.length / columns)}, 1fr)`;
  captions.replaceChildren(...state.shown.map((i) => {
    const item = document.createElement('li');
    const [label, said] = [state.classes[state.labels[i]], state.said && state.classes[state.said[i]]];
    const word = document.createElement('span');
    item.append(word);
    word.textContent = said === null || said === label ? label : `${label}→${said ?? '?'}`;
    if (said !== null) item.className = said === label ? 'right' : 'wrong';
    return item;
  }));
}

export async function classify() {
  const [accuracy, ...said] = await ask('classify');
  state.said = said;
  $('accuracy').textContent = `${accuracy.toFixed(2)} % of ${said.length.toLocaleString('en')} test images are right`;
  await show(false);
}
