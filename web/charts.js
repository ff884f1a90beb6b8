// The curves of a run, by uPlot.
import { $, state } from './common.js';

/** @typedef {(number | null | undefined)[][]} Data x, and y of every curve */
/** @typedef {{ setData: (data: Data) => void }} Chart */

/** @type {Chart[] | null} */
let charts = null;

// Begins anew: another run, or another size of the window.
export function resetCharts() {
  charts = null;
}

export function plot() {
  const { uPlot } = /** @type {any} */ (window); // from a script of its own
  if (!uPlot) return;
  const epochs = state.history.map((m) => m.epoch);
  /** @type {Data} */
  const losses = uPlot.join([
    [state.points.map((p) => p[0]), state.points.map((p) => p[1])],
    [epochs, state.history.map((m) => m.test_loss)],
  ]);
  /** @type {Data} */
  const accuracy = [epochs, state.history.map((m) => m.test_accuracy)];
  if (charts) {
    charts[0].setData(losses);
    charts[1].setData(accuracy);
    return;
  }
  $('charts').querySelectorAll('.uplot').forEach((old) => old.remove());
  charts = [
    chart(uPlot, [['train loss', '#0072b2', 4], ['test loss', '#d55e00', 4]], losses, 'loss-chart'),
    chart(uPlot, [['test accuracy, percent', '#d55e00', 2]], accuracy, 'accuracy-chart'),
  ];
}

/**
 * @param {any} uPlot
 * @param {[string, string, number][]} curves what each is called, its colour, and the digits of its values
 * @param {Data} data
 * @param {'loss-chart' | 'accuracy-chart'} into
 * @returns {Chart}
 */
function chart(uPlot, curves, data, into) {
  const style = getComputedStyle(document.body);
  const stroke = style.getPropertyValue('--ink'), grid = { stroke: style.getPropertyValue('--line'), width: 1 };
  // Under the pointer, else the last one.
  const value = (/** @type {number} */ digits) =>
    (/** @type {{ data: Data }} */ { data }, /** @type {number | null | undefined} */ y, /** @type {number} */ curve) =>
      (y ?? data[curve].findLast((y) => y !== null && y !== undefined))?.toFixed(digits) ?? '–';
  return new uPlot({
    width: Math.max(240, $('charts').clientWidth), height: 190, cursor: { drag: { x: false, y: false } }, scales: { x: { time: false } },
    axes: [{ stroke, grid, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }, { stroke, grid, size: 60 }],
    series: [
      { label: 'epoch', value: value(2) },
      ...curves.map(([label, stroke, digits]) => ({ label, stroke, width: 2, spanGaps: true, points: { show: label !== 'train loss' }, value: value(digits) })),
    ],
  }, data, $(into));
}
