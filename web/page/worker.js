// One device's worker: loads the WebAssembly, and does what the page asks, one message at a time.
//
// The page posts {id, call, args}; the answer is {id, result} or {id, error}. While a run trains it also posts
// {event: ...}. A worker holds one device; to change the device the page starts another worker.
//
// There are two builds of the same program: one with WebGPU, and a small one for the CPU.

/** @typedef {typeof import('./pkg/tinderbox_web.js') | typeof import('./pkg/cpu/tinderbox_web.js')} Program */
/** @typedef {import('./store.js').Manifest} Manifest */
/** @typedef {import('./store.js').Epoch} Epoch */
/** @typedef {import('./store.js').Network} Network */
/** @typedef {import('./store.js').Preset} Preset */
/** @typedef {import('./store.js').Recipe} Recipe */
/** @typedef {import('./store.js').Shape} Shape */
/** @typedef {import('./form.js').Schema} Schema */
/** @typedef {{ name: string, about: string, usage: string, example: string }} LayerKind */
/** @typedef {{ presets: Preset[], schema: Schema, kinds: LayerKind[] }} Offers */
/**
 * @typedef {{
 *   identity: string, shape: Shape, classes: string[], train_images: number, test_images: number,
 * }} DataInfo
 */
/**
 * @typedef {{
 *   text: string, output: string | null, parameters: number, readable: boolean, error: string | null,
 * }} DraftLayer
 */
/** @typedef {{ layers: string, output: string, maps: number, shown: number, columns: number }} Stage */
/** @typedef {{ probabilities: Float32Array, milliseconds: number }} Answer */
/** A picture to ask about: pixels of a canvas; `seen` are those of a test image, as a network sees it. */
/** @typedef {{ rgba: ArrayBufferLike, width: number, height: number, seen?: Uint8Array }} Question */

/** @type {Program} */
let program;
/** @type {Awaited<ReturnType<Program['Session']['open']>>} */
let session;
let paused = false;

// A turn of the event loop, so that messages are read between two steps; a paused run looks now and then.
// Several may wait at once: a run, and a test of all images.
const channel = new MessageChannel();
/** @type {((value?: unknown) => void)[]} */
const waiting = [];
channel.port1.onmessage = () => waiting.shift()?.();
const turn = () =>
  new Promise((done) => {
    if (paused) {
      setTimeout(done, 20);
    } else {
      waiting.push(done);
      channel.port2.postMessage(null);
    }
  });

const parsed = (/** @type {string} */ text) => JSON.parse(text);
const tell = (/** @type {string} */ text) => postMessage({ event: 'train', ...JSON.parse(text) });

// The WebAssembly calls this by its name.
Object.assign(self, { deviceLost: (/** @type {string} */ reason) => postMessage({ event: 'lost', reason }) });

const calls = {
  /**
   * @param {string} kind
   * @param {WebAssembly.Module} compiled
   * @returns {Promise<{ device: { name: string }, offers: Offers }>}
   */
  async open(kind, compiled) {
    program = await (kind === 'webgpu' ? import('./pkg/tinderbox_web.js') : import('./pkg/cpu/tinderbox_web.js'));
    await program.default({ module_or_path: compiled });
    session = await program.Session.open(kind);
    const [presets, schema, kinds] = [program.presets(), program.schema(), program.layer_kinds()].map(parsed);
    return { device: JSON.parse(session.device()), offers: { presets, schema, kinds } };
  },
  /** @returns {Promise<{ checks: { what: string, difference: number, allowed: number }[], replayed: boolean }>} */
  verify: async () => JSON.parse(await session.verify()),
  /**
   * The files of a data set that is loaded next.
   * @param {string[]} names
   * @param {number[]} lengths in bytes
   */
  begin_files: (names, lengths) => session.begin_files(names, new Uint32Array(lengths)),
  /**
   * The next bytes of one of them: so many, at the beginning of a portion, which is given back to be filled again.
   * @param {string} name
   * @param {Uint8Array<ArrayBuffer>} portion
   * @param {number} count
   */
  add_bytes(name, portion, count) {
    session.add_bytes(name, portion.subarray(0, count));
    return portion;
  },
  /** @param {string} name @returns {DataInfo} */
  load_data: (name) => JSON.parse(session.load_data(name)),
  /**
   * Somebody's own pictures: `pixels` one behind the other, as `picture` gives them, and a class for each.
   * @param {string} name
   * @param {string[]} classes
   * @param {Uint8Array} pixels
   * @param {Uint16Array} labels
   * @returns {DataInfo}
   */
  load_pictures: (name, classes, pixels, labels) => JSON.parse(session.load_pictures(name, classes, pixels, labels)),
  /**
   * @param {ArrayBufferLike} rgba
   * @param {number} width
   * @param {number} height
   */
  picture: (rgba, width, height) => session.picture(new Uint8Array(rgba), width, height),
  test_labels: () => session.test_labels(),
  /** @param {number} index */
  test_image: (index) => session.test_image(index),
  /**
   * A network that need not fit: what each of its layers makes of the images.
   * @param {Network} network
   * @param {Shape} shape
   * @param {number} classes
   * @returns {{ layers: DraftLayer[], error: string | null }}
   */
  draft: (network, { channels, height, width }, classes) =>
    JSON.parse(program.draft(JSON.stringify(network), new Uint32Array([channels, height, width]), classes)),
  /**
   * @param {Recipe} recipe
   * @param {Record<string, string>} changes
   * @returns {Recipe}
   */
  change_recipe: (recipe, changes) =>
    JSON.parse(program.change_recipe(JSON.stringify(recipe), JSON.stringify(changes))),
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
  load_model: (place, about, bytes) =>
    JSON.parse(session.load_model(place, JSON.stringify(about), new Uint8Array(bytes))),
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
  /** @returns {Promise<import('./store.js').Classified>} */
  async classify() {
    const found = await session.classify(tell, turn);
    const { accuracy, classes, confidences } = found;
    found.free();
    return { accuracy, classes, confidences };
  },
  /**
   * Asks the models in the first places about a picture. `seen` is what the first of them sees of it.
   * @param {number[]} values of an image that each of the models takes
   * @param {Question} question
   */
  async ask(values, { rgba, width, height, seen: given }) {
    /** @type {Answer[]} */
    const answers = [];
    const seen = [];
    for (const [place, length] of values.entries()) {
      const takesIt = given && given.length === length;
      seen.push(takesIt ? given : session.prepare(place, new Uint8Array(rgba), width, height));
      const start = performance.now();
      const probabilities = await session.predict(place, seen[place]);
      answers.push({ probabilities, milliseconds: performance.now() - start });
    }
    return { seen: seen[0], answers };
  },
  /** @param {number} most pictures in a row @returns {Stage[]} */
  stages: (most) => JSON.parse(session.stages(most)),
  /**
   * @param {OffscreenCanvas[]} canvases for the weights of the first layer, and for each of the stages
   * @param {number} most pictures in a row
   */
  take_looks: (canvases, most) => session.take_looks(canvases, most),
  /**
   * Draws them.
   * @param {Uint8Array} [seen] an image, as `ask` says that it is seen
   */
  look: (seen) => session.look(seen),
  /**
   * What a layer of the model at hand makes of an image, as `ask` says that it is seen.
   * @param {Uint8Array} seen
   * @param {number} layer
   */
  activations: (seen, layer) => session.activations(seen, layer),
  /**
   * @param {Recipe} recipe
   * @param {boolean} further from the weights of the model at hand
   * @returns {Promise<Epoch[]>}
   */
  async train(recipe, further) {
    paused = false;
    return JSON.parse(await session.train(JSON.stringify(recipe), further, tell, turn));
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
    const told = (/** @type {string} */ name, /** @type {number} */ median, /** @type {string} */ unit) =>
      postMessage({ event: 'bench', name, median, unit });
    const date = new Date().toISOString().replace(/\.\d+/, '');
    return JSON.parse(await session.bench(navigator.userAgent, navigator.hardwareConcurrency ?? 1, date, told));
  },
  lose: () => session.lose(),
};
/** @typedef {typeof calls} Calls */

onmessage = async ({ data: { id, call, args } }) => {
  try {
    if (!session && call !== 'open') throw new Error('the device is still starting: try again in a moment');
    const answer = /** @type {(...args: unknown[]) => unknown} */ (calls[/** @type {keyof Calls} */ (call)]);
    const result = await answer(...args);
    const transfer = result instanceof Uint8Array ? [/** @type {ArrayBuffer} */ (result.buffer)] : [];
    postMessage({ id, result }, { transfer }); // nobody here needs it any more
  } catch (error) {
    postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  }
};
