// The data set and its grid of sample images.
import { $, say, settings, state, wordsOf } from './common.js';
import { offerPresets } from './recipe.js';
import { ask } from './worker-client.js';

const TILE = 28, GAP = 8, SHOWN = 60;
const GREY = 0x8a8a8a, GOOD = 0x009e73, WRONG = 0xd55e00;

/** @typedef {import('./common.js').DataFile} DataFile */

// What everybody knows; other data have the name that they were given.
/** @type {Record<string, string>} */
const KNOWN = { mnist: 'MNIST', 'mnist-sample': 'MNIST, a sample', cifar10: 'CIFAR-10' };
const SAMPLE = ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz', 't10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz'];
const AT_MOST = 400e6;

/** @param {string} path */
export async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} cannot be loaded: ${response.status} ${response.statusText}`);
  return response;
}

/**
 * The bytes of a file, unzipped if its name says that it is zipped; not more than it may have.
 * @param {DataFile} file
 */
async function unzipped({ name, blob }) {
  if (!name.endsWith('.gz')) return new Uint8Array(await blob.arrayBuffer());
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const parts = [];
  let bytes = 0;
  try {
    for await (const part of blob.stream().pipeThrough(new DecompressionStream('gzip'))) {
      bytes += part.length;
      if (bytes > AT_MOST) break;
      parts.push(part);
    }
  } catch {
    throw new Error(`${name} is no gzip file, or is cut short`);
  }
  if (bytes > AT_MOST) throw new Error(`${name} unpacks to more than ${AT_MOST / 1e6} MB`);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** @param {File} file */
export const isData = (file) => /(-ubyte|\.bin|\.tar)(\.gz)?$/.test(file.name);

export async function loadData() {
  const sample = async () => Promise.all(SAMPLE.map(async (name) => ({ name, blob: await (await fetched(`data/${name}`)).blob() })));
  if (!state.files) return takeData('', await sample());
  try {
    await takeData(state.filesName, state.files);
  } catch (error) { // files may be gone from the disk by now
    state.files = null;
    await takeData('', await sample());
    say(`${wordsOf(error)}: the sample is back`);
  }
}

/**
 * Data from dropped files; what was there before stays if these are none.
 * @param {File[]} files
 */
export async function takeFiles(files) {
  for (const file of files) if (file.size > AT_MOST) throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most ${AT_MOST / 1e6} MB are taken`);
  const colour = files.some((file) => /\.(bin|tar)(\.gz)?$/.test(file.name));
  $('data-about').textContent = 'reading …';
  await takeData(colour ? 'CIFAR-10, your files' : 'your files', files.map((file) => ({ name: file.name, blob: file })));
}

/**
 * @param {string} name what a visitor's data are called if nobody knows them; empty for the sample
 * @param {DataFile[]} files
 */
async function takeData(name, files) {
  const names = files.map(({ name }) => name.replace(/\.gz$/, ''));
  const before = $('data-about').dataset.text;
  /** @type {import('./worker.js').DataInfo} */
  let about;
  try {
    const bytes = await Promise.all(files.map(unzipped));
    about = await ask('load_data', [name, names, bytes], bytes.map(({ buffer }) => buffer));
  } catch (error) {
    $('data-about').textContent = before ?? '';
    throw error;
  }
  if (name) [state.files, state.filesName] = [files, name];
  state.labels = await ask('test_labels');
  Object.assign(state, { said: null, identity: about.identity, classes: about.classes, shape: about.shape });
  $('data-about').textContent = $('data-about').dataset.text = `${KNOWN[about.identity] ?? name}: ${about.train_images.toLocaleString('en')} images to train on and ` +
    `${about.test_images.toLocaleString('en')} to test with, of which ${Math.min(SHOWN, about.test_images)} are shown; drawn by ${state.drawnBy}.`;
  $('filter').replaceChildren(new Option('all classes', ''), ...about.classes.map((name) => new Option(`only ${name}`, name)));
  $('filter').value = about.classes.includes(settings.filter) ? settings.filter : '';
  $('accuracy').textContent = '';
  await offerPresets();
  await show();
}

/**
 * A small generator with a seed: the same address shows the same images.
 * @param {number} seed
 */
function random(seed) {
  let s = (seed * 2654435761) >>> 0 || 1;
  return () => ((s = Math.imul(s ^ (s >>> 15), s | 1), s ^= s + Math.imul(s ^ (s >>> 7), s | 61), (s ^ (s >>> 14)) >>> 0) / 4294967296);
}

export async function show(redraw = true) {
  if (redraw) {
    const only = $('filter').value;
    const pool = [...state.labels.keys()].filter((i) => !only || state.classes[state.labels[i]] === only);
    const draw = random(Number(settings.shuffle));
    for (let i = pool.length - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [pool[i], pool[j]] = [pool[j], pool[i]];
    }
    state.shown = pool.slice(0, SHOWN);
  }
  const roomy = state.classes.some((name) => name.length > 3); // captions need more width
  const columns = (innerWidth < 600 ? 10 : 20) / (roomy ? 2 : 1);
  const frame = (/** @type {number} */ i) => (state.said ? (state.said[i] === state.labels[i] ? GOOD : WRONG) : GREY);
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  await ask('draw', [state.shown, state.shown.map(frame), columns, TILE * 2, GAP, dark ? 0x1b1e23 : 0xffffff]);
  const captions = $('captions');
  captions.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
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
  const [model, labels] = [state.about, state.labels];
  const [accuracy, ...said] = await ask('classify');
  if (model !== state.about || labels !== state.labels) return; // of another model, or other images
  state.said = said;
  $('accuracy').textContent = `${accuracy.toFixed(2)} % of ${said.length.toLocaleString('en')} test images are right`;
  await show(false);
}
