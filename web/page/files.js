// Files: of the site, and those that a visitor brings.

/** @typedef {import('./store.js').DataFile} DataFile */

/** The most bytes that a file of data may have, unpacked. */
export const AT_MOST = 400e6;

/** @param {string} path */
export async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} cannot be loaded: ${response.status} ${response.statusText}`);
  return response;
}

/**
 * The bytes of a stream as they come, of which there may not be more than `most`.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream
 * @param {number} most
 * @param {string} name
 */
export async function* piecesOf(stream, most, name) {
  let bytes = 0;
  const reader = stream.getReader(); // not every browser iterates over a stream
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.length;
      if (bytes > most) throw new RangeError(`${name} unpacks to more than ${most / 1e6} MB`);
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever asked may not want the rest
  }
}

/**
 * The bytes of a stream, of which there may not be more than `most`.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} stream
 * @param {number} most
 * @param {string} name
 */
export async function bytesOf(stream, most, name) {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const pieces = [];
  for await (const piece of piecesOf(stream, most, name)) pieces.push(piece);
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

/**
 * The bytes of a file as they come, unzipped if its name says that it is zipped; not more than it may have. A piece is
 * there until the next is asked for.
 * @param {DataFile} file
 */
export async function* unzipped({ name, blob }) {
  if (!name.endsWith('.gz')) {
    yield* inOnePlace(blob);
    return;
  }
  try {
    yield* piecesOf(blob.stream().pipeThrough(new DecompressionStream('gzip')), AT_MOST, name);
  } catch (error) {
    throw error instanceof RangeError ? error : new Error(`${name} is no gzip file, or is cut short`);
  }
}

/**
 * The bytes of a blob, read into one and the same memory where the browser can: it is slow to collect others.
 * @param {Blob} blob
 */
async function* inOnePlace(blob) {
  let reader;
  try {
    reader = blob.stream().getReader({ mode: 'byob' });
  } catch {
    yield* piecesOf(blob.stream(), Infinity, '');
    return;
  }
  try {
    for (let memory = new ArrayBuffer(1 << 20); ; ) {
      const { done, value } = await reader.read(new Uint8Array(memory));
      if (done) return;
      yield value;
      memory = value.buffer;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Decodes a picture.
 * @param {Blob} blob
 * @param {string} name
 */
export async function decoded(blob, name) {
  if (blob.size > 64e6) throw new Error(`${name} has ${(blob.size / 1e6).toFixed(0)} MB; at most 64 MB are taken`);
  try {
    return await createImageBitmap(blob);
  } catch {
    throw new Error(`${name} is no image that this browser can read`);
  }
}

/**
 * The pixels of a picture, whose longer side is made `most` pixels if it has more.
 * @param {ImageBitmap | HTMLVideoElement | HTMLCanvasElement} picture
 * @param {number} most
 */
export function pixelsOf(picture, most) {
  const [wide, high] =
    picture instanceof HTMLVideoElement ? [picture.videoWidth, picture.videoHeight] : [picture.width, picture.height];
  const scale = Math.min(1, most / Math.max(wide, high));
  const [width, height] = [wide, high].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext('2d'));
  context.drawImage(picture, 0, 0, width, height);
  return { rgba: context.getImageData(0, 0, width, height).data.buffer, width, height };
}

/**
 * The files of what was dropped or chosen, folders included, each with its path.
 * @param {DataTransfer} transfer
 * @returns {Promise<{ file: File, path: string }[]>}
 */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) {
    return [...transfer.files].map((file) => ({ file, path: file.name }));
  }
  const found = await Promise.all(entries.map((entry) => (entry ? within(entry) : [])));
  return found.flat();
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<{ file: File, path: string }[]>}
 */
async function within(entry) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => /** @type {FileSystemFileEntry} */ (entry).file(done, failed));
    return [{ file, path: entry.fullPath.slice(1) }];
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {{ file: File, path: string }[]} */
  const files = [];
  for (;;) {
    // a reader hands out some hundred at a time
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return files;
    for (const entry of some) files.push(...(await within(entry)));
  }
}
