// The recipe to train: a preset, with what suits a tab, and what the visitor changed. What a value may be, and what
// follows from it, the library decides.
import { guarded, queue, say, wordsOf } from '../actions.js';
import { keep, keepOptions, keptOptions, settings } from '../address.js';
import { $, element } from '../dom.js';
import { fieldsOf, makeForm, textAt } from '../form.js';
import { ask } from '../protocol.js';
import { change, state, watch } from '../store.js';
import { words } from '../words.js';

/** @typedef {import('../store.js').Preset} Preset */
/** @typedef {import('../store.js').Recipe} Recipe */
/** @typedef {import('../form.js').Field} Field */
/** @typedef {Record<string, string>} Changes by their keys */

// Always in view; the rest is folded away.
const MOST_USED = ['epochs', 'batch_size', 'learning_rate', 'seed'];
// The data are those at hand, a page fails by no target, and browsers compute in f32.
const NOT_HERE = ['dataset', 'image_size', 'from', 'freeze', 'sync_batch_norm', 'target_accuracy', 'precision'];
// The first of these that is for the data at hand is chosen: pictures of one's own want convolutions.
const FAVOURITES = ['linear_v1-bn-ce', 'cifar10-cnn'],
  FAVOURITES_OF_OWN = ['mnist-cnn', 'cifar10-cnn'];

// What suits a tab: fewer images, smaller networks, fewer epochs.
const NARROW = { 'network.width': '0.25' };
const isWide = (/** @type {Recipe} */ { network }) => network.width !== undefined;
/**
 * @param {Recipe} recipe
 * @param {number} images to train on
 * @returns {Changes}
 */
function forATab(recipe, images) {
  const batch = images >= 2000 ? 100 : images >= 200 ? 20 : Math.max(2, Math.min(8, images >> 1));
  // No image may be left alone: batch normalization has nothing to compare it with.
  const fits = images % batch === 1 ? batch + 1 : batch;
  // Steps on few images are noisy: smaller ones, by the square root of what a batch has of the preset's.
  const rate = Number(recipe.learning_rate) * Math.sqrt(fits / Number(recipe.batch_size));
  return {
    batch_size: String(Math.min(fits, images)),
    ...(images < 200 && { learning_rate: rate.toPrecision(2) }),
    epochs: isWide(recipe) ? '3' : '10',
    ...(isWide(recipe) && NARROW),
    ...(images > 20_000 && { fraction: '0.1' }),
  };
}

/** @type {Preset[]} */
let presets = [];
/** @type {Field[]} */
let fields = [];
/** @type {ReturnType<typeof makeForm>} */
let form;
// The preset with what suits a tab, and the recipe that the visitor made of it.
/** @type {Recipe} */
let base;
/** The state's; nothing is asked of it before there are data. */
const recipe = () => /** @type {Recipe} */ (state.recipe);
const inTurn = queue();
/** The data that recipes were last offered for. */
let offeredFor = '';
/** The last recipe: other data leave none. @type {Recipe | null} */
let last = null;
watch(['recipe'], () => {
  last = state.recipe ?? last;
});

/**
 * Takes what a device's worker offers. The form is made once.
 * @param {import('../worker.js').Offers} offered
 */
export function takeOffers(offered) {
  presets = offered.presets;
  change({ kinds: offered.kinds });
  if (form) return;
  fields = fieldsOf(offered.schema).filter(({ key }) => !NOT_HERE.includes(key));
  form = makeForm(fields, ({ key }) => $(placeOf(key)), changeField);
}

/** @param {string} key of a field */
function placeOf(key) {
  if (MOST_USED.includes(key)) return 'most-used';
  return key.startsWith('network.') ? 'network-fields' : 'all-of-it';
}

/** Offers the presets for images such as those at hand, and shows the recipe of the address, if it is for them. */
const offerPresets = () =>
  inTurn(async () => {
    if (!state.data) return;
    const { identity } = state.data;
    if (offeredFor && offeredFor !== identity && isOfAddress()) {
      keep('preset', ''); // what was chosen for other data does not suit these
      keepOptions({});
    }
    const isOther = offeredFor && offeredFor !== identity;
    offeredFor = identity;
    const mine = isOther && last ? textAt(last, 'network.layers') : '';
    const dataset = state.data.shape.channels === 1 ? 'mnist' : 'cifar10';
    const fitting = presets.filter((preset) => preset.recipe.dataset === dataset);
    $('preset').replaceChildren(...fitting.map(({ name }) => new Option(name, name)));
    const named = (/** @type {string} */ wanted) => fitting.find(({ name }) => name === wanted);
    const favourites = state.data.identity.startsWith('own:') ? FAVOURITES_OF_OWN : FAVOURITES;
    const favourite = fitting.find(({ name }) => favourites.includes(name));
    $('preset').value = (named(settings.preset) ?? favourite ?? fitting[0]).name;
    await usePreset(isOfAddress() ? keptOptions() : {});
    const stays = mine !== '' && !named(settings.preset) && (await keepLayers(mine));
    const text = stays ? words.recipe.kept : words.recipe.changed($('preset').value);
    const told = element('span', { className: 'soft', textContent: text });
    $('hint').replaceChildren(...(isOther ? [told] : []));
    const wanted = presets.find(({ name }) => name === settings.preset);
    if (wanted && !isOfAddress()) say(words.recipe.needsOtherData(wanted.name, wanted.recipe.dataset));
  });

/**
 * Keeps the layers that the visitor has put together, if other images can go through them.
 * @param {string} layers as text
 * @returns {Promise<boolean>} whether they stay
 */
async function keepLayers(layers) {
  const { data } = state;
  if (!data) return false;
  const wanted = await withWhatCanBe(recipe(), { 'network.layers': layers });
  const draft = await ask('draft', [wanted.network, data.shape, data.classes.length]);
  const isFit = draft.error === null && draft.layers.every(({ error }) => error === null);
  if (!isFit || textAt(wanted, 'network.layers') !== layers || state.data !== data) return false;
  change({ recipe: wanted });
  keep('preset', $('preset').value);
  keepOptions(await differences());
  form.show(recipe(), true);
  return true;
}

const choosePreset = () =>
  inTurn(async () => {
    keep('preset', $('preset').value);
    keepOptions({});
    await usePreset({});
  });

/** The recipe as the form has it. */
export const chosenRecipe = () =>
  inTurn(async () => {
    const refused = form.refused();
    if (!refused) return recipe();
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
  if (!preset) throw new Error(words.recipe.none);
  base = await changed(preset.recipe, forATab(preset.recipe, state.data?.train ?? 0));
  const given = fields.filter(({ option }) => option in options).map(({ key, option }) => [key, options[option]]);
  change({ recipe: await withWhatCanBe(base, Object.fromEntries(given)) });
  form.show(recipe(), true);
}

/**
 * Changes that somebody may have typed into an address: what cannot be is left out.
 * @param {Recipe} from
 * @param {Changes} changes
 */
async function withWhatCanBe(from, changes) {
  try {
    return await changed(from, changes);
  } catch {
    /* some of it cannot be: one after the other */
  }
  /** @type {Changes} */
  let taken = {};
  let result = from;
  for (const [key, text] of Object.entries(changes)) {
    const more = { ...taken, [key]: text };
    try {
      result = await changed(from, more);
      taken = more;
    } catch {
      /* left out */
    }
  }
  return result;
}

/**
 * What the visitor chose or typed.
 * @param {string} key
 * @param {string} text
 */
export const changeField = (key, text) =>
  inTurn(async () => {
    change({ recipe: await withField(key, text) });
    if (!isOfAddress()) keep('preset', $('preset').value);
    keepOptions(await differences());
    form.show(recipe());
    if (key === 'learning_rate' && state.activity === 'training') await ask('set_learning_rate', [Number(text)]);
  });

/**
 * Takes the recipe of a network that was trained, for the images at hand, if they are such as it was trained on; else
 * nothing.
 * @param {import('../store.js').Manifest} about
 * @param {boolean} whole not its network alone
 */
export const useRecipeOf = ({ recipe: trained, shape, classes }, whole) =>
  inTurn(async () => {
    const { data } = state;
    const isFor = (/** @type {import('../store.js').Shape} */ { channels, height, width }) =>
      channels === shape.channels && height === shape.height && width === shape.width;
    if (!data || !isFor(data.shape) || data.classes.length !== classes.length) return;
    const { dataset, batch_size } = recipe();
    const wanted = whole
      ? { ...trained, dataset, batch_size: Math.min(Number(trained.batch_size), Number(batch_size)) }
      : { ...recipe(), network: trained.network };
    change({ recipe: await changed(/** @type {Recipe} */ (wanted), {}) });
    $('hint').replaceChildren(); // it may have told of another network
    if (!isOfAddress()) keep('preset', $('preset').value);
    keepOptions(await differences());
    form.show(recipe(), true);
  });

/** The layers of the network at hand as text: to begin with where one wants layers of one's own. */
async function ownLayers() {
  const { data } = state;
  if (!data) return 'flatten, linear classes';
  const { layers } = await ask('draft', [recipe().network, data.shape, data.classes.length]);
  return layers.map(({ text }) => text).join(', ');
}

/**
 * @param {string} key
 * @param {string} text
 */
async function withField(key, text) {
  if (key === 'network.layers' && !text) return changed(recipe(), { 'network.layers': await ownLayers() });
  if (!text) {
    // an optional one was emptied
    const without = { ...recipe() };
    delete without[key];
    return changed(without, {});
  }
  const result = await changed(recipe(), { [key]: text });
  return key === 'network.name' && isWide(result) ? changed(result, NARROW) : result;
}

/**
 * The options that make the recipe of its base. Some fields give others their defaults, so those others are compared
 * after them.
 */
async function differences() {
  const deciding = new Set(fields.flatMap((field) => [field.applies?.key, field.defaultBy?.key, field.instead]));
  const differ = (/** @type {Recipe} */ from, /** @type {Field[]} */ among) =>
    among.filter(({ key }) => textAt(recipe(), key) && textAt(recipe(), key) !== textAt(from, key));
  const first = differ(
    base,
    fields.filter(({ key }) => deciding.has(key)),
  );
  const reference = await changed(base, Object.fromEntries(first.map(({ key }) => [key, textAt(recipe(), key)])));
  const rest = differ(
    reference,
    fields.filter(({ key }) => !deciding.has(key)),
  );
  return Object.fromEntries([...first, ...rest].map(({ key, option }) => [option, textAt(recipe(), key)]));
}

$('preset').onchange = guarded(choosePreset);
watch(['data'], () => {
  offerPresets().catch((error) => say(wordsOf(error)));
});
