// The drawing pad, pictures and the camera, and what the models say of them.
import { guarded, latest } from '../actions.js';
import { $, button, contextOf, element, keepingFocus, paintPixels } from '../dom.js';
import { decoded, pixelsOf } from '../files.js';
import { askBeside, chooseAndKeep, isWantedBeside, others } from '../models.js';
import { ask, client } from '../protocol.js';
import { change, state, watch } from '../store.js';
import { words } from '../words.js';
import { look } from './inside.js';

/** @typedef {import('../store.js').Manifest} Manifest */
/** @typedef {[number, number]} Point */
/** @typedef {import('../worker.js').Answer} Answer */

const SIDE = 280;
/** With more classes than `ALL_SHOWN`, an answer shows the `MOST_SHOWN` most probable ones. */
const ALL_SHOWN = 30,
  MOST_SHOWN = 10;
/** Whether the model at hand takes pictures in colour, which cannot be drawn. */
let inColour = false;
const pad = $('pad'),
  pen = contextOf(pad, { willReadFrequently: true });
/** @type {Point[][]} */
let strokes = [];
// Instead of a drawing: a picture, a test image as the network sees it (`seen`), or the camera.
/** @type {{ picture: ImageBitmap | HTMLCanvasElement, seen?: Uint8Array } | { camera: MediaStream } | null} */
let instead = null;
/** How often something else was drawn; an answer to what was there before says that another one comes. */
let changes = 0;

/** Shows what is asked about. */
export function paint() {
  changes += 1;
  $('answer').ariaBusy = 'true';
  pen.fillStyle = '#000';
  pen.fillRect(0, 0, SIDE, SIDE);
  const image = instead && ('camera' in instead ? $('live') : instead.picture);
  pen.imageSmoothingEnabled = !(instead && 'seen' in instead);
  if (image) {
    const [wide, high] =
      image instanceof HTMLVideoElement ? [image.videoWidth, image.videoHeight] : [image.width, image.height];
    const scale = SIDE / Math.max(wide, high, 1);
    pen.drawImage(image, (SIDE - wide * scale) / 2, (SIDE - high * scale) / 2, wide * scale, high * scale);
  }
  Object.assign(pen, { strokeStyle: '#fff', fillStyle: '#fff', lineWidth: 22, lineCap: 'round', lineJoin: 'round' });
  for (const stroke of strokes) {
    pen.beginPath();
    stroke.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    if (stroke.length === 1) pen.arc(...stroke[0], 1, 0, 7);
    pen.stroke();
  }
}

/** @param {typeof instead} other */
function putInstead(other) {
  if (instead && 'camera' in instead) for (const track of instead.camera.getTracks()) track.stop();
  strokes = [];
  instead = other;
  $('camera').textContent = other && 'camera' in other ? words.ask.cameraOff : words.ask.camera;
  paint();
}

/**
 * @param {PointerEvent} event
 * @returns {Point}
 */
const place = (event) => {
  const box = pad.getBoundingClientRect();
  return [((event.clientX - box.left) * SIDE) / box.width, ((event.clientY - box.top) * SIDE) / box.height];
};
pad.onpointerdown = (event) => {
  pad.setPointerCapture(event.pointerId);
  if (instead) putInstead(null);
  strokes.push([place(event)]);
  paint();
  askAgain();
};
pad.onpointermove = (event) => {
  if (!event.buttons || !strokes.length) return;
  const between = event.getCoalescedEvents?.() ?? []; // a browser may tell several movements at once
  strokes[strokes.length - 1].push(...(between.length ? between : [event]).map(place));
  paint();
  askAgain();
};
pad.onpointerup = () => askAgain();
pad.onkeydown = (event) => {
  if (event.key === 'Delete' || event.key === 'Backspace' || event.key === 'Escape') $('clear').click();
  if (event.key === 'z' && (event.ctrlKey || event.metaKey)) $('undo').click();
};
$('undo').onclick = () => {
  strokes.pop();
  paint();
  askAgain();
};
$('clear').onclick = () => {
  putInstead(null);
  askAgain();
};

/** Asks about a picture. @param {File} file */
export async function takeImage(file) {
  putInstead({ picture: await decoded(file, file.name) });
  await askAgain();
}

/** Asks about a test image. @param {Uint8Array} seen its pixels, channel by channel */
export async function takeTestImage(seen) {
  if (!state.data) return;
  const picture = element('canvas');
  paintPixels(picture, seen, state.data.shape);
  putInstead({ picture, seen });
  await askAgain();
}

$('camera').onclick = guarded(async () => {
  if (instead && 'camera' in instead) {
    putInstead(null);
    return askAgain();
  }
  const camera = await openCamera();
  putInstead({ camera });
  $('live').srcObject = camera;
  await $('live').play();
  const mine = instead;
  const frame = async () => {
    if (instead !== mine) return;
    paint();
    await askAgain();
    requestAnimationFrame(frame);
  };
  await frame();
});

/** The camera, which a browser asks the visitor for; pictures of it stay in this tab. */
export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(words.ask.noCamera('this browser offers none here'));
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: 640 } });
  } catch (error) {
    throw new Error(words.ask.noCamera(error instanceof Error ? error.message : String(error)));
  }
}

/** @returns {import('../worker.js').Question | null} */
function question() {
  if (instead && 'camera' in instead) return $('live').videoWidth ? pixelsOf($('live'), 256) : null;
  if (instead?.seen) return { ...drawing(), seen: instead.seen };
  if (instead) return pixelsOf(instead.picture, 1024);
  return strokes.length ? drawing() : null;
}

/** What is on the pad. */
const drawing = () => ({ rgba: pen.getImageData(0, 0, SIDE, SIDE).data.buffer, width: SIDE, height: SIDE });

// One question at a time, so that the pen does not wait for the answers; what is drawn meanwhile is asked about next.
const askAgain = guardedQuietly(
  latest(async () => {
    const { about, beside } = state;
    if (!about) return;
    const [asked, mine] = [question(), changes];
    if (!asked) {
      $('answer').textContent = about.shape.channels === 1 ? words.ask.draw(about.classes) : words.ask.open;
      const openFile = button(words.ask.openFile, () => $('file').click());
      $('answers').replaceChildren(...(inColour ? [openFile] : []));
      $('answer').ariaBusy = 'false';
      look(null);
      return;
    }
    const [models, device] = [[about, ...beside], client()];
    try {
      const values = models.map(({ shape }) => shape.channels * shape.height * shape.width);
      const { answers, seen } = await ask('ask', [values, asked]);
      if (state.about !== about) return; // another model: it is asked at once
      showAnswers(models, answers);
      if (mine === changes) $('answer').ariaBusy = 'false';
      look(seen, about.shape);
    } catch (error) {
      if (device !== client()) return; // another device, which is asked when it has the network
      $('answers').replaceChildren();
      $('answer').ariaBusy = 'false';
      throw error;
    }
  }),
);

/** As `guarded`, but leaves words of others alone. @param {() => Promise<void>} action */
function guardedQuietly(action) {
  return async () => {
    try {
      await action();
    } catch (error) {
      change({ message: error instanceof Error ? error.message : String(error) });
    }
  };
}

/**
 * @param {Manifest[]} models
 * @param {Answer[]} answers
 */
function showAnswers(models, answers) {
  const best = (/** @type {Answer} */ { probabilities }) => probabilities.indexOf(Math.max(...probabilities));
  const said = (/** @type {number} */ i) =>
    words.ask.answer(models[i].classes[best(answers[i])], Math.max(...answers[i].probabilities));
  $('answer').textContent = said(0);
  $('answers').replaceChildren(
    ...models.map((about, i) => {
      const column = element('div');
      if (models.length > 1) column.append(element('h3', i ? `${about.name}: ${said(i)}` : about.name));
      const bars = element(
        'ol',
        { className: 'bars' },
        ...mostProbable(about.classes, answers[i].probabilities).map(([name, probability]) => {
          const meter = element('meter', { value: probability, ariaLabel: words.ask.probability(name) });
          return element('li', {}, element('span', name), meter, element('span', words.percent(100 * probability, 1)));
        }),
      );
      // While a network trains an answer waits for a step.
      const waited = state.activity === 'training' ? '' : words.ask.latency(answers[i].milliseconds);
      const latency = element('p', { className: 'soft latency', textContent: waited });
      column.append(bars, latency);
      return column;
    }),
  );
}

/**
 * All classes with their probabilities in their order; of many, the most probable first.
 * @param {string[]} classes
 * @param {number[] | Float32Array} probabilities
 * @returns {[string, number][]}
 */
function mostProbable(classes, probabilities) {
  /** @type {[string, number][]} */
  const all = classes.map((name, c) => [name, probabilities[c]]);
  return all.length > ALL_SHOWN ? all.sort((one, other) => other[1] - one[1]).slice(0, MOST_SHOWN) : all;
}

$('models').onchange = guarded(() => chooseAndKeep(Number($('models').value)));

watch(['models', 'about', 'answeredBy'], () => {
  const { models, about, answeredBy } = state;
  $('models').replaceChildren(...models.map(({ about }, i) => new Option(about.name, String(i))));
  const index = models.findIndex((model) => model.about.name === about?.name);
  if (index >= 0) $('models').value = String(index);
  else if (about) $('models').append(new Option(about.name, '', true, true));
  $('model-about').textContent = answeredBy || (about ? words.models.about(about) : '');
});
watch(['models', 'about', 'beside'], () => {
  const legend = /** @type {Element} */ ($('beside').firstElementChild);
  $('beside').hidden = !others().length;
  keepingFocus($('beside'), () =>
    $('beside').replaceChildren(
      legend,
      ...others().map((i) => {
        const box = element('input', { type: 'checkbox', value: String(i), checked: isWantedBeside(i) });
        box.onchange = guarded(() => {
          const wanted = /** @type {NodeListOf<HTMLInputElement>} */ ($('beside').querySelectorAll('input:checked'));
          return askBeside([...wanted].map((box) => Number(box.value)));
        });
        return element('label', {}, box, ` ${state.models[i].about.name}`);
      }),
    ),
  );
});
watch(['about', 'beside'], () => {
  const was = inColour;
  inColour = state.about?.shape.channels === 3;
  if (inColour && !was) {
    if (strokes.length) putInstead(null);
    $('more-of-try').open = true; // there pictures are opened
  }
  askAgain();
});
paint();
