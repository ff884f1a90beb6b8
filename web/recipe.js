// The recipe to train: a preset, with what suits a tab, and what the visitor changed. What a value may be, and what
// follows from it, the library decides.
import { $, keep, keepOptions, keptOptions, queue, settings, state } from './common.js';
import { fieldsOf, makeForm, textAt } from './form.js';
import { ask } from './worker-client.js';

/** @typedef {import('./common.js').Preset} Preset */
/** @typedef {import('./common.js').Recipe} Recipe */
/** @typedef {import('./form.js').Field} Field */
/** @typedef {Record<string, string>} Changes by their keys */

// Always in view; the rest is folded away.
const MOST_USED = ['epochs', 'batch_size', 'learning_rate', 'seed'];
// The data are those at hand, a page fails by no target, and browsers compute in f32.
const NOT_HERE = ['dataset', 'target_accuracy', 'precision'];
const FAVOURITE = 'linear_v1-bn-ce';

// What suits a tab: fewer images, smaller networks, fewer epochs.
const NARROW = { 'network.width': '0.25' };
const OWN_LAYERS = { 'network.layers': 'conv 8, norm, relu, pool max 2, flatten, linear classes' };
const isWide = (/** @type {Recipe} */ { network }) => network.width !== undefined;
/**
 * @param {Recipe} recipe
 * @returns {Changes}
 */
const forATab = (recipe) => ({
  batch_size: '100',
  epochs: isWide(recipe) ? '3' : '10',
  ...(isWide(recipe) && NARROW),
  ...(recipe.dataset === 'cifar10' && { fraction: '0.1' }),
});

/** @type {Preset[]} */
let presets = [];
/** @type {Field[]} */
let fields = [];
/** @type {ReturnType<typeof makeForm>} */
let form;
// The preset with what suits a tab, and the recipe that the visitor made of it.
/** @type {Recipe} */
let base;
/** @type {Recipe} */
let recipe;
const inTurn = queue();

/**
 * Takes what a device's worker offers. The form is made once.
 * @param {{ presets: Preset[], schema: import('./form.js').Schema }} offered
 */
export function takeOffers(offered) {
  presets = offered.presets;
  if (form) return;
  fields = fieldsOf(offered.schema).filter(({ key }) => !NOT_HERE.includes(key));
  form = makeForm(fields, ({ key }) => $(MOST_USED.includes(key) ? 'most-used' : 'all-of-it'), changeField);
}

/** Offers the presets for images such as those at hand, and shows the recipe of the address, if it is for them. */
export const offerPresets = () => inTurn(async () => {
  const dataset = state.shape.channels === 1 ? 'mnist' : 'cifar10';
  const fitting = presets.filter((preset) => preset.recipe.dataset === dataset);
  $('preset').replaceChildren(...fitting.map(({ name }) => new Option(name, name)));
  const named = (/** @type {string} */ wanted) => fitting.find(({ name }) => name === wanted);
  $('preset').value = (named(settings.preset) ?? named(FAVOURITE) ?? fitting[0]).name;
  await usePreset(isOfAddress() ? keptOptions() : {});
});

export const choosePreset = () => inTurn(async () => {
  keep('preset', $('preset').value);
  keepOptions({});
  await usePreset({});
});

/** The recipe as the form has it. */
export const chosenRecipe = () => inTurn(async () => {
  const refused = form.refused();
  if (!refused) return recipe;
  const folded = refused.closest('details');
  if (folded) folded.open = true;
  refused.focus();
  throw new Error(refused.validationMessage);
});

// What the address has may be for other data.
const isOfAddress = () => !settings.preset || settings.preset === $('preset').value;

/**
 * @param {Recipe} from
 * @param {Changes} changes
 */
const changed = (from, changes) => ask('change_recipe', [from, changes]);

/**
 * Shows a preset with options of the address.
 * @param {Record<string, string>} options
 */
async function usePreset(options) {
  const preset = presets.find(({ name }) => name === $('preset').value);
  if (!preset) throw new Error('there is no recipe for these data');
  base = await changed(preset.recipe, forATab(preset.recipe));
  const given = fields.filter(({ option }) => option in options).map(({ key, option }) => [key, options[option]]);
  recipe = await withWhatCanBe(base, Object.fromEntries(given));
  form.show(recipe, true);
}

/**
 * Changes that somebody may have typed into an address: what cannot be is left out.
 * @param {Recipe} from
 * @param {Changes} changes
 */
async function withWhatCanBe(from, changes) {
  try {
    return await changed(from, changes);
  } catch { /* some of it cannot be: one after the other */ }
  /** @type {Changes} */
  let taken = {};
  let result = from;
  for (const [key, text] of Object.entries(changes)) {
    const more = { ...taken, [key]: text };
    try {
      result = await changed(from, more);
      taken = more;
    } catch { /* left out */ }
  }
  return result;
}

/**
 * What the visitor chose or typed.
 * @param {string} key
 * @param {string} text
 */
const changeField = (key, text) => inTurn(async () => {
  recipe = await withField(key, text);
  if (!isOfAddress()) keep('preset', $('preset').value);
  keepOptions(await differences());
  form.show(recipe);
  if (key === 'learning_rate' && state.training) await ask('set_learning_rate', [Number(text)]);
});

/**
 * @param {string} key
 * @param {string} text
 */
async function withField(key, text) {
  if (key in OWN_LAYERS && !text) return changed(recipe, OWN_LAYERS); // to begin with
  if (!text) { // an optional one was emptied
    const without = { ...recipe };
    delete without[key];
    return changed(without, {});
  }
  const result = await changed(recipe, { [key]: text });
  return key === 'network.name' && isWide(result) ? changed(result, NARROW) : result;
}

/**
 * The options that make the recipe of its base. Some fields give others their defaults, so those others are compared
 * after them.
 */
async function differences() {
  const deciding = new Set(fields.flatMap((field) => [field.applies?.key, field.defaultBy?.key, field.instead]));
  const differ = (/** @type {Recipe} */ from, /** @type {Field[]} */ among) =>
    among.filter(({ key }) => textAt(recipe, key) && textAt(recipe, key) !== textAt(from, key));
  const first = differ(base, fields.filter(({ key }) => deciding.has(key)));
  const reference = await changed(base, Object.fromEntries(first.map(({ key }) => [key, textAt(recipe, key)])));
  const rest = differ(reference, fields.filter(({ key }) => !deciding.has(key)));
  return Object.fromEntries([...first, ...rest].map(({ key, option }) => [option, textAt(recipe, key)]));
}
