// One device's worker: loads the WebAssembly, and does what the page asks, one message at a time.
//
// The page posts {id, call, args}; the answer is {id, result} or {id, error}. While a run trains it also posts
// {event: ...}. A worker holds one device; to change the device the page starts another worker.
import init, { Lab, presets } from './pkg/tinderbox_web.js';

let lab;
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

self.deviceLost = (reason) => postMessage({ event: 'lost', reason });

const calls = {
  async open(kind) {
    if (kind === 'webgpu') { // asked before anything is loaded, which the CPU's worker would load again
      if (!self.navigator.gpu) throw new Error('this browser has no WebGPU');
      if (!await navigator.gpu.requestAdapter()) throw new Error('WebGPU finds no adapter');
    }
    await init();
    lab = await Lab.open(kind);
    return { device: JSON.parse(lab.device()), presets: JSON.parse(presets()) };
  },
  self_test: async () => JSON.parse(await lab.self_test()),
  load_data: (name, names, files) => JSON.parse(lab.load_data(name, names, files)),
  test_labels: () => lab.test_labels(),
  read_weights: (name, bytes) => JSON.parse(lab.read_weights(name, new Uint8Array(bytes))),
  load_model: (place, about, bytes) => JSON.parse(lab.load_model(place, JSON.stringify(about), new Uint8Array(bytes))),
  drop_others: () => lab.drop_others(),
  save_model: () => lab.save_model(),
  about: () => JSON.parse(lab.about()),
  take_canvas: (canvas) => lab.take_canvas(canvas),
  draw: (images, frames, columns, tile, gap, background) =>
    lab.draw(new Uint32Array(images), new Uint32Array(frames), columns, tile, gap, background),
  classify: () => lab.classify(),
  // Asks the models in the first places about an image.
  async ask(models, rgba, width, height) {
    const answers = [], seen = [];
    for (let place = 0; place < models; place++) {
      seen.push(lab.prepare(place, new Uint8Array(rgba), width, height));
      const start = performance.now();
      const probabilities = await lab.predict(place, seen[place]);
      answers.push({ probabilities, milliseconds: performance.now() - start });
    }
    return { seen: seen[0], answers, responses: await lab.responses(seen[0]) };
  },
  filters: () => lab.filters(),
  async train(recipe) {
    paused = false;
    const tell = (text) => postMessage({ event: 'train', ...JSON.parse(text) });
    return JSON.parse(await lab.train(JSON.stringify(recipe), tell, turn));
  },
  pause(on) { paused = on; lab.pause(on); },
  step: () => lab.step(),
  stop() { paused = false; lab.stop(); },
  set_learning_rate: (rate) => lab.set_learning_rate(rate),
  async bench() {
    const tell = (name, median, unit) => postMessage({ event: 'bench', name, median, unit });
    const date = new Date().toISOString().replace(/\.\d+/, '');
    return JSON.parse(await lab.bench(navigator.userAgent, navigator.hardwareConcurrency ?? 1, date, tell));
  },
  lose: () => lab.lose(),
};

onmessage = async ({ data: { id, call, args } }) => {
  try {
    if (!lab && call !== 'open') throw new Error('the device is still starting: try again in a moment');
    postMessage({ id, result: await calls[call](...args) });
  } catch (error) {
    postMessage({ id, error: String(error?.message ?? error) });
  }
};
