// What a visitor does: whatever fails is said, and the page stays usable.
import { change } from './store.js';

/** @param {unknown} error */
export const wordsOf = (error) => (error instanceof Error ? error.message : String(error));

/** @param {string} message */
export const say = (message) => change({ message });

/**
 * Runs a visitor's action; whatever fails is said.
 * @template {unknown[]} A
 * @param {(...args: A) => unknown} action
 */
export const guarded =
  (action) =>
  async (/** @type {A} */ ...args) => {
    try {
      say('');
      await action(...args);
    } catch (error) {
      say(wordsOf(error));
    }
  };

/**
 * An action that is not begun while it is under way: asked for meanwhile, it is done once more at the end.
 * @param {() => Promise<void>} action
 */
export function latest(action) {
  let [busy, again] = [false, false];
  return async () => {
    again = true;
    if (busy) return;
    busy = true;
    /** @type {unknown} */
    let failure;
    while (again) {
      again = false;
      failure = undefined;
      try {
        await action();
      } catch (error) {
        failure = error; // of the last time: what was asked for before is not waited for any more
      }
    }
    busy = false;
    if (failure) throw failure;
  };
}

/** Runs actions one after the other, in the order in which they were asked for, whether or not those before succeed. */
export function queue() {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  /**
   * @template T
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  return (action) => {
    const mine = last.catch(() => {}).then(action);
    last = mine;
    return mine;
  };
}

/**
 * @param {string} name
 * @param {BlobPart} bytes
 * @param {string} type
 */
export function download(name, bytes, type) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([bytes], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
