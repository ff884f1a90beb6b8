// Training in the tab, and the benchmark.
import { $, RECIPE, keep, settings, state } from './common.js';
import { plot, resetCharts } from './charts.js';
import { classify } from './data.js';
import { ask } from './lab.js';
import { choose } from './models.js';
import { askAgain, showFilters } from './pad.js';

// The presets for the data at hand, with what suits a tab: fewer images, smaller networks.
export function fillPresets(presets = state.presets) {
  state.presets = presets;
  if (!state.shape) return;
  const dataset = state.shape.channels === 1 ? 'mnist' : 'cifar10';
  const fitting = presets.filter((p) => p.recipe.dataset === dataset);
  $('preset').replaceChildren(...fitting.map((p) => new Option(p.name, p.name)));
  const wanted = fitting.find((p) => p.name === settings.preset) ?? fitting.find((p) => p.name === 'linear_v1-bn-ce') ?? fitting[0];
  $('preset').value = wanted.name;
  fillRecipe();
}

const preset = () => state.presets.find((p) => p.name === $('preset').value);
const isDeep = (model) => !model.startsWith('linear');
const onOff = (on) => (on ? 'on' : 'off');

// The preset's values where the visitor has chosen none.
export function fillRecipe() {
  const { recipe } = preset();
  const mine = !settings.preset || settings.preset === $('preset').value; // else they were chosen for other data
  const fits = !(state.shape.height % 32 || state.shape.width % 32);
  for (const option of $('model').options) option.disabled = isDeep(option.value) && !fits;
  const model = mine && [...$('model').options].some((o) => o.value === settings.model && !o.disabled) ? settings.model : recipe.model;
  const deep = isDeep(model);
  const own = {
    epochs: deep ? 3 : 10, batch: 100, rate: recipe.learning_rate, seed: recipe.seed, model, norm: onOff(recipe.batch_norm),
    width: deep ? 0.25 : 1, loss: recipe.loss, optimizer: recipe.optimizer.kind, momentum: recipe.optimizer.momentum ?? 0,
    schedule: recipe.schedule.kind, augment: onOff(recipe.augment.flip || recipe.augment.crop), fraction: recipe.dataset === 'cifar10' ? 0.1 : 1,
  };
  for (const key of RECIPE) {
    $(key).value = mine && settings[key] !== '' ? settings[key] : own[key];
    if ($(key).value === '' || !$(key).checkValidity() || $(key).selectedOptions?.[0].disabled) $(key).value = own[key];
  }
  $('width').disabled = !deep;
  $('norm').disabled = model === 'linear_v0';
}

function recipe() {
  const number = (id) => {
    const value = $(id).valueAsNumber;
    if (!$(id).checkValidity() || Number.isNaN(value)) throw new Error(`${$(id).labels[0].firstChild.textContent.trim()}: ${$(id).validationMessage || 'expected a number'}`);
    return value;
  };
  const base = preset().recipe;
  const [kind, schedule, on] = [$('optimizer').value, $('schedule').value, $('augment').value === 'on'];
  const decay = base.optimizer.kind === kind ? base.optimizer.weight_decay : kind === 'adamw' ? 0.01 : 0;
  const momentum = number('momentum');
  const schedules = { step: { kind: 'step', step_size: 1, gamma: 0.9 }, 'one-cycle': { kind: 'one-cycle', warmup: 0.25 } };
  return {
    ...base, dataset: !state.files ? 'mnist-sample' : base.dataset,
    model: $('model').value, batch_norm: $('model').value !== 'linear_v0' && $('norm').value === 'on',
    width: isDeep($('model').value) ? number('width') : 1, dropout: isDeep($('model').value) ? base.dropout : 0, loss: $('loss').value,
    label_smoothing: $('loss').value === 'ce' ? base.label_smoothing : 0,
    optimizer: kind === 'sgd' ? { kind, momentum, nesterov: momentum > 0 && base.optimizer.nesterov === true, weight_decay: decay } : { kind, weight_decay: decay },
    schedule: base.schedule.kind === schedule ? base.schedule : schedules[schedule] ?? { kind: schedule },
    augment: { crop: on ? base.augment.crop || 4 : 0, flip: on && state.shape.channels === 3 },
    epochs: number('epochs'), batch_size: number('batch'), learning_rate: number('rate'), seed: number('seed'), fraction: number('fraction'),
  };
}

async function takeOver() {
  try {
    state.about = await ask('about');
    await showFilters();
    await askAgain();
  } catch { /* the device was changed: whoever changed it says so */ }
}

let drawn = 0;
export function onTrain(event) {
  if (event.steps) state.steps = event.steps;
  if (event.losses) {
    event.losses.forEach((loss, i) => state.points.push([(event.first_step + i) / state.steps, loss]));
    state.points.sort((a, b) => a[0] - b[0]);
  }
  if (event.epoch) {
    state.history.push(event.epoch);
    if (state.history.length === 1) takeOver(); // what answers from now on is the network that trains
    const m = event.epoch;
    $('progress').textContent = `epoch ${m.epoch} of ${state.epochs}: train loss ${m.train_loss.toFixed(4)}, test loss ${m.test_loss.toFixed(4)}, ` +
      `accuracy ${m.test_accuracy.toFixed(2)} %, ${m.seconds.toFixed(2)} s, ${Math.round(m.images_per_second).toLocaleString('en')} images/s`;
  }
  if (performance.now() - drawn > 100 || event.epoch?.epoch === state.epochs) {
    drawn = performance.now();
    plot();
  }
}

function training(on) {
  for (const id of ['pause', 'step', 'stop']) $(id).disabled = !on;
  state.training = on;
  for (const id of ['start', 'bench', 'device', 'models']) $(id).disabled = on;
  $('pause').textContent = 'Pause';
}

export async function train() {
  if ($('start').disabled) return; // a double click
  const wanted = recipe();
  Object.assign(state, { points: [], history: [], epochs: wanted.epochs });
  resetCharts();
  plot();
  training(true);
  $('progress').textContent = $('device').value === 'webgpu' ? 'compiling kernels for this adapter …' : 'training …';
  try {
    await ask('train', [wanted]);
    plot();
    if (!state.history.length) {
      $('progress').textContent = 'Stopped before the first epoch ended: nothing was kept.';
      return;
    }
    const about = await ask('about');
    const bytes = await ask('save_model');
    const name = `${about.name} (${state.models.length})`;
    state.models.push({ about: { ...about, name }, bytes: bytes.buffer });
    await choose(state.models.length - 1);
    keep('main', '');
    await classify();
  } catch (error) {
    $('progress').textContent = 'The run ended early.';
    throw error;
  } finally {
    if (!state.starting) training(false);
  }
}

export function download(name, bytes, type) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export let report;
export function onBench({ name, median, unit }) {
  $('bench-table').hidden = false;
  const row = $('bench-table').tBodies[0].insertRow();
  for (const text of [name, median >= 1000 ? Math.round(median).toLocaleString('en') : median.toPrecision(3), unit]) row.insertCell().textContent = text;
}

export async function bench() {
  if (state.files) throw new Error('the benchmark is on the sample of MNIST: reload the page for it');
  $('bench-table').tBodies[0].replaceChildren();
  $('bench-status').textContent = 'measuring …';
  training(true);
  for (const id of ['pause', 'step', 'stop']) $(id).disabled = true;
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
