// Tar archives, read as they stream by. The layout is that of POSIX's ustar; names of more than 100 bytes are cut.

/** @typedef {AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>} Pieces */
/** A file in an archive: its bytes as they come. @typedef {{ name: string, length: number, pieces: Pieces }} Member */

const BLOCK = 512;
/** Where a header has the name, the length, the checksum and the kind of a file. */
const [NAME, LENGTH, SUM, KIND] = [
  [0, 100],
  [124, 136],
  [148, 156],
  [156, 157],
];

/**
 * The files in an archive, one after the other, without their folders. The pieces of one must be asked for before the
 * next file.
 * @param {Pieces} archive
 * @param {string} called the name of the archive, for errors
 * @returns {AsyncGenerator<Member, void, void>}
 */
export async function* inTar(archive, called) {
  const source = new Source(archive, called);
  for (;;) {
    const header = await source.bytes(BLOCK);
    if (header.every((byte) => byte === 0)) return;
    const text = (/** @type {number[]} */ [from, to]) =>
      new TextDecoder().decode(header.subarray(from, to)).replace(/[\0 ]*$/, '');
    // The checksum counts its own place as spaces.
    const sum = header.reduce((sum, byte, at) => sum + (at >= SUM[0] && at < SUM[1] ? 32 : byte), 0);
    const length = parseInt(text(LENGTH), 8);
    if (sum !== parseInt(text(SUM), 8) || !Number.isSafeInteger(length)) throw source.broken();
    let left = length;
    const pieces = async function* () {
      while (left > 0) {
        const piece = await source.some(left);
        left -= piece.length;
        yield piece;
      }
    };
    if (['', '0'].includes(text(KIND))) {
      yield { name: /** @type {string} */ (text(NAME).split('/').pop()), length, pieces: pieces() };
    }
    left += -length & (BLOCK - 1); // files are filled up to whole blocks
    for await (const _ of pieces());
  }
}

/** The bytes of an archive, in the portions that one asks for. */
class Source {
  #left = new Uint8Array(0);
  /** @param {Pieces} archive @param {string} called */
  constructor(archive, called) {
    this.archive = archive;
    this.called = called;
  }

  /** The next bytes, at least one and at most so many. @param {number} most */
  async some(most) {
    while (!this.#left.length) {
      const { done, value } = await this.archive.next();
      if (done) throw this.broken();
      this.#left = value;
    }
    const some = this.#left.subarray(0, most);
    this.#left = this.#left.subarray(some.length);
    return some;
  }

  /** The next bytes, exactly so many. @param {number} count */
  async bytes(count) {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const some = await this.some(count - at);
      bytes.set(some, at);
      at += some.length;
    }
    return bytes;
  }

  broken = () => new Error(`${this.called} cannot be read to its end as an archive`);
}
