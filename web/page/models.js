// The models to choose from: those of the site, a visitor's files, and what was trained here.
import { queue, say, wordsOf } from './actions.js';
import { keep, settings } from './address.js';
import { fetched } from './files.js';
import { keptWeights } from './kept.js';
import { ask } from './protocol.js';
import { change, state } from './store.js';
import { words } from './words.js';

/** @typedef {import('./store.js').Manifest} Manifest */
/** @typedef {import('./store.js').Model} Model */

/** The site's list, loaded once. @type {Promise<Manifest[]> | undefined} */
let listed;

/** Offers the models of the site and those that are there already, and gives the device the one that is wanted. */
export async function loadModels() {
  listed ??= fetched('models/models.json').then((response) => response.json());
  listed.catch(() => {
    listed = undefined; // to be tried again
  });
  const ofSite = (await listed).map((about) => ({ about, path: `models/${about.file}` }));
  change({ models: [...ofSite, ...state.models.filter((model) => !model.path)] });
  const wanted = state.about?.name ?? settings.main;
  const index = state.models.findIndex(({ about }) => about.name === wanted);
  const isFirst = !state.about;
  try {
    await choose(Math.max(0, index));
  } catch (error) {
    if (index <= 0) throw error;
    await choose(0); // one that was kept may be gone
    say(wordsOf(error));
  }
  if (isFirst && wanted && index < 0) say(words.models.isNotHere(wanted));
}

/**
 * The weights of a model, verified.
 * @param {Model} model
 */
async function bytesOf(model) {
  if (!model.bytes && model.run) {
    const kept = await keptWeights(model.run);
    if (!kept) throw new Error(words.models.isGone(model.about.name));
    model.bytes = new Uint8Array(kept).buffer;
  }
  model.bytes ??= await (await fetched(model.path ?? '')).arrayBuffer();
  if (model.about.sha256 && crypto.subtle) {
    // there only over HTTPS and on this machine
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', model.bytes));
    const hex = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (hex !== model.about.sha256) throw new Error(words.models.isDamaged(model.about.name, hex.slice(0, 12)));
  }
  return model.bytes;
}

// One change after the other: what is chosen last is what answers.
const inTurn = queue();

/**
 * Takes a model of the list as the one at hand.
 * @param {number} index
 */
export const choose = (index) =>
  inTurn(async () => {
    const model = state.models[index];
    try {
      const about = await ask('load_model', [0, model.about, await bytesOf(model)]);
      change({ about, answeredBy: '', classified: null });
    } catch (error) {
      change({ models: [...state.models] }); // the choice that is shown goes back
      throw error;
    }
    await loadBeside();
  });

/** A model as the one that a visitor chose, which the address names. @param {number} index */
export async function chooseAndKeep(index) {
  await choose(index);
  keep('main', state.about?.name ?? '');
}

/** The positions in the list of those that can be asked beside the model at hand. */
export const others = () => [...state.models.keys()].filter((i) => state.models[i].about.name !== state.about?.name);

/** Whether the address wants a model to be asked beside the one at hand. @param {number} index */
export const isWantedBeside = (index) => settings.beside.split('|').includes(state.models[index].about.name);

/** Models to be asked as well, by their positions in the list. @param {number[]} wanted */
export const askBeside = (wanted) =>
  inTurn(async () => {
    keep('beside', wanted.map((i) => state.models[i].about.name).join('|'));
    await loadBeside();
  });

async function loadBeside() {
  await ask('drop_others');
  /** @type {Manifest[]} */
  const beside = [];
  for (const model of others()
    .filter(isWantedBeside)
    .map((i) => state.models[i])) {
    try {
      beside.push(await ask('load_model', [beside.length + 1, model.about, await bytesOf(model)]));
    } catch (error) {
      say(wordsOf(error));
    }
  }
  change({ beside });
}

/** A name that no other model has. @param {string} wanted */
export function freeName(wanted) {
  const plain = wanted.replaceAll('|', '_'); // which parts names in the address
  const isTaken = (/** @type {string} */ name) => state.models.some((model) => model.about.name === name);
  let name = plain;
  for (let n = 2; isTaken(name); n++) name = `${plain} (${n})`;
  return name;
}

/** Adds a model to the list, and takes it as the one at hand. @param {Model} model */
export async function addModel(model) {
  change({ models: [...state.models, model] });
  try {
    await choose(state.models.length - 1);
  } catch (error) {
    // it does not fit: the list is as it was
    change({ models: state.models.filter((other) => other !== model) });
    throw error;
  }
}

/**
 * Weights that a visitor brings: the file says what they are of.
 * @param {File} file
 */
export async function takeWeights(file) {
  if (file.size > 256e6) throw new Error(words.files.tooLarge(file, 256));
  if (state.activity === 'training') throw new Error(words.models.trainsNow);
  const bytes = await file.arrayBuffer();
  const about = await ask('read_weights', [file.name, bytes]);
  about.name = freeName(about.name);
  await addModel({ about, bytes });
}

/** A file name for weights. @param {string} name of the model */
export function fileName(name) {
  const plain = name.replace(/\.(safetensors|burnpack|bpk)$/, '');
  return `${plain.replace(/[^\w.-]+/g, '-')}.safetensors`;
}
