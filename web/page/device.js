// What computes: the CPU at once; a GPU beside it is tested first, and takes over when it computes the same.
import { guarded, say, wordsOf } from './actions.js';
import { keep, settings } from './address.js';
import { $ } from './dom.js';
import { Client, client, use } from './protocol.js';
import { change, state, watch } from './store.js';
import { words } from './words.js';

/**
 * What becomes of a device's part of the page when another device takes over.
 * @typedef {{
 *   offers: (offers: import('./worker.js').Offers) => void, models: () => Promise<void>, data: () => Promise<void>,
 *   train: (message: import('./protocol.js').TrainMessage) => void,
 *   bench: (message: import('./protocol.js').BenchMessage) => void,
 * }} Parts
 */

/** @type {Parts} */
let parts;

/** @typedef {'cpu' | 'webgpu'} Kind */
// The one for the CPU is a third as large, and all that is needed until the first answer.
const PROGRAMS = { cpu: 'pkg/cpu/tinderbox_web_bg.wasm', webgpu: 'pkg/tinderbox_web_bg.wasm' };
/** @type {Map<Kind, Promise<WebAssembly.Module>>} */
const programs = new Map();

/** The program for a kind of device, loaded and compiled once for all workers. @param {Kind} kind */
function loadedProgram(kind) {
  const program = programs.get(kind) ?? load(kind);
  programs.set(kind, program);
  program.catch(() => programs.delete(kind)); // to be tried again
  return program;
}

/** Loads a program; the state says how much of it is there. @param {Kind} kind */
async function load(kind) {
  const { ok, body, status, statusText } = await fetch(PROGRAMS[kind]);
  if (!ok || !body) throw new Error(words.device.notLoaded(`${status} ${statusText}`));
  let loaded = 0;
  const count = new TransformStream({
    transform(/** @type {Uint8Array} */ part, controller) {
      loaded += part.length;
      change({ device: { ...state.device, loaded } });
      controller.enqueue(part);
    },
  });
  const headers = { 'content-type': 'application/wasm' };
  return WebAssembly.compileStreaming(new Response(body.pipeThrough(count), { headers }));
}

function newClient() {
  /** @type {Client} */
  const mine = new Client({
    train: (message) => mine === client() && parts.train(message),
    bench: (message) => mine === client() && parts.bench(message),
    lost: ({ reason }) => {
      mine.lost = reason;
      if (mine === client()) onCpu(words.device.lost(reason));
    },
    // Data and models are kept by the page: the same device starts again with them.
    failed: async (error) => {
      if (mine !== client()) return;
      await onCpu(wordsOf(error));
      say(wordsOf(error));
    },
  });
  return mine;
}

/**
 * Gives a client what the page has, and lets it compute for the page from now on.
 * @param {Client} mine
 * @param {Partial<import('./store.js').State['device']>} device
 * @param {import('./worker.js').Offers} offers
 */
async function takeOver(mine, device, offers) {
  instead(mine, words.device.changed);
  change({ device: { ...state.device, ...device, phase: 'ready' } });
  parts.offers(offers);
  await parts.models(); // first of all somebody wants to draw
  await parts.data();
  if (mine === client()) change({ activity: 'idle', paused: false });
}

/**
 * Uses a client instead of the one before, if that is another, which hears why.
 * @param {Client} mine
 * @param {string} why
 */
function instead(mine, why) {
  const before = client();
  use(mine);
  if (before !== mine) before?.end(why);
  change({ activity: 'starting' });
}

/** @param {string} reason why it is not a GPU */
async function onCpu(reason) {
  const mine = newClient();
  instead(mine, reason ? words.device.again(reason) : words.device.changed);
  change({ device: { ...state.device, kind: 'cpu', phase: 'loading', reason, testing: undefined } });
  try {
    const compiled = await loadedProgram('cpu');
    change({ device: { ...state.device, phase: 'starting' } });
    const { device, offers } = await mine.ask('open', ['cpu', compiled]);
    if (mine === client()) await takeOver(mine, { name: device.name }, offers);
  } catch (error) {
    if (mine !== client()) return; // a newer start is under way
    change({ device: { ...state.device, phase: 'failed' } });
    say(words.device.cannotStart(wordsOf(error)));
  }
}

/** @type {Client | undefined} */
let trying;

/** Tests a GPU beside the CPU; when nothing is under way any more it takes over. */
async function tryGpu() {
  const mine = newClient();
  trying = mine;
  $('device').value = 'webgpu';
  change({ device: { ...state.device, reason: '', testing: 'WebGPU' } });
  try {
    if (!('gpu' in navigator)) throw new Error(words.device.none);
    if (!(await navigator.gpu.requestAdapter())) throw new Error(words.device.noAdapter);
    const { device, offers } = await mine.ask('open', ['webgpu', await loadedProgram('webgpu')]);
    if (trying !== mine) return mine.end(words.device.changed);
    const { name } = device;
    change({ device: { ...state.device, testing: name || 'WebGPU' } });
    const { replayed } = await mine.ask('verify'); // throws where the adapter computes something else
    await idle();
    if (trying !== mine) return mine.end(words.device.changed);
    if (mine.lost) throw new Error(words.device.lost(mine.lost));
    await takeOver(mine, { kind: 'webgpu', name, replayed, reason: '', testing: undefined }, offers);
  } catch (error) {
    mine.end('');
    if (trying !== mine) return;
    if (client() === mine) return onCpu(wordsOf(error));
    change({ device: { ...state.device, reason: wordsOf(error), testing: undefined } });
  }
}
/** Resolves when nothing trains or is measured. */
async function idle() {
  /** @type {() => void} */
  let unwatch = () => {};
  await new Promise((done) => {
    unwatch = watch(['activity'], () => {
      if (state.activity === 'idle') done(undefined);
    });
  });
  unwatch();
}

/** Starts the page's device. @param {Parts} of */
export async function start(of) {
  parts = of;
  const gpu = 'gpu' in navigator;
  const wanted = settings.device || (gpu ? 'webgpu' : 'cpu');
  $('device').value = wanted;
  await onCpu(wanted === 'webgpu' || gpu ? '' : words.device.none);
  const isWanted = (settings.device || (gpu ? 'webgpu' : 'cpu')) === 'webgpu'; // a visitor may have chosen meanwhile
  if (isWanted && !trying) await tryGpu();
}

$('device').onchange = guarded(async () => {
  const wanted = $('device').value;
  keep('device', wanted);
  if (trying && trying !== client()) trying.end(words.device.changed);
  trying = undefined;
  if (wanted === 'webgpu') await tryGpu();
  else if (state.device.kind === 'cpu') change({ device: { ...state.device, reason: '', testing: undefined } });
  else await onCpu('');
});

watch(['device'], () => {
  const { kind, phase, name, reason, testing, replayed } = state.device;
  const badge = $('badge');
  badge.className = `badge ${phase === 'failed' ? 'warn' : kind === 'webgpu' && phase === 'ready' ? 'good' : ''}`;
  badge.textContent = words.device.badge(state.device);
  badge.title = kind === 'webgpu' ? words.device.replayed(replayed) : reason;
  if (phase === 'ready' && name) $('device').value = testing ? 'webgpu' : kind;
});
