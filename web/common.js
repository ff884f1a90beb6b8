// What all parts of the page share: its elements, its settings, its state, and how a failure is said.

/**
 * The elements that are more than an HTMLElement, by their id.
 * @typedef {Record<'shuffle' | 'classify' | 'undo' | 'clear' | 'start' | 'pause' | 'step' | 'stop' | 'save' | 'bench' | 'bench-save', HTMLButtonElement>
 *   & Record<'device' | 'filter' | 'models' | 'preset', HTMLSelectElement>
 *   & Record<'pad' | 'seen' | 'responses' | 'filters', HTMLCanvasElement>
 *   & { file: HTMLInputElement, beside: HTMLFieldSetElement, recipe: HTMLFormElement, 'bench-table': HTMLTableElement }} Elements
 */
/**
 * @template {string} K
 * @param {K} id
 */
export const $ = (id) => /** @type {K extends keyof Elements ? Elements[K] : HTMLElement} */ (
  /** @type {unknown} */ (document.getElementById(id)));

/** @typedef {{ channels: number, height: number, width: number }} Shape */
/**
 * A network: one of the catalogue with the settings that it takes, or layers.
 * @typedef {{ name?: string, layers?: string[], batch_norm?: boolean, width?: number }} Network
 */
/** @typedef {Record<string, unknown> & { dataset: string, network: Network, loss: string, epochs: number }} Recipe */
/** @typedef {{ name: string, about: string, recipe: Recipe }} Preset */
/**
 * What is known of a model beside its weights.
 * @typedef {{ name: string, recipe: Recipe, shape: Shape, classes: string[], accuracy: number | null, sha256: string | null, file?: string }} Manifest
 */
/** @typedef {{ about: Manifest, path?: string, bytes?: ArrayBuffer }} Model */
/** @typedef {{ epoch: number, train_loss: number, test_loss: number, test_accuracy: number, seconds: number, images_per_second: number }} Epoch */
/** @typedef {{ name: string, blob: Blob }} DataFile */

const defaults = { device: '', preset: '', shuffle: '1', filter: '', main: '', beside: '' };
// They live in the address after the #, so that a link shows what one sees.
const address = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const own = Object.entries(defaults).map(([key, value]) => [key, address[key] ?? value]);
/** @type {typeof defaults} */
export const settings = Object.fromEntries(own);
if (!['', 'cpu', 'webgpu'].includes(settings.device)) settings.device = '';
if (!Number.isSafeInteger(Number(settings.shuffle))) settings.shuffle = '1';
// So do the fields of the recipe that differ from the preset's, by the names of their options.
let options = Object.fromEntries(Object.entries(address).filter(([key]) => !(key in defaults)));

export const keptOptions = () => options;

/**
 * @param {keyof typeof defaults} key
 * @param {string | number} value
 */
export function keep(key, value) {
  settings[key] = String(value);
  writeAddress();
}

/** @param {Record<string, string>} changed */
export function keepOptions(changed) {
  options = changed;
  writeAddress();
}

function writeAddress() {
  const changed = Object.entries(settings).filter(([key, value]) => value !== defaults[/** @type {keyof typeof defaults} */ (key)]);
  const all = new URLSearchParams([...changed, ...Object.entries(options)]).toString();
  history.replaceState(null, '', all ? `#${all}` : location.pathname + location.search);
}

export const state = {
  starting: true,
  training: false,
  drawnBy: '',
  // The data set, and which one it is; `files` are the visitor's own, none for the sample.
  identity: '',
  /** @type {Shape} */
  shape: { channels: 1, height: 28, width: 28 },
  /** @type {string[]} */
  classes: [],
  /** @type {Uint8Array} */
  labels: new Uint8Array(),
  /** @type {DataFile[] | null} */
  files: null,
  filesName: '',
  // The test images that are shown, and what the model at hand says of all of them.
  /** @type {number[]} */
  shown: [],
  /** @type {number[] | null} */
  said: null,
  // The models to choose from, the one at hand, and those beside it.
  /** @type {Model[]} */
  models: [],
  /** @type {Manifest | null} */
  about: null,
  /** @type {Manifest[]} */
  beside: [],
  // The run: its losses by epoch, and its epochs.
  /** @type {[number, number][]} */
  points: [],
  /** @type {Epoch[]} */
  history: [],
  steps: 0,
  epochs: 0,
};

/** @param {string} text */
export function say(text) {
  $('message').textContent = text;
  $('message').hidden = !text;
}

/** @param {unknown} error */
export const wordsOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * Runs a visitor's action; whatever fails is said, and the page stays usable.
 * @template {unknown[]} A
 * @param {(...args: A) => unknown} action
 */
export const guarded = (action) => async (/** @type {A} */ ...args) => {
  try {
    say('');
    await action(...args);
  } catch (error) {
    say(wordsOf(error));
  }
};

/**
 * An action that does nothing while it is under way already.
 * @param {() => Promise<void>} action
 */
export function onceAtATime(action) {
  let busy = false;
  return async () => {
    if (busy) return;
    busy = true;
    try {
      await action();
    } finally {
      busy = false;
    }
  };
}

/** Runs actions one after the other, in the order in which they were asked for, whether or not those before succeed. */
export function queue() {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  /**
   * @template T
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  return (action) => {
    const mine = last.catch(() => {}).then(action);
    last = mine;
    return mine;
  };
}
