// What is kept in this browser: runs with their weights, and a visitor's own pictures. By IndexedDB, so that it
// survives a
// reload, a crash of the tab, and the closing of the browser. Where there is none (a private window, perhaps), nothing
// is
// kept, and the page works all the same.

/** @typedef {import('./store.js').Run} Run */
/** @typedef {import('./store.js').PictureClass} PictureClass */

const STORES = /** @type {const} */ (['runs', 'weights', 'pictures']);

/** @type {Promise<IDBDatabase> | undefined} */
let database;
const opened = () =>
  (database ??= new Promise((done, failed) => {
    const request = indexedDB.open('tinderbox', 1);
    request.onupgradeneeded = () => STORES.forEach((name) => request.result.createObjectStore(name));
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close(); // a newer page in another tab
      done(request.result);
    };
    request.onblocked = () => failed(new Error('another tab has an older page open'));
    request.onerror = () => failed(request.error ?? new Error('this browser keeps nothing'));
  }));

/**
 * @template T
 * @param {(typeof STORES)[number][]} names
 * @param {IDBTransactionMode} mode
 * @param {(...stores: IDBObjectStore[]) => IDBRequest<T> | void} action
 * @returns {Promise<T>}
 */
async function transaction(names, mode, action) {
  const transaction = (await opened()).transaction(names, mode);
  return new Promise((done, failed) => {
    const request = action(...names.map((name) => transaction.objectStore(name)));
    transaction.oncomplete = () => done(/** @type {T} */ (request?.result));
    transaction.onabort = transaction.onerror = () => failed(transaction.error ?? new Error('it was given up'));
  });
}

/** The runs that are kept, the newest first. @returns {Promise<Run[]>} */
export async function keptRuns() {
  const runs = await transaction(['runs'], 'readonly', (store) => store.getAll());
  return runs.sort((a, b) => b.began - a.began);
}

/**
 * Keeps a run, and its weights where there are some.
 * @param {Run} run
 * @param {Uint8Array} [weights]
 */
export const keepRun = (run, weights) =>
  transaction(['runs', 'weights'], 'readwrite', (runs, all) => {
    runs.put(run, run.id);
    if (weights) all.put(weights, run.id);
  });

/** @param {string} id @returns {Promise<Uint8Array | undefined>} */
export const keptWeights = (id) => transaction(['weights'], 'readonly', (store) => store.get(id));

/** @param {string} id */
export const dropRun = (id) =>
  transaction(['runs', 'weights'], 'readwrite', (...stores) => {
    for (const store of stores) store.delete(id);
  });

/** @returns {Promise<PictureClass[]>} */
export const keptPictures = async () =>
  (await transaction(['pictures'], 'readonly', (store) => store.get('classes'))) ?? [];

/** @param {PictureClass[]} classes */
export const keepPictures = (classes) =>
  transaction(['pictures'], 'readwrite', (store) => {
    store.put(classes, 'classes');
  });

/** Bytes that are used and that there may be, where the browser tells. */
export async function room() {
  const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.()) ?? {};
  return { usage, quota };
}
