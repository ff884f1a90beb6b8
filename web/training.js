// Training in the tab, and the benchmark.
import { $, keep, onceAtATime, say, state } from './common.js';
import { plot, resetCharts } from './charts.js';
import { classify } from './data.js';
import { choose } from './models.js';
import { askAgain, showFilters } from './pad.js';
import { chosenRecipe } from './recipe.js';
import { ask } from './worker-client.js';

/** @typedef {{ steps?: number, losses?: number[], first_step?: number, epoch?: import('./common.js').Epoch, notice?: string, augmented?: number }} TrainEvent */

// From its first epoch on the network that trains answers, and after each one anew.
const takeOver = onceAtATime(async () => {
  try {
    state.about = await ask('about');
    await showFilters();
    await askAgain();
    if (state.training) $('model-about').textContent = `answering: the network that is being trained, after epoch ${state.history.length}`;
  } catch { /* the device was changed: whoever changed it says so */ }
});

let drawn = 0;
/** @param {TrainEvent} event */
export function onTrain({ steps, losses, first_step = 0, epoch, notice, augmented }) {
  if (notice) say(notice);
  if (steps) state.steps = steps;
  if (losses) {
    losses.forEach((loss, i) => state.points.push([(first_step + i) / state.steps, loss]));
    state.points.sort((a, b) => a[0] - b[0]);
  }
  if (epoch) {
    state.history.push(epoch);
    takeOver();
    $('progress').textContent = `epoch ${epoch.epoch} of ${state.epochs}: train loss ${epoch.train_loss.toFixed(4)}, test loss ${epoch.test_loss.toFixed(4)}, ` +
      `accuracy ${epoch.test_accuracy.toFixed(2)} %, ${epoch.seconds.toFixed(2)} s, ${Math.round(epoch.images_per_second).toLocaleString('en')} images/s`;
  }
  if (augmented !== undefined) $('progress').textContent += `; with test-time augmentation ${augmented.toFixed(2)} %`;
  if (performance.now() - drawn > 100 || epoch?.epoch === state.epochs) {
    drawn = performance.now();
    plot();
  }
}

/** @param {boolean} on */
function training(on) {
  for (const id of /** @type {const} */ (['pause', 'step', 'stop'])) $(id).disabled = !on;
  state.training = on;
  for (const id of /** @type {const} */ (['start', 'bench', 'device', 'models'])) $(id).disabled = on;
  $('pause').textContent = 'Pause';
}

export async function train() {
  if ($('start').disabled) return; // a double click
  training(true);
  try {
    const recipe = await chosenRecipe();
    Object.assign(state, { points: [], history: [], epochs: Math.ceil(recipe.epochs) });
    resetCharts();
    plot();
    $('progress').textContent = $('device').value === 'webgpu' ? 'compiling kernels for this adapter …' : 'training …';
    await run(recipe);
  } finally {
    if (!state.starting) training(false);
  }
}

/** @param {import('./common.js').Recipe} recipe */
async function run(recipe) {
  try {
    await ask('train', [recipe]);
    plot();
    if (!state.history.length) {
      $('progress').textContent = 'Stopped before the first epoch ended: nothing was kept.';
      return;
    }
    const about = await ask('about');
    const bytes = await ask('save_model');
    const before = state.models.filter((model) => model.about.name === about.name || model.about.name.startsWith(`${about.name} (`)).length;
    const name = before ? `${about.name} (${before + 1})` : about.name;
    state.models.push({ about: { ...about, name }, bytes: new Uint8Array(bytes).buffer });
    await choose(state.models.length - 1);
    keep('main', '');
    await classify();
  } catch (error) {
    $('progress').textContent = 'The run ended early.';
    throw error;
  }
}

/**
 * @param {string} name
 * @param {BlobPart} bytes
 * @param {string} type
 */
export function download(name, bytes, type) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @type {Awaited<ReturnType<import('./worker.js').Calls['bench']>> | undefined} */
export let report;
/** @param {{ name: string, median: number, unit: string }} measurement */
export function onBench({ name, median, unit }) {
  $('bench-table').hidden = false;
  const row = $('bench-table').tBodies[0].insertRow();
  for (const text of [name, median >= 1000 ? Math.round(median).toLocaleString('en') : median.toPrecision(3), unit]) row.insertCell().textContent = text;
}

export async function bench() {
  if (state.identity !== 'mnist-sample') throw new Error('the benchmark is on the sample of MNIST: reload the page for it');
  $('bench-table').tBodies[0].replaceChildren();
  $('bench-status').textContent = 'measuring …';
  training(true);
  for (const id of /** @type {const} */ (['pause', 'step', 'stop'])) $(id).disabled = true;
  try {
    report = await ask('bench');
    const failed = report.rows[0].failed;
    $('bench-status').textContent = failed ? `FAILED: ${failed}` : 'done';
    $('bench-save').disabled = false;
  } catch (error) {
    $('bench-status').textContent = '';
    throw error;
  } finally {
    if (!state.starting) training(false);
  }
}
