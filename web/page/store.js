// The state of the page: declared here, and changed in one way. Whoever shows a part of it watches that part.

/** @typedef {{ channels: number, height: number, width: number }} Shape */
/**
 * A network: one of the catalogue with the settings that it takes, or layers.
 * @typedef {{ name?: string, layers?: string[], batch_norm?: boolean, width?: number }} Network
 */
/** @typedef {Record<string, unknown> & { dataset: string, network: Network, loss: string, epochs: number }} Recipe */
/** @typedef {{ name: string, about: string, recipe: Recipe }} Preset */
/**
 * What is known of a model beside its weights.
 * @typedef {{
 *   name: string, recipe: Recipe, shape: Shape, classes: string[], accuracy: number | null, sha256: string | null,
 *   file?: string,
 * }} Manifest
 */
/** A model: of the site (`path`), of a file, or trained here (`run` is the one that is kept). */
/** @typedef {{ about: Manifest, path?: string, bytes?: ArrayBuffer, run?: string }} Model */
/**
 * @typedef {{
 *   epoch: number, train_loss: number, test_loss: number, test_accuracy: number, seconds: number,
 *   images_per_second: number,
 * }} Epoch
 */
/** @typedef {{ name: string, blob: Blob }} DataFile */
/** @typedef {{ accuracy: number, classes: Uint16Array, confidences: Float32Array }} Classified */
/**
 * The curves of a run: losses by epoch, and its epochs.
 * @typedef {{ name: string, losses: [number, number][], history: Epoch[] }} Curves
 */
/**
 * A run that is kept in the browser; its weights are kept beside it.
 * @typedef {Curves & {
 *   id: string, began: number, about: Manifest, data: string, epochs: number, state: 'trains' | 'done' | 'stopped',
 *   bytes: number,
 * }} Run
 */
/**
 * A run of the program, in the folder that `tinderbox serve` looks at.
 * @typedef {{
 *   id: string, name: string, began: number, recipe: Recipe, epochs: number, data: string, device: string,
 *   done: number, best: number | null, last: Epoch | null, report: boolean, state: Run['state'],
 * }} Watched
 */
/** A picture of one's own: as it was given, and as a network sees it. */
/** @typedef {{ blob: Blob, pixels: Uint8Array, name: string }} Picture */
/** @typedef {{ name: string, pictures: Picture[] }} PictureClass */

/** @type {State} */
const first = {
  device: { kind: 'cpu', phase: 'loading', name: '', reason: '', replayed: false, loaded: 0 },
  data: null,
  models: [],
  about: null,
  answeredBy: '',
  beside: [],
  classified: null,
  shown: [],
  activity: 'starting',
  paused: false,
  curves: { name: '', losses: [], history: [] },
  overlaid: [],
  runs: [],
  watched: [],
  classes: [],
  recipe: null,
  kinds: [],
  message: '',
};

/**
 * @typedef {{
 *   device: {
 *     kind: 'cpu' | 'webgpu', phase: 'loading' | 'starting' | 'ready' | 'failed', name: string, reason: string,
 *     replayed: boolean, loaded: number, testing?: string,
 *   },
 *   data: {
 *     identity: string, name: string, shape: Shape, classes: string[], labels: Uint16Array,
 *     train: number, test: number,
 *     drawnBy: string,
 *   } | null,
 *   models: Model[],
 *   about: Manifest | null,
 *   answeredBy: string,
 *   beside: Manifest[],
 *   classified: Classified | null,
 *   shown: number[],
 *   activity: 'starting' | 'idle' | 'training' | 'measuring',
 *   paused: boolean,
 *   curves: Curves,
 *   overlaid: Curves[],
 *   runs: Run[],
 *   watched: Watched[],
 *   classes: PictureClass[],
 *   recipe: Recipe | null,
 *   kinds: import('./worker.js').LayerKind[],
 *   message: string,
 * }} State
 *
 * - `device`: what computes, or why not what was wished for; `testing` is the name of a GPU that is being tested
 * beside it;
 * - `data`: the data set at hand;
 * - `models`, `about`, `beside`: the models to choose from, the one at hand, and those that are asked as well;
 * - `answeredBy`: words for a network in training that answers in place of the model that was chosen;
 * - `classified`: what the model at hand says of all test images; `shown` are the test images in the grid;
 * - `activity`: what the device is busy with;
 * - `curves`: the run that trains, or did last; `overlaid` are drawn beside it;
 * - `runs`: those that are kept in this browser; `watched` are the program's, where it serves the page;
 * - `classes`: pictures of one's own, class by class;
 * - `recipe`: what would be trained, as the form has it; `kinds`: the kinds of layers that there are;
 * - `message`: what a visitor should read.
 */

/** @type {State} */
const current = first;

/** The state, to be read. */
export const state = /** @type {Readonly<State>} */ (current);

/** Whether the device is busy with this now, whatever it was before. @param {State['activity']} what */
export const isActivity = (what) => state.activity === what;

/** @type {Set<{ keys: (keyof State)[], show: () => void }>} */
const watchers = new Set();
/** @type {Set<keyof State>} */
let changed = new Set();

/**
 * Changes parts of the state. Whoever watches them is told once, when the present task has ended.
 * @param {Partial<State>} parts
 */
export function change(parts) {
  if (!changed.size) queueMicrotask(tell);
  for (const key of /** @type {(keyof State)[]} */ (Object.keys(parts))) changed.add(key);
  Object.assign(current, parts);
}

function tell() {
  const now = changed;
  changed = new Set();
  for (const { keys, show } of watchers) if (keys.some((key) => now.has(key))) show();
}

/**
 * Shows parts of the state, now and whenever one of them was changed, until what is returned is called.
 * @param {(keyof State)[]} keys
 * @param {() => void} show
 */
export function watch(keys, show) {
  const watcher = { keys, show };
  watchers.add(watcher);
  show();
  return () => {
    watchers.delete(watcher);
  };
}
