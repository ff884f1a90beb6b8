// The page's end of worker.js.
import { say } from './common.js';

let worker, waiting = new Map(), next = 0;

// The answer of the worker to a call of its own.
export function ask(call, args = [], transfer = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++next, { resolve, reject });
    worker.postMessage({ id: next, call, args }, transfer);
  });
}

// Ends the worker, if there is one, and starts another; `events` are called by what it tells unasked.
export function startWorker(events) {
  worker?.terminate();
  for (const { reject } of waiting.values()) reject(new Error('the device was changed'));
  waiting = new Map();
  const mine = new Worker('worker.js', { type: 'module' });
  worker = mine;
  worker.onmessage = ({ data }) => {
    if (mine !== worker) return; // the last words of a worker that was ended
    if (data.event) return events[data.event](data);
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    data.error === undefined ? resolve(data.result) : reject(new Error(data.error));
  };
  worker.onerror = (event) => say(`The worker failed: ${event.message}. Reload the page to start again.`);
  return worker;
}
