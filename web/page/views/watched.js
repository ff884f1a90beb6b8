// The runs of the program in the folder that `tinderbox serve` looks at, live while they train.
import { say, wordsOf } from '../actions.js';
import { $, element, keepingFocus, rowOfRun } from '../dom.js';
import { change, state, watch } from '../store.js';
import { words } from '../words.js';

/** @typedef {import('../store.js').Curves} Curves */
/** @typedef {import('../store.js').Epoch} Epoch */
/** @typedef {import('../store.js').Watched} Watched */

const EVERY = 2000; // milliseconds between two looks
/** The time of the last look, by the server's clock. */
let since = 0;
/** Runs whose recipe is shown. @type {Set<string>} */
const opened = new Set();
/** Curves that are drawn, by the run's id; epochs are added to them. @type {Map<string, Curves>} */
const drawn = new Map();

/** Asks what is new of runs, now and then; where nobody looks at runs, once. */
export async function watchRuns() {
  let isLive = false;
  for (;;) {
    try {
      if (!(await look())) return;
      isLive = true;
    } catch {
      if (!isLive) return; // there is no network; a server that was there may come back
    }
    await new Promise((done) => setTimeout(done, EVERY));
    while (document.hidden) await new Promise((done) => setTimeout(done, EVERY));
  }
}

/** @returns {Promise<boolean>} whether there may be more */
async function look() {
  const response = await fetch(`runs.json?since=${since}`, { cache: 'no-store' });
  if (!response.ok) return false;
  /** @type {{ live: boolean, now: number, count: number, runs: Watched[] }} */
  const { live, now, count, runs } = await response.json();
  if (!live) return false;
  const others = state.watched.filter(({ id }) => !runs.some((run) => run.id === id));
  const all = [...others, ...runs].sort((a, b) => b.began - a.began);
  if (all.length > count) {
    // some are gone: all are asked for
    since = 0;
    change({ watched: [] });
    return look();
  }
  for (const [id, curves] of drawn) {
    if (all.some((run) => run.id === id)) continue;
    drawn.delete(id);
    change({ overlaid: state.overlaid.filter((other) => other !== curves) });
  }
  since = now;
  if (runs.length) change({ watched: all });
  for (const run of runs) if (drawn.has(run.id)) await addEpochs(run);
  return true;
}

/** Where a run's files are asked for. @param {Watched} run */
const folderOf = ({ id }) => `runs/${id.split('/').map(encodeURIComponent).join('/')}`;

/** Fetches the epochs that are not drawn yet. @param {Watched} run */
async function addEpochs(run) {
  const before = drawn.get(run.id) ?? { name: run.name, losses: [], history: [] };
  const response = await fetch(`${folderOf(run)}/epochs.json?from=${before.history.length}`, { cache: 'no-store' });
  if (!response.ok) throw new Error(words.watched.gone(run.name));
  /** @type {Epoch[]} */
  const more = await response.json();
  if (before.history.length && drawn.get(run.id) !== before) return; // it is not drawn any more
  const curves = { ...before, history: [...before.history, ...more] };
  drawn.set(run.id, curves);
  change({ overlaid: [...state.overlaid.filter((other) => other !== before), curves] });
}

/** @param {Watched} run */
function row(run) {
  const overlay = element('input', {
    type: 'checkbox',
    checked: drawn.has(run.id),
    ariaLabel: words.runs.overlay(run.name),
  });
  overlay.onchange = () => {
    if (overlay.checked) {
      addEpochs(run).catch((error) => say(wordsOf(error)));
    } else {
      const curves = drawn.get(run.id);
      drawn.delete(run.id);
      change({ overlaid: state.overlaid.filter((other) => other !== curves) });
    }
  };
  const { recipe, device, last, best } = run;
  const about = element('details', {}, element('summary', run.name), element('p', words.watched.device(device)));
  // It scrolls, by keys too.
  about.append(element('pre', { textContent: JSON.stringify(recipe, null, 1), tabIndex: 0 }));
  const numbers = [best === null ? '–' : words.percent(best, 2), words.loss(last?.test_loss)];
  const texts = [words.watched.how(run), run.data, words.network.named(recipe.network), ...numbers];
  const report = run.report
    ? [element('a', { href: `${folderOf(run)}/report.html`, target: '_blank', textContent: words.watched.report })]
    : [];
  const cells = texts.map((text) => element('td', text));
  about.open = opened.has(run.id);
  about.ontoggle = () => {
    if (about.open) opened.add(run.id);
    else opened.delete(run.id);
  };
  const first = [element('td', {}, overlay), element('td', {}, about)];
  return rowOfRun([...first, ...cells, element('td', {}, ...report)]);
}

// Both lists of runs have the same columns.
const head = document.querySelector('#runs-table > thead');
if (head) $('watched').querySelector('table')?.prepend(head.cloneNode(true));

watch(['watched'], () => {
  $('watched').hidden = !state.watched.length;
  keepingFocus($('watched-rows'), () => $('watched-rows').replaceChildren(...state.watched.map(row)));
});
