// The page: starts a device and wires the elements to what they do. All computing is in worker.js.
import { $, guarded, keep, say, settings, state } from './common.js';
import { plot, resetCharts } from './charts.js';
import { SAMPLE, classify, gunzip, loadData, show, takeData } from './data.js';
import { ask, startWorker } from './lab.js';
import { choose, loadModels, takeWeights } from './models.js';
import { paint, takeImage } from './pad.js';
import { bench, download, fillPresets, onBench, onTrain, report, train } from './training.js';

const events = { train: onTrain, bench: onBench, lost: ({ reason }) => fall(`the GPU was lost (${reason})`) };

let current;

async function fall(reason) {
  if ($('device').value === 'cpu') return;
  await start('cpu', reason);
}

async function start(kind, reason = '') {
  state.starting = true;
  enable(false);
  $('device').value = kind;
  badge('', `starting ${kind === 'cpu' ? 'the CPU' : 'WebGPU'} …`);
  const mine = startWorker(events);
  current = mine;
  try {
    const { device, presets } = await ask('open', [kind]);
    if (kind === 'webgpu') {
      badge('', `${device.name || 'WebGPU'}: testing itself against the CPU; kernels are compiled and tuned, which may take a while …`);
      const test = await ask('self_test');
      if (!test.passed) throw new Error(`its results differ from the CPU's by ${test.difference === null ? 'NaN' : test.difference.toPrecision(2)}`);
      badge('good', `${device.name || 'adapter without a name'} · WebGPU · self-test passed`);
    } else {
      badge(reason ? 'warn' : '', `CPU${reason ? ` · no WebGPU: ${reason}` : ''}`);
    }
    fillPresets(presets);
    await newScreen();
    await loadData();
    await loadModels();
    state.starting = false;
    enable(true);
  } catch (error) {
    if (mine !== current) return; // a newer start is under way
    if (kind === 'webgpu') return start('cpu', error.message);
    badge('warn', 'failed');
    say(`The page cannot start: ${error.message}`);
  }
}

function badge(kind, text) {
  $('badge').className = `badge ${kind}`;
  $('badge').textContent = text;
}

function enable(on) {
  for (const id of ['shuffle', 'classify', 'start', 'bench']) $(id).disabled = !on;
  for (const id of ['pause', 'step', 'stop']) $(id).disabled = true;
  $('save').disabled = !on;
  $('device').disabled = false;
}

async function newScreen() {
  const canvas = document.createElement('canvas');
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', 'Sample images; their labels follow below');
  $('screen').replaceChildren(canvas);
  const offscreen = canvas.transferControlToOffscreen();
  state.drawnBy = await ask('take_canvas', [offscreen], [offscreen]) ? 'tile_grid.wgsl' : 'the CPU';
}

$('shuffle').onclick = guarded(async () => { keep('shuffle', Number(settings.shuffle) + 1); await show(); });
$('filter').onchange = guarded(async () => { keep('filter', $('filter').value); await show(); });
$('classify').onclick = guarded(classify);
$('models').onchange = guarded(() => choose(Number($('models').value)));
$('device').onchange = guarded(() => { keep('device', $('device').value); return start($('device').value); });
$('start').onclick = guarded(train);
$('pause').onclick = guarded(async () => {
  const pausing = $('pause').textContent === 'Pause';
  $('pause').textContent = pausing ? 'Go on' : 'Pause';
  await ask('pause', [pausing]);
});
$('step').onclick = guarded(async () => {
  if ($('pause').textContent === 'Pause') $('pause').click();
  await ask('step');
});
$('stop').onclick = guarded(() => ask('stop'));
$('save').onclick = guarded(async () => download('weights.safetensors', await ask('save_model'), 'application/octet-stream'));
$('bench').onclick = guarded(bench);
$('bench-save').onclick = guarded(() => download('tinderbox-bench.json', JSON.stringify(report, null, 1), 'application/json'));
$('recipe').onsubmit = (event) => event.preventDefault();
for (const key of ['preset', 'epochs', 'batch', 'rate', 'seed']) {
  $(key).onchange = guarded(async () => {
    keep(key, $(key).value);
    if (key === 'rate' && !$('stop').disabled) await ask('set_learning_rate', [$('rate').valueAsNumber]);
  });
}

async function take(files) {
  const idx = SAMPLE.map((name) => files.find((file) => file.name.startsWith(name)));
  if (idx.every(Boolean)) {
    const bytes = await Promise.all(idx.map(async (file) => new Uint8Array(file.name.endsWith('.gz') ? await gunzip(file) : await file.arrayBuffer())));
    return takeData('your files', bytes);
  }
  for (const file of files) {
    if (file.name.endsWith('.safetensors')) await takeWeights(file);
    else if (file.type.startsWith('image/')) await takeImage(file);
    else throw new Error(`${file.name}: expected an image, weights (.safetensors), or the four files ${SAMPLE.join(', ')}`);
  }
}
$('file').onchange = guarded(() => take([...$('file').files]));
addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('dragging'); });
addEventListener('dragleave', () => document.body.classList.remove('dragging'));
addEventListener('drop', guarded(async (event) => {
  event.preventDefault();
  document.body.classList.remove('dragging');
  await take([...event.dataTransfer.files]);
}));
addEventListener('paste', guarded((event) => take([...event.clipboardData.files])));
let resized;
addEventListener('resize', () => { clearTimeout(resized); resized = setTimeout(() => { resetCharts(); if (state.points) plot(); if (state.labels) show(false); }, 200); });

globalThis.tinderboxTest = (call) => ask(call); // a way in for the tests
paint();
start(settings.device || (navigator.gpu ? 'webgpu' : 'cpu'), settings.device || navigator.gpu ? '' : 'this browser has none');
