// The page's end of worker.js: questions with the answers' types, and what a worker tells unasked.

/** @typedef {import('./worker.js').Calls} Calls */
/** @typedef {import('./store.js').Epoch} Epoch */
/**
 * What a run tells while it trains; `Messages` in web/src/training.rs says what each of them is.
 * @typedef {{
 *   steps?: number, tested?: number, losses?: number[], first_step?: number, weights?: true, measured?: number,
 *   images?: number, epoch?: Epoch, notice?: string, augmented?: number,
 * }} TrainMessage
 */
/** @typedef {{ name: string, median: number, unit: string }} BenchMessage */
/**
 * @typedef {{
 *   train: (message: TrainMessage) => void, bench: (message: BenchMessage) => void,
 *   lost: (message: { reason: string }) => void, failed: (error: Error) => void,
 * }} Events
 */

/** One device's worker. */
export class Client {
  /** @type {Map<number, { resolve: (result: any) => void, reject: (error: Error) => void }>} */
  #waiting = new Map();
  #next = 0;
  #ended = false;
  #answered = false;
  /** Why the device was lost, if it was. */
  lost = '';
  #worker = new Worker('worker.js', { type: 'module' });

  /** @param {Events} events what to do with what the worker tells unasked */
  constructor(events) {
    this.#worker.onmessage = ({ data }) => {
      if (this.#ended) return; // the last words of a worker that was ended
      if (data.event) {
        events[/** @type {'train'} */ (data.event)](data);
        return;
      }
      this.#answered = true;
      const asked = this.#waiting.get(data.id);
      this.#waiting.delete(data.id);
      if (data.error === undefined) asked?.resolve(data.result);
      else asked?.reject(new Error(data.error));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      if (this.#ended) return;
      const why = event.message || 'its program could not be loaded';
      const error = new Error(`The computation failed (${why}), perhaps for lack of memory.`);
      this.#refuse(error);
      if (this.#answered) events.failed(error); // one that never answered would only fail again
    };
  }

  /**
   * The answer of the worker to a call of its own.
   * @template {keyof Calls} K
   * @param {K} call
   * @param {Parameters<Calls[K]>} args
   * @param {Transferable[]} transfer
   * @returns {Promise<Awaited<ReturnType<Calls[K]>>>}
   */
  ask(call, args = /** @type {any} */ ([]), transfer = []) {
    if (this.#ended) return Promise.reject(new Error('the device was changed'));
    return new Promise((resolve, reject) => {
      this.#waiting.set(++this.#next, { resolve, reject });
      this.#worker.postMessage({ id: this.#next, call, args }, transfer);
    });
  }

  /**
   * Ends the worker; whoever waits for an answer hears why.
   * @param {string} why
   */
  end(why) {
    this.#ended = true;
    this.#worker.terminate();
    this.#refuse(new Error(why));
  }

  /** @param {Error} error */
  #refuse(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting = new Map();
  }
}

/** @type {Client | undefined} */
let current;

/** The client whose device computes for the page. */
export const client = () => current;

/** @param {Client} other the client to ask from now on */
export function use(other) {
  current = other;
}

/**
 * Asks the device that computes for the page.
 * @template {keyof Calls} K
 * @param {K} call
 * @param {Parameters<Calls[K]>} args
 * @param {Transferable[]} transfer
 * @returns {Promise<Awaited<ReturnType<Calls[K]>>>}
 */
export function ask(call, args = /** @type {any} */ ([]), transfer = []) {
  return current ? current.ask(call, args, transfer) : Promise.reject(new Error('the program is still being loaded'));
}
