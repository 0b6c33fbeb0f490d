/** The bytes of a region as the test sees them, and what they should be. */

/** Bytes of a region of every world. */
export const SIZE = 4096;

/** Some bytes of a region. */
export interface Span {
  readonly backing: Backing;
  /** Where in the region they begin. */
  readonly at: number;
  readonly length: number;
}

/** The bytes of a region with what is around them, seen without the library. */
export class Backing {
  readonly name: string;
  readonly #observe: () => Uint8Array | undefined;
  // Where the region begins in what is observed.
  readonly #begin: number;
  #before: Uint8Array;
  // Whether it could not be seen after the last call: what it holds is not known.
  #unseen = false;

  /**
   * @param name What it is.
   * @param begin Bytes around it, before.
   * @param observe All bytes, or `undefined` while they cannot be seen.
   */
  constructor(name: string, begin: number, observe: () => Uint8Array | undefined) {
    this.name = name;
    this.#begin = begin;
    this.#observe = observe;
    this.#before = observe()!.slice();
  }

  /** What a range of the region held before the call; `undefined` where that is not known. */
  old(at: number, length: number): Uint8Array | undefined {
    if (this.#unseen) return undefined;
    return this.#before.subarray(this.#begin + at, this.#begin + at + length);
  }

  /** The content of a range of the region now; `undefined` where it cannot be seen. */
  now(at: number, length: number): Uint8Array | undefined {
    const all = this.#observe();
    if (all === undefined || all.length !== this.#before.length) return undefined;
    return all.subarray(this.#begin + at, this.#begin + at + length);
  }

  /**
   * Compares all bytes with what they were, and takes them as they are from now on.
   *
   * @param allowed Ranges of the region that may have changed; `undefined` for everything.
   * @returns The first byte that should not have changed, by its offset in the region.
   */
  compare(allowed: readonly Span[] | undefined): number | undefined {
    const all = this.#observe();
    const before = this.#before;
    const wasUnseen = this.#unseen;
    this.#unseen = all === undefined || all.length !== before.length;
    if (all === undefined || this.#unseen) return undefined;
    if (wasUnseen) {
      before.set(all);
      return undefined;
    }
    const first = firstDifference(all, before);
    if (first === undefined) return undefined;
    let stray: number | undefined;
    for (let i = first; i < all.length && stray === undefined; i++) {
      const at = i - this.#begin;
      if (all[i] !== before[i] && allowed !== undefined && !isIn(allowed, this, at)) stray = at;
    }
    before.set(all);
    return stray;
  }
}

function isIn(spans: readonly Span[], backing: Backing, at: number): boolean {
  return spans.some((span) =>
    span.backing === backing && at >= span.at && at < span.at + span.length
  );
}

function firstDifference(a: Uint8Array, b: Uint8Array): number | undefined {
  const x = new Int32Array(a.buffer, a.byteOffset, a.length / 4);
  const y = new Int32Array(b.buffer, b.byteOffset, b.length / 4);
  for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return i * 4;
  return undefined;
}
