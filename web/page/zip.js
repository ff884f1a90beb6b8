// Zip files: read within limits, and written without compression, since pictures are compressed already.
// The layout is that of PKWARE's APPNOTE 6.3; without its 64-bit forms and encryption.
import { bytesOf } from './files.js';

const LOCAL = 0x04034b50,
  CENTRAL = 0x02014b50,
  END = 0x06054b50;
const [STORED, DEFLATED] = [0, 8];
/** Names are UTF-8. */
const UTF8 = 0x800;

/** @typedef {{ name: string, blob: Blob }} Entry */

/**
 * The files in a zip file, folders left out.
 * @param {Blob} zip
 * @param {string} called the name of the zip file, for errors
 * @param {number} most bytes of all files together
 * @returns {Promise<Entry[]>}
 */
export async function readZip(zip, called, most = 400e6) {
  const bytes = new Uint8Array(await zip.arrayBuffer());
  const view = new DataView(bytes.buffer);
  const broken = (/** @type {string} */ what) => new Error(`${called} is no zip file that can be read: ${what}`);
  let end = bytes.length - 22;
  while (end >= 0 && end > bytes.length - 66_000 && view.getUint32(end, true) !== END) end--;
  if (end < 0 || view.getUint32(end, true) !== END) throw broken('its table of contents is missing');
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true),
    left = most;
  /** @type {Entry[]} */
  const entries = [];
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes.length || view.getUint32(at, true) !== CENTRAL)
      throw broken(`entry ${i + 1} of ${count} is cut`);
    const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
    const [packed, plain] = [view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
    const lengths = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const local = view.getUint32(at + 42, true);
    const name = new TextDecoder(flags & UTF8 ? 'utf-8' : 'windows-1252').decode(
      bytes.subarray(at + 46, at + 46 + lengths[0]),
    );
    at += 46 + lengths[0] + lengths[1] + lengths[2];
    if (name.endsWith('/')) continue;
    if (flags & 1) throw broken(`${name} is encrypted`);
    if (local + 30 > bytes.length || view.getUint32(local, true) !== LOCAL) throw broken(`${name} is cut`);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    if (start + packed > bytes.length) throw broken(`${name} is cut`);
    left -= plain;
    if (left < 0) throw new Error(`${called} unpacks to more than ${most / 1e6} MB`);
    entries.push({ name, blob: await unpacked(bytes.slice(start, start + packed), method, plain, name, broken) });
  }
  return entries;
}

/**
 * @param {Uint8Array<ArrayBuffer>} packed
 * @param {number} method
 * @param {number} plain how many bytes come out
 * @param {string} name
 * @param {(what: string) => Error} broken
 */
async function unpacked(packed, method, plain, name, broken) {
  if (method === STORED) return new Blob([packed]);
  if (method !== DEFLATED) throw broken(`${name} is packed in a way (${method}) that is not known here`);
  try {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
    return new Blob([await bytesOf(stream, plain, name)]);
  } catch {
    throw broken(`${name} cannot be unpacked`);
  }
}

/**
 * A zip file.
 * @param {Entry[]} entries
 */
export async function writeZip(entries) {
  /** @type {BlobPart[]} */
  const files = [];
  /** @type {BlobPart[]} */
  const contents = [];
  let [offset, size] = [0, 0];
  for (const { name, blob } of entries) {
    const [text, bytes] = [new TextEncoder().encode(name), new Uint8Array(await blob.arrayBuffer())];
    // Version 2.0, names in UTF-8, stored, at the beginning of 1980; then checksum and both sizes.
    const common = [
      [2, 20],
      [2, UTF8],
      [2, STORED],
      [2, 0],
      [2, 0x21],
      [4, crc32(bytes)],
      [4, bytes.length],
      [4, bytes.length],
      [2, text.length],
    ];
    const local = numbers([[4, LOCAL], ...common, [2, 0]]);
    files.push(local, text, bytes);
    const central = numbers([[4, CENTRAL], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]);
    contents.push(central, text);
    offset += local.length + text.length + bytes.length;
    size += central.length + text.length;
  }
  const n = entries.length;
  const end = numbers([
    [4, END],
    [2, 0],
    [2, 0],
    [2, n],
    [2, n],
    [4, size],
    [4, offset],
    [2, 0],
  ]);
  return new Blob([...files, ...contents, end], { type: 'application/zip' });
}

/**
 * Numbers of two or four bytes, the lowest byte first.
 * @param {number[][]} pairs of size and value
 */
function numbers(pairs) {
  const bytes = pairs.flatMap(([size, value]) => Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 255));
  return new Uint8Array(bytes);
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** @param {Uint8Array} bytes */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
