// Training in the tab.
import { download, guarded, latest, say, wordsOf } from '../actions.js';
import { keep } from '../address.js';
import { $, button } from '../dom.js';
import { addModel, choose, fileName, freeName } from '../models.js';
import { ask } from '../protocol.js';
import { change, isActivity, state, watch } from '../store.js';
import { words } from '../words.js';
import { classify } from './data.js';
import { changeField, chosenRecipe, useRecipeOf } from './recipe.js';
import { beginRun, endRun, keepAccuracy, keepEpoch } from './runs.js';

/** @typedef {import('../store.js').Epoch} Epoch */

/** What is known of the run that trains. */
let now = { steps: 0, epochs: 0, tested: 0, isOver: false, isStopped: false };

// While it trains the network in training answers, and its weights are shown.
const showWeights = latest(async () => {
  try {
    const about = await ask('about');
    if (state.activity !== 'training' || now.isOver) return;
    change({ about, answeredBy: words.train.answers(state.curves.history.length) });
  } catch {
    /* the device was changed: whoever changed it says so */
  }
});

/** @param {import('../protocol.js').TrainMessage} message */
export function onTrain({
  steps,
  tested = 0,
  losses,
  first_step = 0,
  weights,
  measured,
  images = 0,
  epoch,
  notice,
  augmented,
}) {
  if (notice) say(notice);
  if (steps) now = { ...now, steps, tested };
  if (losses) {
    const points = losses.map((loss, i) => /** @type {[number, number]} */ ([(first_step + i) / now.steps, loss]));
    change({ curves: { ...state.curves, losses: [...state.curves.losses, ...points].sort((a, b) => a[0] - b[0]) } });
    showProgress();
  }
  if (weights) showWeights();
  if (measured !== undefined) {
    if (state.activity === 'training') $('progress').textContent = words.train.testing(measured, images);
    else $('accuracy').textContent = words.data.measured(measured, images);
  }
  if (epoch) {
    change({ curves: { ...state.curves, history: [...state.curves.history, epoch] } });
    showWeights();
    const part = now.tested < (state.data?.test ?? 0) ? now.tested : 0;
    $('progress').ariaLive = 'polite';
    $('progress').textContent = words.train.epoch(epoch, now.epochs, part);
    $('hint').textContent = hint(state.curves.history);
    keepEpoch().catch(() => {}); // a device that was lost: whoever waits for the run hears of it
  }
  if (augmented !== undefined) $('progress').textContent += words.train.augmented(augmented);
}

/** How far the run is; a screen reader need not say so many times a second. */
function showProgress() {
  $('progress').ariaLive = 'off';
  const done = state.curves.losses.at(-1)?.[0] ?? 0;
  $('progress-bar').max = now.epochs;
  $('progress-bar').value = done;
  const within = Math.round((done - Math.floor(done)) * now.steps);
  if (within && !state.paused)
    $('progress').textContent = words.train.step(
      Math.ceil(done),
      now.epochs,
      within,
      now.steps,
      state.curves.losses.at(-1)?.[1],
    );
  if (state.paused)
    $('progress').textContent = words.train.pausedAt(
      Math.ceil(done),
      within,
      now.steps,
      state.curves.losses.at(-1)?.[1],
    );
}

/**
 * What to do about a run that does not learn, or learns by heart.
 * @param {Epoch[]} history
 */
function hint(history) {
  const last = history.at(-1);
  if (!last || history.length < 2 || !state.data) return '';
  if (last.test_accuracy < 120 / state.data.classes.length) return words.train.learnsNothing;
  const best = Math.min(...history.map((epoch) => epoch.test_loss));
  return history.length > 4 && last.test_loss > 1.2 * best && last.train_loss < 0.5 * last.test_loss
    ? words.train.learnsByHeart
    : '';
}

let preparing = false;

/** Trains the recipe of the form. @param {boolean} further from the weights of the model at hand */
async function train(further) {
  if (state.activity !== 'idle' || preparing) return; // a double click
  preparing = true;
  try {
    const recipe = await chosenRecipe();
    if (state.activity === 'idle') await run(recipe, further); // else a GPU has taken over meanwhile
  } catch (error) {
    // A layer that does not fit says what would.
    $('layers').querySelector('.refusal')?.scrollIntoView({ block: 'center' });
    throw error;
  } finally {
    preparing = false;
  }
}

/** @param {import('../store.js').Recipe} recipe @param {boolean} further */
async function run(recipe, further) {
  const before = state.about;
  now = { steps: 0, epochs: Math.ceil(recipe.epochs), tested: 0, isOver: false, isStopped: false };
  const curves = { name: words.train.now, losses: [], history: [] };
  change({ activity: 'training', paused: false, answeredBy: '', curves });
  $('progress').textContent = state.device.kind === 'webgpu' ? words.train.compiling : words.train.begins;
  $('hint').textContent = '';
  $('progress-bar').value = 0;
  beginRun(recipe, now.epochs);
  try {
    await ask('train', [recipe, further]).finally(() => {
      now.isOver = true;
    });
    await finish(before);
  } catch (error) {
    if (isActivity('training')) {
      $('progress').textContent = words.train.endedEarly;
      if (/learning rate/.test(wordsOf(error))) offerRate(Number(recipe.learning_rate) / 10);
      await back(before);
    }
    await endRun('stopped');
    throw error;
  } finally {
    if (isActivity('training')) change({ activity: 'idle', paused: false });
  }
}

/** Offers to train at another learning rate. @param {number} rate */
function offerRate(rate) {
  const another = guarded(async () => {
    await changeField('learning_rate', String(Number(rate.toPrecision(3))));
    await train(false);
  });
  $('hint').replaceChildren(button(words.train.tryRate(Number(rate.toPrecision(3))), another));
}

/** Takes the model that was at hand before a run. @param {import('../store.js').Manifest | null} before */
async function back(before) {
  if (!before) return;
  const index = state.models.findIndex(({ about }) => about.name === before.name);
  await choose(Math.max(0, index));
}

/** Takes what was trained as a model. @param {import('../store.js').Manifest | null} before */
async function finish(before) {
  if (!state.curves.history.length) {
    $('progress').textContent = words.train.nothingKept;
    await endRun('stopped');
    await back(before); // the weights of steps without a test are given up
    return;
  }
  const [about, bytes] = [await ask('about'), await ask('save_model')];
  const name = freeName(about.name);
  const kept = await endRun(state.curves.history.length < now.epochs ? 'stopped' : 'done', { ...about, name }, bytes);
  await addModel({ about: { ...about, name }, bytes: new Uint8Array(bytes).buffer, run: kept });
  keep('main', name);
  change({ activity: 'idle', paused: false });
  const done = state.curves.history.length;
  if (now.isStopped && done < now.epochs) $('progress').textContent = words.train.stoppedAt(done, now.epochs);
  else $('progress').textContent += words.train.done;
  await classify();
  const accuracy = state.classified?.accuracy;
  if (accuracy === undefined || state.about?.name !== name) return;
  // Within the run it may have been tested on a part of the images, or not at all since its last steps.
  const tested = { ...state.about, accuracy };
  change({
    about: tested,
    models: state.models.map((model) => (model.about.name === name ? { ...model, about: tested } : model)),
  });
  if (kept) await keepAccuracy(kept, accuracy);
}

$('recipe').onsubmit = guarded(async (/** @type {Event} */ event) => {
  // the button, or Enter in a field
  event.preventDefault();
  await train(false);
});
$('further').onclick = guarded(async () => {
  if (state.about) await useRecipeOf(state.about, false); // whatever network the form has
  await train(true);
});
$('pause').onclick = guarded(async () => {
  change({ paused: !state.paused });
  await ask('pause', [state.paused]);
  if (state.paused) showProgress();
});
$('step').onclick = guarded(async () => {
  if (!state.paused) {
    change({ paused: true });
    await ask('pause', [true]);
  }
  await ask('step');
});
$('stop').onclick = guarded(async () => {
  $('progress').textContent = words.train.stops;
  now.isStopped = true;
  await ask('stop');
});
$('save').onclick = guarded(async () => {
  const bytes = new Uint8Array(await ask('save_model'));
  download(fileName(state.about?.name ?? 'weights'), bytes, 'application/octet-stream');
});

watch(['activity', 'paused', 'about', 'data', 'recipe'], () => {
  const { activity, paused, about, data, recipe } = state;
  const [idle, training] = [activity === 'idle', activity === 'training'];
  for (const id of /** @type {const} */ (['bench', 'shuffle', 'filter'])) $(id).disabled = !idle;
  $('start').disabled = !idle || !recipe;
  $('further').disabled = !idle || !recipe || !about;
  $('classify').disabled = !idle || !about || !data;
  $('models').disabled = activity === 'training' || !about;
  $('save').disabled = !about;
  $('file').disabled = activity === 'starting';
  for (const id of /** @type {const} */ (['pause', 'step', 'stop'])) $(id).disabled = !training;
  $('device').disabled = training || activity === 'measuring';
  $('pause').textContent = paused ? words.train.goOn : words.train.pause;
  $('progress-bar').hidden = !training;
  // What a run has been begun with does not change while it trains, but for the learning rate.
  for (const control of /** @type {NodeListOf<HTMLInputElement>} */ (
    document.querySelectorAll('.form [name], #layers button, #layers input, #layers select, #add-layer, #preset')
  )) {
    control.disabled = (training && control.name !== 'lr') || 'edge' in control.dataset;
  }
  if (data && !state.curves.losses.length && idle) $('progress').textContent = words.train.ready(data);
});
