/**
 * Finds the region of an address.
 *
 * @module
 */

/** A range of addresses. */
interface Range {
  readonly startAddr: number;
  readonly len: number;
}

/**
 * Finds regions by address, in the time of two array reads, whatever their number.
 *
 * The range from the first region to the last is divided into equal buckets of a power of two, four
 * for each region. A table has, for each bucket, the first region that ends beyond its start. That
 * is a guess, which is checked; a binary search follows if it is wrong. For regions of similar
 * sizes, as guests have them, the guess is right.
 *
 * @typeParam R The kind of region.
 */
export class RegionIndex<R extends Range> {
  readonly #regions: readonly R[];
  readonly #buckets: readonly (R | undefined)[];
  readonly #base: number;
  readonly #bucketsPerByte: number;

  /** @param regions The regions, sorted and without overlaps. */
  constructor(regions: readonly R[]) {
    const last = regions.at(-1);
    this.#regions = regions;
    this.#base = regions[0]?.startAddr ?? 0;
    const span = last === undefined ? 0 : last.startAddr - this.#base + last.len;
    // A power of two divides exactly.
    const exponent = Math.ceil(Math.log2(Math.max(span / (regions.length * 4 || 1), 1)));
    const bucketSize = 2 ** exponent;
    this.#bucketsPerByte = 1 / bucketSize;
    const base = this.#base;
    let first = 0;
    this.#buckets = Array.from({ length: Math.ceil(span / bucketSize) }, (_, bucket) => {
      const start = base + bucket * bucketSize;
      while (first < regions.length - 1 && endOf(regions[first]!) <= start) first++;
      return regions[first];
    });
  }

  /**
   * The region that contains an address.
   *
   * @returns The region, or `undefined` in a hole.
   */
  find(address: number): R | undefined {
    const region = this.guess(address);
    if (region !== undefined) {
      const offset = address - region.startAddr;
      if (offset >= 0 && offset < region.len) return region;
    }
    return this.#search(address);
  }

  /**
   * The region that most likely contains an address. If it does not, it begins above the address,
   * or ends at or below it. For an address outside of all regions the result is any region, or
   * `undefined`.
   */
  guess(address: number): R | undefined {
    return this.#buckets[(address - this.#base) * this.#bucketsPerByte | 0];
  }

  // The last region that starts at or below the address, if it contains the address.
  #search(address: number): R | undefined {
    const regions = this.#regions;
    let low = 0;
    let high = regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (regions[middle]!.startAddr <= address) low = middle + 1;
      else high = middle;
    }
    const region = regions[low - 1];
    return region !== undefined && address - region.startAddr < region.len ? region : undefined;
  }
}

function endOf({ startAddr, len }: Range): number {
  return startAddr + len;
}
