// The page: starts a device and wires the elements to what they do. All computing is in worker.js.
import { $, guarded, keep, say, settings, state, wordsOf } from './common.js';
import { plot, resetCharts } from './charts.js';
import { classify, isData, loadData, show, takeFiles } from './data.js';
import { choose, loadModels, takeWeights } from './models.js';
import { paint, takeImage } from './pad.js';
import { choosePreset, takeOffers } from './recipe.js';
import { bench, download, onBench, onTrain, report, train } from './training.js';
import { ask, startWorker } from './worker-client.js';

/** @type {import('./worker-client.js').Events} */
const events = {
  train: onTrain,
  bench: onBench,
  lost: ({ reason }) => fall(`the GPU was lost (${reason})`),
  // Data and models are kept by the page: the same device starts again with them.
  failed: async (error) => { await start($('device').value); say(error.message); },
};

/** @type {Worker | undefined} */
let current;

/** @param {string} reason */
async function fall(reason) {
  if ($('device').value === 'cpu') return;
  await start('cpu', reason, 'warn');
}

/**
 * @param {string} kind
 * @param {string} [reason] why it is not WebGPU
 * @param {string} [look] of the badge: a browser without WebGPU is as good as another, a GPU that fails is not
 * @returns {Promise<void>}
 */
async function start(kind, reason = '', look = '') {
  state.starting = true;
  enable(false);
  $('device').value = kind;
  badge('', `starting ${kind === 'cpu' ? 'the CPU' : 'WebGPU'} …`);
  const mine = startWorker(events, reason);
  let [opened, works] = [false, kind === 'cpu'];
  current = mine;
  try {
    const { device, ...offers } = await ask('open', [kind]);
    opened = true;
    if (kind === 'webgpu') {
      badge('', `${device.name || 'WebGPU'}: being compared with the CPU …`);
      const { replayed } = await ask('verify'); // throws where the adapter computes something else
      badge('good', `${device.name || 'adapter without a name'} · WebGPU · computes what the CPU computes`);
      $('badge').title = replayed ? 'Training steps are recorded once and replayed.' : 'Training steps are handed on operation by operation.';
    } else {
      badge(look, `CPU${reason ? ` · no WebGPU: ${reason}` : ''}`);
    }
    takeOffers(offers);
    await newScreen();
    works = true; // what fails from here on is not the device
    await loadData();
    await loadModels();
    state.starting = false;
    enable(true);
  } catch (error) {
    if (mine !== current) return; // a newer start is under way
    if (!works) return start('cpu', wordsOf(error), opened ? 'warn' : '');
    badge('warn', 'failed');
    say(`The page cannot start: ${wordsOf(error)}`);
  }
}

/**
 * @param {string} kind
 * @param {string} text
 */
function badge(kind, text) {
  $('badge').className = `badge ${kind}`;
  $('badge').textContent = text;
  $('badge').title = '';
}

/** @param {boolean} on */
function enable(on) {
  for (const id of /** @type {const} */ (['shuffle', 'classify', 'start', 'bench', 'models', 'filter', 'file'])) $(id).disabled = !on;
  for (const id of /** @type {const} */ (['pause', 'step', 'stop'])) $(id).disabled = true;
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
$('models').onchange = guarded(async () => { await choose(Number($('models').value)); keep('main', state.about?.name ?? ''); });
$('device').onchange = guarded(() => { keep('device', $('device').value); return start($('device').value); });
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
const fileName = () => `${(state.about?.name ?? 'weights').replace(/\.(safetensors|burnpack|bpk)$/, '').replace(/[^\w.-]+/g, '-')}.safetensors`;
$('save').onclick = guarded(async () => download(fileName(), new Uint8Array(await ask('save_model')), 'application/octet-stream'));
$('bench').onclick = guarded(bench);
$('bench-save').onclick = guarded(() => download('tinderbox-bench.json', JSON.stringify(report, null, 1), 'application/json'));
$('recipe').onsubmit = guarded(async (/** @type {Event} */ event) => { // the button, or Enter in a field
  event.preventDefault();
  await train();
});
$('preset').onchange = guarded(choosePreset);

/** @param {File[]} files */
async function take(files) {
  if (state.starting) throw new Error('the page is still starting: try again in a moment');
  if (files.some(isData)) return takeFiles(files.filter(isData));
  for (const file of files) {
    if (/\.(safetensors|burnpack|bpk)$/.test(file.name)) await takeWeights(file);
    else if (file.type.startsWith('image/')) await takeImage(file);
    else throw new Error(`${file.name}: expected an image, weights (.safetensors or .burnpack), or the files of MNIST or CIFAR-10`);
  }
}
$('file').onchange = guarded(async () => {
  await take([...$('file').files ?? []]);
  $('file').value = ''; // so that the same file can be opened again
});
addEventListener('dragover', (event) => { event.preventDefault(); document.body.classList.add('dragging'); });
addEventListener('dragleave', () => document.body.classList.remove('dragging'));
addEventListener('drop', guarded(async (/** @type {DragEvent} */ event) => {
  event.preventDefault();
  document.body.classList.remove('dragging');
  await take([...event.dataTransfer?.files ?? []]);
}));
addEventListener('paste', guarded((/** @type {ClipboardEvent} */ event) => take([...event.clipboardData?.files ?? []])));
addEventListener('hashchange', () => location.reload()); // a link put into this tab
/** @type {number} */
let resized;
addEventListener('resize', () => { clearTimeout(resized); resized = setTimeout(() => { resetCharts(); if (state.points.length) plot(); if (state.labels.length) show(false); }, 200); });

Object.assign(globalThis, { tinderboxTest: ask }); // a way in for the tests
paint();
start(settings.device || (navigator.gpu ? 'webgpu' : 'cpu'), settings.device || navigator.gpu ? '' : 'this browser has none');
