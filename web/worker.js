// One device's worker: loads the WebAssembly, and does what the page asks, one message at a time.
//
// The page posts {id, call, args}; the answer is {id, result} or {id, error}. While a run trains it also posts
// {event: ...}. A worker holds one device; to change the device the page starts another worker.
import init, { Session, change_recipe, presets, schema } from './pkg/tinderbox_web.js';

/** @typedef {import('./common.js').Manifest} Manifest */
/** @typedef {import('./common.js').Epoch} Epoch */
/** @typedef {import('./common.js').Preset} Preset */
/** @typedef {import('./common.js').Recipe} Recipe */
/** @typedef {import('./common.js').Shape} Shape */
/** @typedef {import('./form.js').Schema} Schema */
/** @typedef {{ identity: string, shape: Shape, classes: string[], train_images: number, test_images: number }} DataInfo */
/** @typedef {{ probabilities: Float32Array, milliseconds: number }} Answer */

/** @type {Session} */
let session;
let paused = false;

// A turn of the event loop, so that messages are read between two steps; a paused run looks now and then.
const channel = new MessageChannel();
const turn = () => new Promise((done) => {
  if (paused) {
    setTimeout(done, 20);
  } else {
    channel.port1.onmessage = done;
    channel.port2.postMessage(null);
  }
});

// The WebAssembly calls this by its name.
Object.assign(self, { deviceLost: (/** @type {string} */ reason) => postMessage({ event: 'lost', reason }) });

const calls = {
  /**
   * @param {string} kind
   * @returns {Promise<{ device: { name: string }, presets: Preset[], schema: Schema }>}
   */
  async open(kind) {
    if (kind === 'webgpu') { // asked before anything is loaded, which the CPU's worker would load again
      if (!self.navigator.gpu) throw new Error('this browser has no WebGPU');
      if (!await navigator.gpu.requestAdapter()) throw new Error('WebGPU finds no adapter');
    }
    await init();
    session = await Session.open(kind);
    return { device: JSON.parse(session.device()), presets: JSON.parse(presets()), schema: JSON.parse(schema()) };
  },
  /** @returns {Promise<{ checks: { what: string, difference: number, allowed: number }[], replayed: boolean }>} */
  verify: async () => JSON.parse(await session.verify()),
  /**
   * @param {string} name
   * @param {string[]} names
   * @param {Uint8Array[]} files
   * @returns {DataInfo}
   */
  load_data: (name, names, files) => JSON.parse(session.load_data(name, names, files)),
  test_labels: () => session.test_labels(),
  /**
   * @param {Recipe} recipe
   * @param {Record<string, string>} changes
   * @returns {Recipe}
   */
  change_recipe: (recipe, changes) => JSON.parse(change_recipe(JSON.stringify(recipe), JSON.stringify(changes))),
  /**
   * @param {string} name
   * @param {ArrayBuffer} bytes
   * @returns {Manifest}
   */
  read_weights: (name, bytes) => JSON.parse(session.read_weights(name, new Uint8Array(bytes))),
  /**
   * @param {number} place
   * @param {Manifest} about
   * @param {ArrayBuffer} bytes
   * @returns {Manifest}
   */
  load_model: (place, about, bytes) => JSON.parse(session.load_model(place, JSON.stringify(about), new Uint8Array(bytes))),
  drop_others: () => session.drop_others(),
  save_model: () => session.save_model(),
  /** @returns {Manifest} */
  about: () => JSON.parse(session.about()),
  /** @param {OffscreenCanvas} canvas */
  take_canvas: (canvas) => session.take_canvas(canvas),
  /**
   * @param {number[]} images
   * @param {number[]} frames
   * @param {number} columns
   * @param {number} tile
   * @param {number} gap
   * @param {number} background
   */
  draw: (images, frames, columns, tile, gap, background) =>
    session.draw(new Uint32Array(images), new Uint32Array(frames), columns, tile, gap, background),
  classify: () => session.classify(),
  /**
   * Asks the models in the first places about an image.
   * @param {number} models
   * @param {ArrayBufferLike} rgba
   * @param {number} width
   * @param {number} height
   */
  async ask(models, rgba, width, height) {
    /** @type {Answer[]} */
    const answers = [];
    const seen = [];
    for (let place = 0; place < models; place++) {
      seen.push(session.prepare(place, new Uint8Array(rgba), width, height));
      const start = performance.now();
      const probabilities = await session.predict(place, seen[place]);
      answers.push({ probabilities, milliseconds: performance.now() - start });
    }
    return { seen: seen[0], answers, responses: await session.responses(seen[0]) };
  },
  /**
   * What a layer of the model at hand makes of an image, as `ask` says that it is seen.
   * @param {Uint8Array} seen
   * @param {number} layer
   */
  activations: (seen, layer) => session.activations(seen, layer),
  filters: () => session.filters(),
  /**
   * @param {Recipe} recipe
   * @returns {Promise<Epoch[]>}
   */
  async train(recipe) {
    paused = false;
    const tell = (/** @type {string} */ text) => postMessage({ event: 'train', ...JSON.parse(text) });
    return JSON.parse(await session.train(JSON.stringify(recipe), tell, turn));
  },
  /** @param {boolean} on */
  pause(on) {
    paused = on;
    session.pause(on);
  },
  step: () => session.step(),
  stop() {
    paused = false;
    session.stop();
  },
  /** @param {number} rate */
  set_learning_rate: (rate) => session.set_learning_rate(rate),
  /** @returns {Promise<{ rows: { failed: string | null }[] }>} */
  async bench() {
    const tell = (/** @type {string} */ name, /** @type {number} */ median, /** @type {string} */ unit) =>
      postMessage({ event: 'bench', name, median, unit });
    const date = new Date().toISOString().replace(/\.\d+/, '');
    return JSON.parse(await session.bench(navigator.userAgent, navigator.hardwareConcurrency ?? 1, date, tell));
  },
  lose: () => session.lose(),
};
/** @typedef {typeof calls} Calls */

onmessage = async ({ data: { id, call, args } }) => {
  try {
    if (!session && call !== 'open') throw new Error('the device is still starting: try again in a moment');
    const answer = /** @type {(...args: unknown[]) => unknown} */ (calls[/** @type {keyof Calls} */ (call)]);
    postMessage({ id, result: await answer(...args) });
  } catch (error) {
    postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
