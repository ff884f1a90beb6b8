// The page's end of worker.js.
let worker, waiting = new Map(), next = 0;

// The answer of the worker to a call of its own.
export function ask(call, args = [], transfer = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++next, { resolve, reject });
    worker.postMessage({ id: next, call, args }, transfer);
  });
}

// Ends the worker, if there is one, and starts another; `events` are called by what it tells unasked.
export function startWorker(events, reason = '') {
  worker?.terminate();
  for (const { reject } of waiting.values()) reject(new Error(reason ? `${reason}; start again on the CPU` : 'the device was changed'));
  waiting = new Map();
  let answered = false;
  const mine = new Worker('worker.js', { type: 'module' });
  worker = mine;
  worker.onmessage = ({ data }) => {
    if (mine !== worker) return; // the last words of a worker that was ended
    if (data.event) return events[data.event](data);
    answered = true;
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    data.error === undefined ? resolve(data.result) : reject(new Error(data.error));
  };
  worker.onerror = (event) => {
    event.preventDefault();
    if (mine !== worker) return;
    const error = new Error(`The computation failed (${event.message || 'its program could not be loaded'}), perhaps for lack of memory.`);
    for (const { reject } of waiting.values()) reject(error);
    waiting = new Map();
    if (answered) events.failed(error); // one that never answered would only fail again
  };
  return worker;
}
