// Curves, by uPlot: the run at hand, and others beside it.
import { state, watch } from './store.js';
import { words } from './words.js';
import { $ } from './dom.js';

/** @typedef {(number | null | undefined)[][]} Data x, and y of every curve */
/** @typedef {{ setData: (data: Data) => void, destroy: () => void }} Chart */
/** @typedef {import('./store.js').Curves} Curves */
/**
 * @typedef {{ label: string, stroke: string, dash?: number[], alpha?: number, points: boolean, values: [number,
 * number][] }} Curve
 */

const [BLUE, ORANGE] = ['#0072b2', '#d55e00']; // as in reports
/** Strokes of runs beside the one at hand. */
const OTHERS = ['#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8a8a8a'];

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
    stroke: OTHERS[i % OTHERS.length],
    dash: [6, 4],
    points: false,
    values: byEpoch(run, key),
  }));

/** @returns {Curve[]} */
const losses = () => [
  { label: words.charts.trainLoss, stroke: BLUE, points: false, values: state.curves.losses },
  { label: words.charts.testLoss, stroke: ORANGE, points: true, values: byEpoch(state.curves, 'test_loss') },
  ...beside('test_loss', words.charts.testLoss),
];

/** @returns {Curve[]} */
const accuracies = () => [
  { label: words.charts.accuracy, stroke: ORANGE, points: true, values: byEpoch(state.curves, 'test_accuracy') },
  ...beside('test_accuracy', words.charts.accuracy),
];

/** Draws the curves of the state. */
function plot() {
  const { uPlot } = /** @type {any} */ (window); // from a script of its own
  if (!uPlot) return;
  for (const [id, curves, digits] of /** @type {const} */ ([
    ['loss-chart', losses(), 4],
    ['accuracy-chart', accuracies(), 2],
  ])) {
    const into = $(id),
      labels = curves.map(({ label }) => label).join('\n');
    const data = uPlot.join(curves.map(({ values }) => [values.map(([x]) => x), values.map(([, y]) => y)]));
    const there = charts.find(({ element }) => element === into);
    if (there?.labels === labels) {
      there.chart.setData(data);
      continue;
    }
    there?.chart.destroy();
    charts = charts.filter((chart) => chart !== there);
    charts.push({ element: into, labels, chart: chart(uPlot, curves, digits, data, into) });
  }
}

/**
 * @param {any} uPlot
 * @param {Curve[]} curves
 * @param {number} digits of the values
 * @param {Data} data
 * @param {HTMLElement} into
 * @returns {Chart}
 */
function chart(uPlot, curves, digits, data, into) {
  const style = getComputedStyle(document.body);
  const stroke = style.getPropertyValue('--ink'),
    grid = { stroke: style.getPropertyValue('--line'), width: 1 };
  // Under the pointer, else the last one.
  const value =
    (/** @type {number} */ digits) =>
    (/** @type {{ data: Data }} */ { data }, /** @type {number | null | undefined} */ y, /** @type {number} */ curve) =>
      (y ?? data[curve].findLast((y) => y !== null && y !== undefined))?.toFixed(digits) ?? '–';
  const series = curves.map(({ label, stroke, dash, points }) => ({
    label,
    stroke,
    dash,
    width: 2,
    spanGaps: true,
    points: { show: points },
    value: value(digits),
  }));
  return new uPlot(
    {
      width: Math.max(240, into.clientWidth),
      height: 190,
      cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false } },
      axes: [
        { stroke, grid, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
        { stroke, grid, size: 64 },
      ],
      series: [{ label: words.charts.epoch, value: value(2) }, ...series],
    },
    data,
    into,
  );
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
