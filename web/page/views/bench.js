// The benchmark of the program, in this tab.
import { download, guarded } from '../actions.js';
import { $, element } from '../dom.js';
import { ask } from '../protocol.js';
import { change, state } from '../store.js';
import { words } from '../words.js';

/** @type {Awaited<ReturnType<import('../worker.js').Calls['bench']>> | undefined} */
let report;

/** @param {import('../protocol.js').BenchMessage} measurement */
export function onBench({ name, median, unit }) {
  $('bench-table').hidden = false;
  const value = median >= 1000 ? Math.round(median).toLocaleString('en') : median.toPrecision(3);
  $('bench-table').tBodies[0].append(element('tr', {}, ...[name, value, unit].map((text) => element('td', text))));
}

$('bench').onclick = guarded(async () => {
  if (state.data?.identity !== 'mnist-sample') throw new Error(words.bench.needsSample);
  $('bench-table').tBodies[0].replaceChildren();
  $('bench-status').textContent = words.bench.measuring;
  change({ activity: 'measuring' });
  try {
    report = await ask('bench');
    const { failed } = report.rows[0];
    $('bench-status').textContent = failed ? words.bench.failed(failed) : words.bench.done;
    $('bench-save').disabled = false;
  } catch (error) {
    $('bench-status').textContent = '';
    throw error;
  } finally {
    if (state.activity === 'measuring') change({ activity: 'idle' });
  }
});
$('bench-save').onclick = guarded(() =>
  download('tinderbox-bench.json', JSON.stringify(report, null, 1), 'application/json'),
);
