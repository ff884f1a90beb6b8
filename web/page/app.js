// The page: fills in the words, starts a device, and wires what concerns all parts. All computing is in worker.js.
import { guarded, say } from './actions.js';
import { redraw } from './charts.js';
import { isData } from './dataset.js';
import { start } from './device.js';
import { $ } from './dom.js';
import { droppedFiles } from './files.js';
import { loadModels, takeWeights } from './models.js';
import { ask } from './protocol.js';
import { state, watch } from './store.js';
import { takeImage } from './views/ask.js';
import { onBench } from './views/bench.js';
import { loadData, offerSamples, showSoon, takeFiles } from './views/data.js';
import './views/inside.js';
import './views/network.js';
import { arePictures, loadPictures, takePictures } from './views/pictures.js';
import { chosenRecipe, takeOffers } from './views/recipe.js';
import { loadRuns } from './views/runs.js';
import { onTrain } from './views/train.js';
import { watchRuns } from './views/watched.js';
import { words } from './words.js';

for (const [attribute, put] of /** @type {[string, (element: HTMLElement, text: string) => void][]} */ ([
  [
    'words',
    (element, text) => {
      element.textContent = text;
    },
  ],
  [
    'label',
    (element, text) => {
      element.ariaLabel = text;
    },
  ],
  [
    'title',
    (element, text) => {
      element.title = text;
    },
  ],
])) {
  for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`[data-${attribute}]`))) {
    put(element, words.page[element.dataset[attribute] ?? ''] ?? '');
  }
}
$('camera').textContent = words.ask.camera;

/** @param {{ file: File, path: string }[]} files */
async function take(files) {
  if (state.activity === 'starting') throw new Error(words.files.starting);
  if (arePictures(files)) return takePictures(files);
  const plain = files.map(({ file }) => file);
  if (plain.some(isData)) return takeFiles(plain.filter(isData));
  for (const file of plain) {
    if (/\.(safetensors|burnpack|bpk)$/.test(file.name)) await takeWeights(file);
    else if (file.type.startsWith('image/')) await takeImage(file);
    else throw new Error(words.files.expected(file.name));
  }
}
$('file').onchange = guarded(async () => {
  const files = [...($('file').files ?? [])];
  $('file').value = ''; // so that the same file can be opened again
  await take(files.map((file) => ({ file, path: file.name })));
});
addEventListener('dragover', (event) => {
  if (!event.dataTransfer?.types.includes('Files')) return;
  event.preventDefault();
  document.body.classList.add('dragging');
});
addEventListener('dragleave', () => document.body.classList.remove('dragging'));
addEventListener(
  'drop',
  guarded(async (/** @type {DragEvent} */ event) => {
    if (!event.dataTransfer?.types.includes('Files')) return; // such as text into a field
    event.preventDefault();
    document.body.classList.remove('dragging');
    await take(await droppedFiles(event.dataTransfer));
  }),
);
addEventListener(
  'paste',
  guarded((/** @type {ClipboardEvent} */ event) =>
    take([...(event.clipboardData?.files ?? [])].map((file) => ({ file, path: file.name }))),
  ),
);
addEventListener('hashchange', () => location.reload()); // a link put into this tab
// What trains is lost with the tab, but for its last epoch that was kept.
addEventListener('beforeunload', (event) => {
  if (state.activity === 'training') event.preventDefault();
});
/** @type {number} */
let resized;
addEventListener('resize', () => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    redraw();
    showSoon();
  }, 200);
});

watch(['message'], () => {
  $('message-text').textContent = state.message;
  $('message').hidden = !state.message;
});

$('message-close').onclick = () => say('');

Object.assign(globalThis, { tinderboxTest: { ask, chosenRecipe, state } }); // a way in for tests and benchmarks
await Promise.all([loadRuns(), loadPictures()]);
watchRuns();
offerSamples().catch(() => {}); // then there are the digits
if ('serviceWorker' in navigator && isSecureContext)
  watch(['activity'], () => {
    if (state.activity === 'idle') navigator.serviceWorker.register('offline.js').catch(() => {});
  });
await start({ offers: takeOffers, models: loadModels, data: loadData, train: onTrain, bench: onBench });
