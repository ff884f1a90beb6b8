// Training in the tab, and the benchmark.
import { $, settings, state } from './common.js';
import { plot, resetCharts } from './charts.js';
import { SAMPLE_NAME, classify } from './data.js';
import { ask } from './lab.js';
import { choose } from './models.js';

export function fillPresets(presets) {
  state.presets = presets.filter((p) => p.recipe.dataset === 'mnist');
  $('preset').replaceChildren(...state.presets.map((p) => new Option(p.name, p.name)));
  $('preset').value = settings.preset;
  for (const key of ['epochs', 'batch', 'rate', 'seed']) $(key).value = settings[key];
}

function recipe() {
  const preset = state.presets.find((p) => p.name === $('preset').value) ?? state.presets[0];
  const number = (id) => {
    const value = $(id).valueAsNumber;
    if (!$(id).checkValidity() || Number.isNaN(value)) throw new Error(`${id}: ${$(id).validationMessage || 'expected a number'}`);
    return value;
  };
  return { ...preset.recipe, dataset: 'mnist-sample', epochs: number('epochs'), batch_size: number('batch'), learning_rate: number('rate'), seed: number('seed') };
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
  for (const id of ['start', 'bench', 'device']) $(id).disabled = on;
  $('pause').textContent = 'Pause';
}

export async function train() {
  if ($('start').disabled) return; // a double click
  const wanted = recipe();
  Object.assign(state, { points: [], history: [], epochs: wanted.epochs });
  resetCharts();
  plot();
  training(true);
  $('progress').textContent = $('device').value === 'webgpu' ? 'compiling and tuning kernels for this adapter …' : 'training …';
  try {
    await ask('train', [wanted]);
    plot();
    if (!state.history.length) return;
    const about = await ask('about');
    const bytes = await ask('save_model');
    const name = `${about.name} (${state.models.length})`;
    state.models.push({ about: { ...about, name }, bytes: bytes.buffer });
    await choose(state.models.length - 1);
    await classify();
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
  if (state.dataName !== SAMPLE_NAME) throw new Error('the benchmark is on the sample of MNIST: reload the page for it');
  $('bench-table').tBodies[0].replaceChildren();
  $('bench-status').textContent = 'measuring …';
  training(true);
  for (const id of ['pause', 'step', 'stop']) $(id).disabled = true;
  try {
    report = await ask('bench');
    const failed = report.rows[0].failed;
    $('bench-status').textContent = failed ? `FAILED: ${failed}` : 'done';
    $('bench-save').disabled = false;
  } finally {
    training(false);
  }
}
