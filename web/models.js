// The models to choose from: those of the site, a visitor's files, and what was trained here.
import { $, state } from './common.js';
import { fetched, show } from './data.js';
import { ask } from './lab.js';
import { askAgain } from './pad.js';

export async function loadModels() {
  const list = await (await fetched('models/models.json')).json();
  state.models = [...list.map((about) => ({ about, path: `models/${about.file}` })), ...state.models.filter((m) => !m.path)];
  await choose(Math.max(0, state.models.findIndex((m) => m.about.name === state.about?.name)));
}

export async function choose(index) {
  const model = state.models[index];
  model.bytes ??= await (await fetched(model.path)).arrayBuffer();
  if (model.about.sha256 && crypto.subtle) { // there only over HTTPS and on this machine
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', model.bytes));
    const hex = [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
    if (hex !== model.about.sha256) throw new Error(`${model.about.name}: the file is damaged (its SHA-256 is ${hex.slice(0, 12)}…)`);
  }
  await useModel(await ask('load_model', [model.about, model.bytes]));
  fillModels(index);
}

function fillModels(index) {
  $('models').replaceChildren(...state.models.map((m, i) => new Option(m.about.name, i)));
  $('models').value = index;
}

async function useModel(about) {
  [state.about, state.said] = [about, null];
  const { recipe, shape, classes, accuracy } = about;
  $('model-about').textContent = `${recipe.model}${recipe.batch_norm ? ' with batch normalization' : ''}, loss ${recipe.loss}, ` +
    `${shape.channels}×${shape.height}×${shape.width}, ${classes.length} classes` + (accuracy ? `, ${accuracy.toFixed(2)} % on its test set` : '');
  $('accuracy').textContent = '';
  await show(false);
  await askAgain();
}

// Weights that a visitor brings: the header of the file says what they are of.
export async function takeWeights(file) {
  if (file.size > 256e6) throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(0)} MB; at most 256 MB are taken`);
  const bytes = await file.arrayBuffer();
  const length = bytes.byteLength >= 8 ? Number(new DataView(bytes).getBigUint64(0, true)) : Infinity;
  if (length > bytes.byteLength - 8) throw new Error(`${file.name} is no safetensors file: its header would be longer than the file`);
  let meta;
  try {
    meta = JSON.parse(JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length))).__metadata__.tinderbox);
  } catch {
    throw new Error(`${file.name} does not say which network it is of: expected weights.safetensors of a run of tinderbox`);
  }
  const about = meta.recipe ? { ...meta, name: file.name, sha256: null } : { name: file.name, recipe: meta, shape: { channels: 1, height: 28, width: 28 }, classes: state.classes };
  await ask('load_model', [about, bytes]);
  state.models.push({ about, bytes });
  await choose(state.models.length - 1);
}
