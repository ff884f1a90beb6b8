// The curves of a run, by uPlot.
import { $, state } from './common.js';

/** @typedef {[number[], number[]]} Curve */
/** @typedef {{ setData: (data: Curve) => void }} Chart */

/** @type {Chart[] | null} */
let charts = null;

// Begins anew: another run, or another size of the window.
export function resetCharts() {
  charts = null;
}

export function plot() {
  const { uPlot } = /** @type {any} */ (window); // from a script of its own
  if (!uPlot) return;
  const ink = getComputedStyle(document.body).getPropertyValue('--ink');
  const line = getComputedStyle(document.body).getPropertyValue('--line');
  const width = Math.max(240, $('charts').clientWidth);
  /** @type {Curve} */
  const losses = [state.points.map((p) => p[0]), state.points.map((p) => p[1])];
  /** @type {Curve} */
  const accuracy = [state.history.map((m) => m.epoch), state.history.map((m) => m.test_accuracy)];
  if (!charts) {
    /**
     * @param {string} title
     * @param {string} x
     * @param {string} stroke
     * @param {Curve} data
     * @param {'loss-chart' | 'accuracy-chart'} into
     * @returns {Chart}
     */
    const chart = (title, x, stroke, data, into) => new uPlot({
      title, width, height: 190, legend: { show: false }, cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false } }, axes: [{ label: x, stroke: ink, grid: { stroke: line, width: 1 }, labelSize: 18 }, { stroke: ink, grid: { stroke: line, width: 1 }, size: 60 }],
      series: [{ label: x }, { label: title, stroke, width: 2, points: { show: title !== 'train loss' } }],
    }, data, $(into));
    $('charts').querySelectorAll('.uplot').forEach((old) => old.remove());
    charts = [chart('train loss', 'epoch', '#0072b2', losses, 'loss-chart'), chart('test accuracy, percent', 'epoch', '#d55e00', accuracy, 'accuracy-chart')];
    return;
  }
  charts[0].setData(losses);
  charts[1].setData(accuracy);
}
