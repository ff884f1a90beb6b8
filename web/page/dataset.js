// The files of a data set, given to a device as they are read: so their bytes are in memory once.
import { AT_MOST, unzipped } from './files.js';
import { inTar } from './tar.js';
import { words } from './words.js';

/** @typedef {import('./store.js').DataFile} DataFile */
/** @typedef {Pick<import('./protocol.js').Client, 'ask'>} Device */
/** @typedef {import('./tar.js').Pieces} Pieces */

/** @param {{ name: string }} file */
export const isData = ({ name }) => /(-ubyte|\.bin|\.tar)(\.gz)?$/.test(name);

/** Of an archive these are taken: CIFAR-10's. @param {string} name */
const isInArchive = (name) => /^(data_batch_[1-5]|test_batch)\.bin$/.test(name);

/** Bytes that go to the device at once. */
const PORTION = 1 << 20;

/**
 * The files, those in archives too, each with how many bytes it has and its bytes as they come; of those with one name
 * the first.
 * @param {DataFile[]} files
 * @returns {AsyncGenerator<{ name: string, length: () => Promise<number>, pieces: () => Pieces }, void, void>}
 */
async function* members(files) {
  const seen = new Set();
  const isNew = (/** @type {string} */ name) => !seen.has(name) && seen.add(name);
  for (const file of files) {
    const name = file.name.replace(/\.gz$/, '');
    if (!name.endsWith('.tar')) {
      if (isNew(name)) yield { name, length: () => lengthOf(file), pieces: () => unzipped(file) };
      continue;
    }
    let found = 0;
    for await (const { name: inside, length, pieces } of inTar(unzipped(file), name)) {
      if (!isInArchive(inside)) continue;
      found += 1;
      if (isNew(inside)) yield { name: inside, length: async () => length, pieces: () => pieces };
    }
    if (!found) throw new Error(words.files.noData(name));
  }
}

/** How many bytes a file has, unzipped. @param {DataFile} file */
async function lengthOf(file) {
  if (!file.name.endsWith('.gz')) return file.blob.size;
  let length = 0;
  for await (const piece of unzipped(file)) length += piece.length;
  return length;
}

/**
 * Gives a device the files of a data set, portion by portion. They are gone through twice, since it makes room for them
 * first.
 * @param {Device} device
 * @param {string} name what the data are called, if nobody knows them
 * @param {DataFile[]} files
 */
export async function sendFiles(device, name, files) {
  /** @type {[string, number][]} */
  const found = [];
  let all = 0;
  for await (const { name, length } of members(files)) {
    found.push([name, await length()]);
    all += found[found.length - 1][1];
    if (all > AT_MOST) throw new Error(words.files.tooMuch(AT_MOST / 1e6));
  }
  found.sort(([a], [b]) => (a < b ? -1 : 1)); // the order of the images does not depend on that of the files
  await device.ask('begin_files', [found.map(([name]) => name), found.map(([, length]) => length)]);
  let portion = new Uint8Array(PORTION); // one that goes to and fro: browsers are slow to collect others
  for await (const { name, pieces } of members(files)) {
    let filled = 0;
    const send = async () => {
      portion = await device.ask('add_bytes', [name, portion, filled], [portion.buffer]);
      filled = 0;
    };
    for await (let piece of pieces()) {
      while (piece.length) {
        const some = piece.subarray(0, PORTION - filled);
        portion.set(some, filled);
        filled += some.length;
        piece = piece.subarray(some.length);
        if (filled === PORTION) await send();
      }
    }
    if (filled) await send();
  }
  return device.ask('load_data', [name]);
}
