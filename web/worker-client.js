// The page's end of worker.js.

/** @typedef {import('./worker.js').Calls} Calls */
/** @typedef {{ train: (event: any) => void, bench: (event: any) => void, lost: (event: any) => void, failed: (error: Error) => void }} Events */

/** @type {Worker | undefined} */
let worker;
/** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
let waiting = new Map();
let next = 0;

/**
 * The answer of the worker to a call of its own.
 * @template {keyof Calls} K
 * @param {K} call
 * @param {Parameters<Calls[K]>} args
 * @param {Transferable[]} transfer
 * @returns {Promise<Awaited<ReturnType<Calls[K]>>>}
 */
export function ask(call, args = /** @type {any} */ ([]), transfer = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++next, { resolve, reject });
    worker?.postMessage({ id: next, call, args }, transfer);
  });
}

/**
 * Ends the worker, if there is one, and starts another; `events` are called by what it tells unasked.
 * @param {Events} events
 */
export function startWorker(events, reason = '') {
  worker?.terminate();
  for (const { reject } of waiting.values()) reject(new Error(reason ? `${reason}; start again on the CPU` : 'the device was changed'));
  waiting = new Map();
  let answered = false;
  const mine = new Worker('worker.js', { type: 'module' });
  worker = mine;
  mine.onmessage = ({ data }) => {
    if (mine !== worker) return; // the last words of a worker that was ended
    if (data.event) {
      events[/** @type {keyof Events} */ (data.event)](data);
      return;
    }
    answered = true;
    const asked = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error === undefined) asked?.resolve(data.result);
    else asked?.reject(new Error(data.error));
  };
  mine.onerror = (event) => {
    event.preventDefault();
    if (mine !== worker) return;
    const error = new Error(`The computation failed (${event.message || 'its program could not be loaded'}), perhaps for lack of memory.`);
    for (const { reject } of waiting.values()) reject(error);
    waiting = new Map();
    if (answered) events.failed(error); // one that never answered would only fail again
  };
  return mine;
}
