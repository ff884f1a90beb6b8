// The models to choose from: those of the site, a visitor's files, and what was trained here.
import { $, guarded, keep, queue, say, settings, state, wordsOf } from './common.js';
import { fetched, show } from './data.js';
import { askAgain, showFilters } from './pad.js';
import { ask } from './worker-client.js';

/** @typedef {import('./common.js').Manifest} Manifest */
/** @typedef {import('./common.js').Model} Model */
/** @typedef {import('./common.js').Network} Network */

export async function loadModels() {
  /** @type {Manifest[]} */
  const list = await (await fetched('models/models.json')).json();
  state.models = [...list.map((about) => ({ about, path: `models/${about.file}` })), ...state.models.filter((m) => !m.path)];
  const wanted = state.about?.name ?? settings.main;
  await choose(Math.max(0, state.models.findIndex((m) => m.about.name === wanted)));
}

/**
 * The weights of a model, verified.
 * @param {Model} model
 */
async function bytesOf(model) {
  model.bytes ??= await (await fetched(model.path ?? '')).arrayBuffer();
  if (model.about.sha256 && crypto.subtle) { // there only over HTTPS and on this machine
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', model.bytes));
    const hex = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (hex !== model.about.sha256) throw new Error(`${model.about.name}: the file is damaged (its SHA-256 is ${hex.slice(0, 12)}…)`);
  }
  return model.bytes;
}

// One change after the other: what is chosen last is what answers.
const inTurn = queue();

/** @param {number} index */
export const choose = (index) => inTurn(async () => {
  try {
    const model = state.models[index];
    const about = await ask('load_model', [0, model.about, await bytesOf(model)]);
    $('models').replaceChildren(...state.models.map((m, i) => new Option(m.about.name, String(i))));
    $('models').value = String(index);
    await useModel(about);
    await putBeside();
    await askAgain();
  } catch (error) {
    $('models').value = String(state.models.findIndex((m) => m.about.name === state.about?.name));
    throw error;
  }
});

/** @returns {NodeListOf<HTMLInputElement>} */
const wantedBeside = () => $('beside').querySelectorAll('input:checked');

// Offers all other models to be asked as well, and loads those that are wanted; the address knows them by name.
async function putBeside() {
  const others = [...state.models.keys()].filter((i) => i !== Number($('models').value));
  const wanted = settings.beside.split('|');
  $('beside').hidden = !others.length;
  const legend = /** @type {Element} */ ($('beside').firstElementChild);
  $('beside').replaceChildren(legend, ...others.map((i) => {
    const label = document.createElement('label'), box = document.createElement('input');
    Object.assign(box, { type: 'checkbox', value: String(i), checked: wanted.includes(state.models[i].about.name) });
    box.onchange = guarded(async () => {
      keep('beside', [...wantedBeside()].map((box) => state.models[Number(box.value)].about.name).join('|'));
      await inTurn(loadBeside);
      await askAgain();
    });
    label.append(box, ` ${state.models[i].about.name}`);
    return label;
  }));
  await loadBeside();
}

async function loadBeside() {
  await ask('drop_others');
  state.beside = [];
  for (const box of wantedBeside()) {
    const model = state.models[Number(box.value)];
    try {
      state.beside.push(await ask('load_model', [state.beside.length + 1, model.about, await bytesOf(model)]));
    } catch (error) {
      box.checked = false;
      say(wordsOf(error));
    }
  }
}

/**
 * A network in words.
 * @param {Network} network
 */
function networkWords({ name, layers, batch_norm }) {
  if (layers) return `own layers (${layers.join(', ')})`;
  return `${name}${batch_norm ? ' with batch normalization' : ''}`;
}

/** @param {Manifest} about */
async function useModel(about) {
  [state.about, state.said] = [about, null];
  const { recipe, shape, classes, accuracy } = about;
  $('model-about').textContent = `${networkWords(recipe.network)}, loss ${recipe.loss}, ` +
    `${shape.channels}×${shape.height}×${shape.width}, ${classes.length} classes` + (accuracy ? `, ${accuracy.toFixed(2)} % on its test set` : '');
  $('accuracy').textContent = '';
  await show(false);
  await showFilters();
}

/**
 * Weights that a visitor brings: the file says what they are of.
 * @param {File} file
 */
export async function takeWeights(file) {
  if (file.size > 256e6) throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most 256 MB are taken`);
  if (state.training) throw new Error('a network is being trained: stop it first, then open weights');
  const bytes = await file.arrayBuffer();
  const about = await ask('read_weights', [file.name, bytes]);
  const plain = about.name.replaceAll('|', '_'); // which parts names in the address
  about.name = plain;
  for (let n = 2; state.models.some((m) => m.about.name === about.name); n++) about.name = `${plain} (${n})`;
  const model = { about, bytes };
  state.models.push(model);
  try {
    await choose(state.models.indexOf(model));
  } catch (error) { // it does not fit: the list is as it was
    state.models.splice(state.models.indexOf(model), 1);
    throw error;
  }
}
