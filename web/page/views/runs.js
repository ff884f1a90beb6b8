// The runs that are kept in this browser.
import { download, guarded, say, wordsOf } from '../actions.js';
import { keep, settings } from '../address.js';
import { $, button, element, keepingFocus, rowOfRun } from '../dom.js';
import { dropRun, keepRun, keptRuns, keptWeights, room } from '../kept.js';
import { chooseAndKeep, fileName, freeName } from '../models.js';
import { ask } from '../protocol.js';
import { change, state, watch } from '../store.js';
import { words } from '../words.js';
import { useSample } from './data.js';
import { usePictures } from './pictures.js';
import { useRecipeOf } from './recipe.js';

/** @typedef {import('../store.js').Run} Run */

/** Weights within a run are kept at most this often, in milliseconds: reading them from a device takes a while. */
const KEEP_EVERY = 5_000;
/** A list that changes more often can hardly be used. */
const TELL_EVERY = 1_000;

/** The run that trains. @type {Run | undefined} */
let running;
let [toldAt, keptAt] = [0, 0];

/** Shows the runs of earlier visits, and offers their networks as models. */
export async function loadRuns() {
  try {
    const runs = await keptRuns();
    // One that was being trained when its tab ended has the weights of its last epoch that was kept.
    for (const run of runs.filter(({ state }) => state === 'trains'))
      await keepRun(Object.assign(run, { state: 'stopped' }));
    const models = runs.filter(({ bytes }) => bytes > 0).map((run) => ({ about: run.about, run: run.id }));
    change({ runs, models: [...state.models, ...models] });
  } catch (error) {
    $('runs-about').textContent = words.runs.notKept(wordsOf(error));
  }
}

/**
 * @param {import('../store.js').Recipe} recipe
 * @param {number} epochs
 */
export function beginRun(recipe, epochs) {
  const { data, about } = state;
  if (!data || !about) return;
  const name = freeName(new Date().toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' }));
  running = {
    id: crypto.randomUUID?.() ?? String(Math.random()),
    began: Date.now(),
    name,
    about: { ...about, recipe },
    data: words.data.nameOf(data),
    epochs,
    state: 'trains',
    bytes: 0,
    losses: [],
    history: [],
  };
  keptAt = performance.now();
}

/** Keeps what the run has come to, now and then, and its weights more seldom. */
export async function keepEpoch() {
  const mine = running;
  if (!mine || performance.now() - toldAt < TELL_EVERY) return;
  toldAt = performance.now();
  Object.assign(mine, { losses: thinned(state.curves.losses), history: state.curves.history });
  /** @type {Uint8Array | undefined} */
  let weights;
  if (performance.now() - keptAt > KEEP_EVERY) {
    keptAt = performance.now();
    const [bytes, about] = [await ask('save_model'), await ask('about')];
    if (mine !== running) return; // it has ended, and is kept in whole
    weights = bytes;
    Object.assign(mine, { about: { ...about, name: mine.name }, bytes: bytes.length });
  }
  await put(mine, weights);
}

/**
 * @param {Run['state']} how
 * @param {import('../store.js').Manifest} [about]
 * @param {Uint8Array} [weights]
 * @returns {Promise<string | undefined>} the run's id, if it is kept
 */
export async function endRun(how, about, weights) {
  const mine = running;
  running = undefined;
  if (!mine || (!weights && !mine.history.length)) return undefined;
  Object.assign(mine, { state: how, losses: thinned(state.curves.losses), history: state.curves.history });
  if (about && weights) Object.assign(mine, { about, bytes: weights.length, name: about.name });
  return (await put(mine, weights)) ? mine.id : undefined;
}

/**
 * Keeps the accuracy of a run's network, which is known later than its weights.
 * @param {string} id of the run
 * @param {number} accuracy
 */
export async function keepAccuracy(id, accuracy) {
  const run = state.runs.find((run) => run.id === id);
  if (!run) return; // deleted meanwhile
  const known = { ...run, about: { ...run.about, accuracy } };
  change({
    runs: state.runs.map((other) => (other === run ? known : other)),
    overlaid: state.overlaid.map((other) => (other === run ? known : other)),
  });
  try {
    await keepRun(known);
  } catch (error) {
    $('runs-about').textContent = words.runs.notKept(wordsOf(error));
  }
}

/** A curve of at most some thousand points. @param {[number, number][]} points */
function thinned(points) {
  const every = Math.ceil(points.length / 4000);
  return every > 1 ? points.filter((_, i) => i % every === 0) : points;
}

/** @param {Run} run @param {Uint8Array} [weights] */
async function put(run, weights) {
  try {
    const { usage, quota } = await room();
    if (weights && quota && usage + weights.length > 0.9 * quota) throw new Error(words.runs.full);
    await keepRun({ ...run }, weights);
    change({ runs: [run, ...state.runs.filter(({ id }) => id !== run.id)] });
    return true;
  } catch (error) {
    $('runs-about').textContent = words.runs.notKept(wordsOf(error));
    return false;
  }
}

/** @param {Run} run */
async function rename(run) {
  const wanted = prompt(words.runs.newName, run.name)?.trim();
  if (!wanted || wanted === run.name) return;
  const name = freeName(wanted),
    before = run.about.name;
  await keepRun({ ...run, name, about: { ...run.about, name } });
  const renamed = { ...run, name, about: { ...run.about, name } };
  change({
    runs: state.runs.map((other) => (other.id === run.id ? renamed : other)),
    models: state.models.map((model) => (model.run === run.id ? { ...model, about: { ...model.about, name } } : model)),
    overlaid: state.overlaid.map((other) => (other === run ? renamed : other)),
    ...(state.about?.name === before && { about: { ...state.about, name } }),
  });
  if (settings.main === before) keep('main', name);
}

/** @param {Run} run */
async function remove(run) {
  if (!confirm(words.runs.reallyDelete(run.name))) return;
  await dropRun(run.id);
  change({
    runs: state.runs.filter(({ id }) => id !== run.id),
    overlaid: state.overlaid.filter((other) => other !== run),
    models: state.models.filter((model) => model.run !== run.id),
  });
  if (settings.main === run.about.name) keep('main', '');
}

/** Takes the data that a run was trained on, where they are here. @param {Run} run */
async function useDataOf(run) {
  const isOn = () => state.data?.classes.join('|') === run.about.classes.join('|');
  if (isOn()) return;
  if (run.data === words.pictures.own && state.classes.length) await usePictures();
  else if (run.about.recipe.dataset === 'mnist-sample') await useSample();
  if (!isOn()) say(words.runs.otherData(run.name, run.data));
}

/** @param {Run} run */
async function open(run) {
  if (state.activity === 'training') throw new Error(words.models.trainsNow);
  let index = state.models.findIndex((model) => model.run === run.id);
  if (index < 0) {
    change({ models: [...state.models, { about: run.about, run: run.id }] });
    index = state.models.length - 1;
  }
  await chooseAndKeep(index);
  await useDataOf(run);
  await useRecipeOf(run.about, true);
  document.getElementById('try-title')?.scrollIntoView();
}

/** @param {Run} run */
async function save(run) {
  const weights = await keptWeights(run.id);
  if (!weights) throw new Error(words.models.isGone(run.name));
  download(fileName(run.name), new Uint8Array(weights), 'application/octet-stream');
}

/** @param {Run} run */
function row(run) {
  // That of the weights which are kept, not of the best epoch: these are used.
  const measured = run.state !== 'trains' && run.bytes ? run.about.accuracy : null;
  const accuracy = measured ?? run.history.at(-1)?.test_accuracy;
  const overlay = element('input', {
    type: 'checkbox',
    checked: state.overlaid.some((other) => other === run),
    ariaLabel: words.runs.overlay(run.name),
  });
  overlay.onchange = () => {
    const others = state.overlaid.filter((other) => other !== run);
    change({ overlaid: overlay.checked ? [...others, run] : others });
    if (overlay.checked) $('charts').scrollIntoView({ block: 'center' });
  };
  /** @type {[string, (run: Run) => Promise<void>, (name: string) => string][]} */
  const ofWeights = [
    [words.runs.open, open, words.runs.openRun],
    [words.runs.save, save, words.runs.saveRun],
  ];
  /** @type {typeof ofWeights} */
  const ofEnded = [
    [words.runs.rename, rename, words.runs.renameRun],
    [words.runs.remove, remove, words.runs.removeRun],
  ];
  const actions = [...(run.bytes ? ofWeights : []), ...(run.state === 'trains' ? [] : ofEnded)];
  const buttons = actions.map(([text, action, label]) => {
    const act = guarded(() => action(run));
    return button(text, act, label(run.name));
  });
  const cells = [
    run.name,
    words.runs.how(run),
    run.data,
    words.network.named(run.about.recipe.network),
    accuracy === undefined ? '–' : words.percent(accuracy, 2),
    words.loss(run.history.at(-1)?.test_loss),
  ];
  const texts = cells.map((text) => element('td', text));
  return rowOfRun([element('td', {}, overlay), ...texts, element('td', { className: 'actions' }, ...buttons)]);
}

watch(['runs'], () => {
  $('runs-table').hidden = !state.runs.length;
  keepingFocus($('runs-rows'), () => $('runs-rows').replaceChildren(...state.runs.map(row)));
  if (!state.runs.length) $('runs-about').textContent = words.runs.none;
  else
    room().then(
      ({ usage, quota }) => {
        $('runs-about').textContent = words.runs.about(state.runs.length, usage, quota);
      },
      (error) => say(wordsOf(error)),
    );
});
