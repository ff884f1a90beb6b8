// Tar archives, read as they stream by. The layout is that of POSIX's ustar, with the longer names of GNU and of pax.

/** @typedef {AsyncGenerator<Uint8Array<ArrayBuffer>, void, void>} Pieces */
/** A file in an archive: its bytes as they come. @typedef {{ name: string, length: number, pieces: Pieces }} Member */

const BLOCK = 512;
/** Where a header has the name, the length, the checksum and the kind of what follows. */
const [NAME, LENGTH, SUM, KIND] = [
  [0, 100],
  [124, 136],
  [148, 156],
  [156, 157],
];
/** Kinds: files, and longer names for the file that follows. */
const [FILES, GNU_NAME, PAX] = [['', '0'], 'L', 'x'];
/** The most bytes of a longer name. */
const LONGEST = 1 << 16;

/**
 * The files in an archive, one after the other, without their folders. The pieces of one are there until the next file
 * is asked for.
 * @param {Pieces} archive
 * @param {string} called the name of the archive, for errors
 * @returns {AsyncGenerator<Member, void, void>}
 */
export async function* inTar(archive, called) {
  const source = new Source(archive, called);
  let longer = '';
  try {
    for (let first = true; ; first = false) {
      if (!first && (await source.isAtEnd())) return; // without the empty blocks that should be there
      const header = await source.bytes(BLOCK);
      if (header.every((byte) => byte === 0)) break;
      const text = (/** @type {number[]} */ [from, to]) => textOf(header.subarray(from, to));
      // The checksum counts its own place as spaces.
      const sum = header.reduce((sum, byte, at) => sum + (at >= SUM[0] && at < SUM[1] ? 32 : byte), 0);
      if (sum !== parseInt(text(SUM), 8) || !/^[0-7]+$/.test(text(LENGTH))) throw source.broken();
      const [kind, length] = [text(KIND), parseInt(text(LENGTH), 8)];
      let left = length;
      const pieces = async function* () {
        while (left > 0) {
          const piece = await source.some(left);
          left -= piece.length;
          yield piece;
        }
      };
      if (kind === GNU_NAME || kind === PAX) {
        if (length > LONGEST) throw source.broken();
        const name = textOf(await source.bytes(length));
        left = 0;
        longer = kind === PAX ? (/^\d+ path=(.*)$/m.exec(name)?.[1] ?? longer) : name;
      } else if (FILES.includes(kind)) {
        yield { name: /** @type {string} */ ((longer || text(NAME)).split('/').pop()), length, pieces: pieces() };
        longer = '';
      }
      left += -length & (BLOCK - 1); // what follows is filled up to whole blocks
      for await (const _ of pieces());
    }
    for await (const _ of archive); // to its end, where a zipped one is checked
  } finally {
    await archive.return();
  }
}

/** @param {Uint8Array} bytes */
const textOf = (bytes) => new TextDecoder().decode(bytes).replace(/[\0 ]*$/, '');

/** The bytes of an archive, in the portions that one asks for. */
class Source {
  #left = new Uint8Array(0);
  /** @param {Pieces} archive @param {string} called */
  constructor(archive, called) {
    this.archive = archive;
    this.called = called;
  }

  /** Whether there are no more bytes. */
  async isAtEnd() {
    while (!this.#left.length) {
      const { done, value } = await this.archive.next();
      if (done) return true;
      this.#left = value;
    }
    return false;
  }

  /** The next bytes, at least one and at most so many. @param {number} most */
  async some(most) {
    if (await this.isAtEnd()) throw this.broken();
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
