// Curves, by uPlot: the run at hand, and others beside it.
import { state, watch } from './store.js';
import { words } from './words.js';
import { $ } from './dom.js';

/** @typedef {import('./store.js').Curves} Curves */
/** A curve, as src/report/page/charts.js draws it for reports and for this page; `number` is that of its colour. */
/**
 * @typedef {{
 *   label: string, points: [number, number][], number: number, hasMarks: boolean, dashed?: boolean,
 * }} Curve
 */
/** @typedef {{ setData: (data: unknown) => void, destroy: () => void }} Chart */
/**
 * @typedef {{
 *   dark: MediaQueryList, draw: (into: HTMLElement, options: object) => Chart, joined: (curves: Curve[]) => unknown,
 *   percent: (chart: unknown, low: number, high: number) => [number, number],
 * }} Charts
 */

/** @type {{ element: HTMLElement, labels: string, chart: Chart }[]} */
let charts = [];

/** @param {Curves} run @param {'train_loss' | 'test_loss' | 'test_accuracy'} key @returns {[number, number][]} */
const byEpoch = ({ history }, key) => history.map((epoch) => [epoch.epoch, epoch[key]]);

/**
 * A curve of each run that is drawn beside the one at hand.
 * @param {'test_loss' | 'test_accuracy'} key
 * @param {string} called what the curve shows
 * @returns {Curve[]}
 */
const beside = (key, called) =>
  state.overlaid.map((run, i) => ({
    label: words.charts.ofRun(called, run.name),
    number: 2 + (i % 5), // the first two colours are those of the run at hand
    dashed: true,
    hasMarks: false,
    points: byEpoch(run, key),
  }));

/** @returns {Curve[]} */
const losses = () => [
  { label: words.charts.trainLoss, number: 0, hasMarks: false, points: state.curves.losses },
  { label: words.charts.testLoss, number: 1, hasMarks: true, points: byEpoch(state.curves, 'test_loss') },
  ...beside('test_loss', words.charts.testLoss),
];

/** @returns {Curve[]} */
const accuracies = () => [
  { label: words.charts.accuracy, number: 1, hasMarks: true, points: byEpoch(state.curves, 'test_accuracy') },
  ...beside('test_accuracy', words.charts.accuracy),
];

/** Draws the curves of the state. */
function plot() {
  /** @type {Charts | undefined} */
  const library = /** @type {any} */ (window).tinderboxCharts; // from a script of its own
  if (!library) return;
  for (const [id, curves, y] of /** @type {const} */ ([
    ['loss-chart', losses(), { digits: 4 }],
    ['accuracy-chart', accuracies(), { digits: 2, range: library.percent }],
  ])) {
    const into = $(id);
    const labels = curves.map(({ label }) => label).join('\n');
    const there = charts.find(({ element }) => element === into);
    if (there?.labels === labels) {
      there.chart.setData(library.joined(curves));
      continue;
    }
    there?.chart.destroy();
    charts = charts.filter((chart) => chart !== there);
    const x = { label: words.charts.epoch, text: (/** @type {number} */ epoch) => epoch.toFixed(2), isWhole: true };
    charts.push({
      element: into,
      labels,
      chart: library.draw(into, { height: 190, ink: '--ink', x, y, curves }),
    });
  }
}

let [drawn, planned] = [0, 0];
/** Draws at most ten times a second. */
function plotSoon() {
  clearTimeout(planned);
  const wait = Math.max(0, 100 - (performance.now() - drawn));
  planned = setTimeout(() => {
    drawn = performance.now();
    plot();
  }, wait);
}

/** Begins anew: another size or colour of the window. */
export function redraw() {
  for (const { chart } of charts) chart.destroy();
  charts = [];
  if (state.curves.losses.length || state.overlaid.length) plot();
}

watch(['curves', 'overlaid'], () => {
  $('charts').hidden = !state.curves.losses.length && !state.overlaid.length;
  if (!$('charts').hidden) plotSoon();
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
