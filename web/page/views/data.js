// The data set: where it comes from, and its grid of sample images.
import { guarded, say, wordsOf } from '../actions.js';
import { keep, settings } from '../address.js';
import { sendFiles } from '../dataset.js';
import { $, button, element } from '../dom.js';
import { AT_MOST, fetched } from '../files.js';
import { ask, client } from '../protocol.js';
import { change, isActivity, state, watch } from '../store.js';
import { words } from '../words.js';
import { takeTestImage } from './ask.js';

const TILE = 28,
  GAP = 8,
  SHOWN = 60;
const GREY = 0x8a8a8a,
  GOOD = 0x009e73,
  WRONG = 0xd55e00;

/** @typedef {import('../store.js').DataFile} DataFile */
/** @typedef {import('../worker.js').DataInfo} DataInfo */
/** @typedef {import('../protocol.js').Client} Client */

const SAMPLE = [
  'train-images-idx3-ubyte.gz',
  'train-labels-idx1-ubyte.gz',
  't10k-images-idx3-ubyte.gz',
  't10k-labels-idx1-ubyte.gz',
];

/** A source of a data set: asks the device to load it, which a new device is asked again. */
/** @typedef {{ name: string, load: (device: Client) => Promise<DataInfo> }} Source */

/** Fetches a file of a folder of the site. @param {string} folder @returns {(name: string) => Promise<DataFile>} */
const fileIn = (folder) => async (name) => ({ name, blob: await (await fetched(`${folder}/${name}`)).blob() });

/** The sample of digits, loaded once. @type {Promise<DataFile[]> | undefined} */
let sampleFiles;
/** @type {Source} */
const sample = {
  name: '',
  async load(device) {
    sampleFiles ??= Promise.all(SAMPLE.map(fileIn('data'))).catch((error) => {
      sampleFiles = undefined; // to be tried again
      throw error;
    });
    return sendFiles(device, '', await sampleFiles);
  },
};
/** @type {Source} */
let source = sample;

/** Offers the data sets that the site has beside the digits; a static host has none. */
export async function offerSamples() {
  /** @type {{ name: string, files: string[], bytes: number }[]} */
  const samples = await (await fetched('data/samples.json')).json();
  const cifar = samples.find(({ name }) => name === 'cifar10-sample');
  if (!cifar) return;
  const offer = $('cifar-sample');
  offer.textContent = words.data.fetchCifar(cifar.bytes);
  offer.hidden = false;
  offer.onclick = guarded(async () => {
    const files = await Promise.all(cifar.files.map(fileIn(`data/${cifar.name}`)));
    const name = words.data.cifarSample;
    await takeSource({ name, load: (device) => sendFiles(device, name, files) });
  });
}

/** Gives the device the data that were chosen, the sample where they are gone. */
export async function loadData() {
  const device = client();
  try {
    await take(source);
  } catch (error) {
    // files may be gone from the disk by now
    if (source === sample || device !== client()) throw error;
    await take(sample);
    say(words.data.sampleIsBack(wordsOf(error)));
  }
}

/**
 * Data from a visitor's files; what was there before stays if these are none.
 * @param {File[]} files
 */
export async function takeFiles(files) {
  for (const file of files) if (file.size > AT_MOST) throw new Error(words.files.tooLarge(file, AT_MOST / 1e6));
  const colour = files.some((file) => /\.(bin|tar)(\.gz)?$/.test(file.name));
  const name = colour ? words.data.ownCifar : words.data.own;
  await takeSource({
    name,
    load: (device) =>
      sendFiles(
        device,
        name,
        files.map((file) => ({ name: file.name, blob: file })),
      ),
  });
}

/** The sample of digits instead of other data. */
export const useSample = () => takeSource(sample);

/** Other data; what was there before stays if these cannot be loaded. @param {Source} other */
export async function takeSource(other) {
  if (state.activity === 'training') throw new Error(words.data.trainsNow);
  if (state.activity !== 'idle') throw new Error(words.files.starting);
  const device = client();
  change({ activity: 'starting' }); // nothing trains meanwhile, and no other device takes over
  $('data-about').textContent = words.data.reading;
  try {
    await take(other);
    source = other;
    change({ curves: { name: '', losses: [], history: [] } }); // they are of other data
  } catch (error) {
    showAbout();
    throw error;
  } finally {
    if (device === client() && isActivity('starting')) change({ activity: 'idle' });
  }
}

/** @param {Source} from */
async function take(from) {
  const device = client();
  if (!device) throw new Error(words.files.starting);
  const about = await from.load(device); // which is the one to ask, even if another takes over meanwhile
  const labels = await device.ask('test_labels');
  if (screen.of !== client()) await newScreen();
  const { drawnBy } = screen;
  const { identity, shape, classes, train_images: train, test_images: test } = about;
  const data = { identity, name: from.name, shape, classes, labels, train, test, drawnBy };
  change({ classified: null, recipe: null, data });
  $('filter').replaceChildren(
    new Option(words.data.allClasses, ''),
    ...classes.map((name) => new Option(words.data.only(name), name)),
  );
  $('filter').value = classes.includes(settings.filter) ? settings.filter : '';
  pick();
}

/** Whose canvas it is that the images are drawn on, and what of the device draws. */
let screen = { of: client(), drawnBy: '' };

/** Gives the device a canvas to draw the images on. */
async function newScreen() {
  const device = client();
  const canvas = element('canvas', { ariaLabel: words.data.images });
  canvas.setAttribute('role', 'img');
  $('screen').replaceChildren(canvas);
  const offscreen = canvas.transferControlToOffscreen();
  const byShader = await ask('take_canvas', [offscreen], [offscreen]);
  screen = { of: device, drawnBy: byShader ? words.data.theGpu : words.data.theCpu };
}

/**
 * A small generator with a seed: the same address shows the same images.
 * @param {number} seed
 */
function random(seed) {
  let s = (seed * 2654435761) >>> 0 || 1;
  return () =>
    ((s = Math.imul(s ^ (s >>> 15), s | 1)), (s ^= s + Math.imul(s ^ (s >>> 7), s | 61)), (s ^ (s >>> 14)) >>> 0) /
    4294967296;
}

/** Chooses the images that are shown. */
function pick() {
  const { data } = state;
  if (!data) return;
  const only = $('filter').value;
  const pool = [...data.labels.keys()].filter((i) => !only || data.classes[data.labels[i]] === only);
  const draw = random(Number(settings.shuffle));
  for (let i = pool.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [pool[i], pool[j]] = [pool[j], pool[i]];
  }
  change({ shown: pool.slice(0, SHOWN) });
}

/** Draws the images, whatever becomes of the device meanwhile. */
export function showSoon() {
  const device = client();
  show().catch((error) => device === client() && say(wordsOf(error)));
}

/** Draws the images, each in a frame, with their labels below. */
async function show() {
  const { data, classified, shown } = state;
  if (!data || screen.of !== client()) return; // another device, which is given the data next
  const roomy = data.classes.some((name) => name.length > 3); // captions need more width
  const [few, many] = roomy ? [5, 10] : [8, 20];
  const columns = innerWidth < 600 ? few : many;
  const frame = (/** @type {number} */ i) =>
    classified ? (classified.classes[i] === data.labels[i] ? GOOD : WRONG) : GREY;
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  await ask('draw', [shown, shown.map(frame), columns, TILE * 2, GAP, dark ? 0x1b1e23 : 0xffffff]);
  const captions = $('captions');
  captions.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
  captions.style.gridTemplateRows = `repeat(${Math.ceil(shown.length / columns)}, 1fr)`;
  captions.replaceChildren(
    ...shown.map((i) => {
      const [label, said] = [data.classes[data.labels[i]], classified && data.classes[classified.classes[i]]];
      // It may break behind the arrow, where two long names do not fit.
      const caption = said === null || said === label ? label : `${label}→\u200b${said ?? '?'}`;
      const asked = button(
        '',
        guarded(() => askAbout(i)),
        words.inside.askAbout(caption),
      );
      asked.append(element('span', caption));
      return element('li', { className: said === null ? '' : said === label ? 'right' : 'wrong' }, asked);
    }),
  );
}

/** Asks the model about a test image. @param {number} index */
async function askAbout(index) {
  await takeTestImage(await ask('test_image', [index]));
  $('pad').scrollIntoView({
    block: 'nearest',
    behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth',
  });
}
document.addEventListener(
  'ask-test-image',
  guarded((/** @type {Event} */ event) => askAbout(/** @type {CustomEvent<number>} */ (event).detail)),
);

/** What the model at hand says of all test images. */
export async function classify() {
  if (state.activity !== 'idle') return;
  const { about, data } = state;
  change({ activity: 'measuring' });
  $('accuracy').textContent = words.data.measuring;
  try {
    const classified = await ask('classify');
    if (about === state.about && data === state.data) change({ classified }); // else of another model, or other images
  } finally {
    if (!state.classified) showAccuracy();
    if (isActivity('measuring')) change({ activity: 'idle' });
  }
}

function showAbout() {
  $('data-about').textContent = state.data ? words.data.about(state.data, SHOWN) : words.data.loading;
}

function showAccuracy() {
  const { classified } = state;
  $('accuracy').textContent = classified ? words.data.accuracy(classified) : '';
}

$('shuffle').onclick = () => {
  keep('shuffle', Number(settings.shuffle) + 1);
  pick();
};
$('filter').onchange = () => {
  keep('filter', $('filter').value);
  pick();
};
$('classify').onclick = guarded(classify);
watch(['data'], showAbout);
watch(['classified', 'about'], showAccuracy);
watch(['shown', 'classified', 'data'], showSoon);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showSoon);
