// Pictures of one's own: classes made in the page, of files, folders, a zip file or the camera, to train a network on.
import { download, guarded, latest, say, wordsOf } from '../actions.js';
import { $, button, element } from '../dom.js';
import { decoded, pixelsOf } from '../files.js';
import { keepPictures, keptPictures } from '../kept.js';
import { ask } from '../protocol.js';
import { change, state, watch } from '../store.js';
import { words } from '../words.js';
import { readZip, writeZip } from '../zip.js';
import { openCamera } from './ask.js';
import { takeSource } from './data.js';

/** @typedef {import('../store.js').Picture} Picture */
/** @typedef {import('../store.js').PictureClass} PictureClass */

/** The most pictures that a tab takes. */
const MOST = 10_000;
/** The most of a class that are shown. */
const SHOWN = 48;
/** Between two pictures of the camera while its button is held, in milliseconds. */
const EVERY = 150;
const IS_IMAGE = /\.(png|jpe?g|bmp|gif|webp|avif)$/i;

/** How long nothing moves after a class got another name, in milliseconds: the pointer may be on a button. */
const QUIET = 400;
/** Addresses of the pictures that are shown. @type {WeakMap<Blob, string>} */
const addresses = new WeakMap();

/** Whether those of an earlier visit are there. */
let isLoaded = false;

/** Shows the pictures of an earlier visit. */
export async function loadPictures() {
  try {
    const classes = await keptPictures();
    if (classes.length) change({ classes });
  } catch {
    /* nothing is kept here, as the list of runs says */
  }
  isLoaded = true;
}

/**
 * Whether files are pictures in folders, or a zip file, and so for here. @param {{ file: File, path: string }[]}
 * files
 */
export const arePictures = (files) =>
  files.some(({ file, path }) => /\.zip$/i.test(file.name) || (path.includes('/') && IS_IMAGE.test(file.name)));

const keepSoon = latest(() => keepPictures(state.classes));

/** Other classes; they are kept. @param {PictureClass[]} classes */
function put(classes) {
  if (!isLoaded) return say(words.files.starting);
  const left = new Set(classes.flatMap(({ pictures }) => pictures));
  for (const picture of state.classes.flatMap(({ pictures }) => pictures)) {
    const address = addresses.get(picture.blob);
    if (address && !left.has(picture)) URL.revokeObjectURL(address);
  }
  change({ classes });
  keepSoon().catch((error) => say(words.pictures.notKept(wordsOf(error))));
}

/**
 * A picture as it is trained on.
 * @param {Blob} blob
 * @param {string} name
 * @returns {Promise<Picture>}
 */
async function pictureOf(blob, name) {
  const bitmap = await decoded(blob, name);
  const { rgba, width, height } = pixelsOf(bitmap, 256);
  bitmap.close();
  return { blob, name, pixels: await ask('picture', [rgba, width, height], [/** @type {ArrayBuffer} */ (rgba)]) };
}

/**
 * Pictures in folders, or of a zip file, whose innermost folder is their class.
 * @param {{ file: File, path: string }[]} files
 */
export async function takePictures(files) {
  $('pictures-details').open = true;
  /** @type {{ blob: Blob, path: string }[]} */
  const all = [];
  for (const { file, path } of files) {
    if (!/\.zip$/i.test(file.name)) all.push({ blob: file, path });
    else all.push(...(await readZip(file, file.name)).map(({ name, blob }) => ({ blob, path: name })));
  }
  const images = all.filter(({ path }) => IS_IMAGE.test(path) && path.includes('/') && !/(^|\/)[._]/.test(path));
  if (!images.length) throw new Error(words.pictures.noFolders);
  /** @type {Map<string, { blob: Blob, path: string }[]>} */
  const byClass = new Map();
  for (const image of images) {
    const name = image.path.split('/').at(-2) ?? '';
    byClass.set(name, [...(byClass.get(name) ?? []), image]);
  }
  let [left, again] = [0, 0];
  for (const [name, images] of byClass) {
    const found = await add(
      name,
      images.map(({ blob, path }) => ({ blob, name: path.split('/').at(-1) ?? '' })),
    );
    [left, again] = [left + found.left, again + found.again];
  }
  tell({ left, again });
  showDetails(); // they may have been dropped anywhere
}

/** Says what became of files that are not among the pictures. @param {{ left: number, again: number }} found */
function tell({ left, again }) {
  if (left) say(words.pictures.leftOut(left));
  else if (again) say(words.pictures.wereThere(again));
}

/**
 * Adds pictures to a class, which is made if there is none of this name. Returns how many were left out, since they
 * cannot be read, and how many were there already.
 * @param {string} name
 * @param {{ blob: Blob, name: string }[]} files
 */
async function add(name, files) {
  if (state.activity === 'starting') throw new Error(words.files.starting);
  let left = 0;
  /** @type {Picture[]} */
  const pictures = [];
  const known = new Set(state.classes.find((of) => of.name === name)?.pictures.map(sameAs));
  const fresh = files.filter((file) => !known.has(sameAs(file)));
  const before = state.classes.reduce((sum, { pictures }) => sum + pictures.length, 0);
  if (before + fresh.length > MOST) throw new Error(words.pictures.tooMany(MOST));
  for (const { blob, name } of fresh) {
    try {
      pictures.push(await pictureOf(blob, name));
    } catch {
      left += 1;
    }
    if (pictures.length % 50 === 0)
      $('pictures-about').textContent = words.pictures.reading(pictures.length, fresh.length);
  }
  const there = state.classes.some((of) => of.name === name);
  const classes = there ? state.classes : [...state.classes, { name, pictures: [] }];
  put(classes.map((of) => (of.name === name ? { name, pictures: [...of.pictures, ...pictures] } : of)));
  return { left, again: files.length - fresh.length };
}
/** What two files have in common that are the same. @param {{ blob: Blob, name: string }} file */
const sameAs = ({ blob, name }) => `${blob.size} ${name}`;

/** The camera is open for this class. */
let filmed = -1;
/** @type {MediaStream | null} */
let camera = null;
/** How often the camera was asked for. */
let asked = 0;

/** Opens the camera for a class, or closes it. @param {number} index */
async function film(index) {
  const mine = ++asked;
  const again = filmed === index;
  camera?.getTracks().forEach((track) => track.stop());
  [camera, filmed] = [null, -1];
  if (!again) {
    const stream = await openCamera();
    if (mine !== asked) return stream.getTracks().forEach((track) => track.stop()); // another was asked for meanwhile
    [camera, filmed] = [stream, index];
    const video = /** @type {HTMLVideoElement} */ ($('film'));
    video.srcObject = camera;
    await video.play();
  }
  paint();
}

const one = guarded(async () => {
  const video = /** @type {HTMLVideoElement} */ ($('film'));
  if (!video.videoWidth) return;
  const { rgba, width, height } = pixelsOf(video, 160);
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.putImageData(new ImageData(new Uint8ClampedArray(/** @type {ArrayBuffer} */ (rgba)), width, height), 0, 0);
  const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 });
  const of = state.classes[filmed];
  if (of) await add(of.name, [{ blob, name: `${Date.now()}.jpg` }]);
});

/** Whether the button for pictures of the camera is held; the button itself is made anew with each picture. */
let held = false;
for (const type of ['pointerup', 'pointercancel', 'keyup', 'blur']) {
  addEventListener(type, () => {
    held = false;
  });
}

/** Takes pictures of the camera as long as the button is held. */
async function snap() {
  if (held) return;
  held = true;
  while (held && filmed >= 0) {
    await one();
    await new Promise((done) => setTimeout(done, EVERY));
  }
  held = false;
}

/** Pictures that were clicked, to be removed. @type {Set<Picture>} */
const chosen = new Set();

/** @param {PictureClass} of @param {number} index */
function card({ name, pictures }, index) {
  const nameNow = () => state.classes[index]?.name ?? name;
  const title = element('input', { value: name, ariaLabel: words.pictures.nameOf(name), maxLength: 60 });
  title.onchange = guarded(() => {
    const wanted = title.value.trim();
    if (!wanted || /[/\\]/.test(wanted) || state.classes.some((other, i) => i !== index && other.name === wanted)) {
      title.value = nameNow();
      throw new Error(words.pictures.badName);
    }
    renamedAt = performance.now();
    put(state.classes.map((of, i) => (i === index ? { ...of, name: wanted } : of)));
  });
  const input = element('input', { type: 'file', multiple: true, accept: 'image/*', className: 'hidden-input' });
  input.onchange = guarded(async () => {
    const files = [...(input.files ?? [])];
    const found = await add(
      nameNow(),
      files.map((file) => ({ blob: file, name: file.name })),
    );
    tell(found);
  });
  const drop = guarded(async () => {
    if (pictures.length && !confirm(words.pictures.reallyRemove(nameNow(), pictures.length))) return;
    if (filmed >= 0) await film(filmed);
    put(state.classes.filter((_, i) => i !== index));
  });
  const remove = button('✕', drop, words.pictures.removeClass(name));
  const camera = filmed === index ? words.pictures.cameraOff : words.pictures.camera;
  const tools = element(
    'div',
    { className: 'row' },
    element('label', { className: 'file' }, words.pictures.addTo, input),
    button(
      camera,
      guarded(() => film(index)),
      words.pictures.filmFor(camera, name),
    ),
  );
  if (filmed === index) {
    const hold = button(words.pictures.snap, () => {}, words.pictures.filmFor(words.pictures.snap, name));
    hold.className = 'hold';
    hold.onpointerdown = snap;
    hold.onkeydown = (event) => {
      if (event.key === ' ' || event.key === 'Enter') snap();
    };
    tools.append(hold);
  }
  const marked = pictures.filter((picture) => chosen.has(picture));
  const removeMarked = () => {
    const left = pictures.filter((picture) => !chosen.has(picture));
    chosen.clear();
    put(state.classes.map((of, i) => (i === index ? { ...of, pictures: left } : of)));
  };
  if (marked.length) tools.append(button(words.pictures.removeChosen(marked.length), removeMarked));
  const shown = pictures.slice(-SHOWN).reverse();
  const thumbs = element('div', { className: 'thumbs' }, ...shown.map(thumb));
  const count = element('p', { className: 'soft', textContent: words.pictures.count(pictures.length) });
  const box = element(
    'div',
    { className: 'class' },
    element('div', { className: 'row' }, title, remove),
    tools,
    count,
    thumbs,
  );
  box.ondragover = (event) => {
    event.preventDefault();
    box.classList.add('target');
  };
  box.ondragleave = () => box.classList.remove('target');
  box.ondrop = guarded(async (/** @type {DragEvent} */ event) => {
    const files = [...(event.dataTransfer?.files ?? [])];
    if (!files.some((file) => IS_IMAGE.test(file.name))) return; // for the page
    event.preventDefault();
    event.stopPropagation();
    document.body.classList.remove('dragging');
    const images = files.filter((file) => IS_IMAGE.test(file.name));
    const found = await add(
      nameNow(),
      images.map((file) => ({ blob: file, name: file.name })),
    );
    tell(found);
  });
  return box;
}

/** A picture, which a click chooses, and another one does not. @param {Picture} picture */
function thumb(picture) {
  if (!addresses.has(picture.blob)) addresses.set(picture.blob, URL.createObjectURL(picture.blob));
  const image = element('img', { src: addresses.get(picture.blob), alt: picture.name, loading: 'lazy' });
  const choose = () => {
    if (!chosen.delete(picture)) chosen.add(picture);
    paint();
  };
  const around = button('', choose, words.pictures.choose(picture.name));
  around.setAttribute('aria-pressed', String(chosen.has(picture)));
  around.append(image);
  return around;
}

function paint() {
  const { classes } = state;
  const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.ariaLabel;
  $('classes').replaceChildren(...classes.map(card));
  $('film').hidden = filmed < 0;
  if (focused)
    /** @type {HTMLElement | undefined} */ (
      [...$('classes').querySelectorAll('button')].find(({ ariaLabel }) => ariaLabel === focused)
    )?.focus();
  const all = classes.reduce((sum, { pictures }) => sum + pictures.length, 0);
  const isEnough = classes.filter(({ pictures }) => pictures.length > 1).length > 1;
  $('pictures-about').textContent = words.pictures.about(classes.length, all, isEnough);
  $('use-pictures').disabled = !isEnough;
  $('save-pictures').disabled = !all;
}

$('add-class').onclick = () => {
  let n = state.classes.length + 1;
  while (state.classes.some(({ name }) => name === words.pictures.class(n))) n++;
  put([...state.classes, { name: words.pictures.class(n), pictures: [] }]);
};
$('pictures').onchange = guarded(async () => {
  const files = [...($('pictures').files ?? [])];
  $('pictures').value = ''; // so that the same file can be opened again
  await takePictures(files.map((file) => ({ file, path: file.name })));
});
/** Takes the pictures as the data to train on. */
export async function usePictures() {
  // The classes in the order of their names, as a folder's are.
  const classes = [...state.classes]
    .filter(({ pictures }) => pictures.length)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  await takeSource({ name: words.pictures.own, load: (device) => load(device, classes) });
}
/** Leads to what is done with pictures of one's own. */
function showDetails() {
  $('pictures-details').open = true;
  $('pictures-details').scrollIntoView({ block: 'start' });
}
$('to-pictures').onclick = () => {
  showDetails();
  $('add-class').focus({ preventScroll: true });
};
$('use-pictures').onclick = guarded(async () => {
  await usePictures();
  document.getElementById('train-title')?.scrollIntoView();
});
$('save-pictures').onclick = guarded(async () => {
  const entries = state.classes.flatMap(({ name, pictures }) => {
    const digits = String(pictures.length).length;
    return pictures.map(({ blob, name: file }, i) => ({
      name: `${name}/${String(i + 1).padStart(digits, '0')}-${file.replace(/[/\\]/g, '_')}`,
      blob,
    }));
  });
  download('pictures.zip', await writeZip(entries), 'application/zip');
});

/** @param {import('../protocol.js').Client} device @param {PictureClass[]} classes */
async function load(device, classes) {
  const pictures = classes.flatMap(({ pictures }) => pictures.map(({ pixels }) => pixels));
  const all = new Uint8Array(pictures.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const pixels of pictures) {
    all.set(pixels, at);
    at += pixels.length;
  }
  const labels = Uint16Array.from(classes.flatMap(({ pictures }, label) => pictures.map(() => label)));
  return device.ask('load_pictures', [words.pictures.own, classes.map(({ name }) => name), all, labels]);
}

/** When a class got another name. */
let renamedAt = -QUIET;
watch(['classes'], () => {
  const wait = renamedAt + QUIET - performance.now();
  if (wait > 0) setTimeout(paint, wait);
  else paint();
});
