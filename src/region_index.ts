/**
 * Which of many sorted ranges holds an address.
 *
 * @module
 */
import { ADDRESS_SPACE_END } from "./address.ts";

/** A range of addresses. */
interface Range {
  readonly startAddr: number;
  readonly len: number;
}

/**
 * Finds ranges by address, in the time of a few array reads however many there are.
 *
 * The space they span is cut into equal buckets of a power of two. A table says for each bucket
 * which ranges begin before its start and before its end; only between those is searched. Ranges of
 * like sizes, as memory has them, leave at most one step.
 */
export class RegionIndex {
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  // For bucket b: at 2b the last range that starts at or before the bucket does, at 2b + 1 the last
  // that starts in it. -1 where there is none.
  readonly #table: Int32Array;
  readonly #base: number;
  readonly #bucketsPerByte: number;
  readonly #buckets: number;

  /** @param ranges The ranges, sorted and apart. */
  constructor(ranges: readonly Range[]) {
    const count = ranges.length;
    this.#starts = Float64Array.from(ranges, (range) => range.startAddr);
    this.#ends = Float64Array.from(ranges, (range) => range.startAddr + range.len);
    this.#base = count === 0 ? 0 : this.#starts[0]!;
    const span = count === 0 ? 0 : this.#ends[count - 1]! - this.#base;
    // Four buckets a range, so that most hold one start at the most; powers of two divide exactly.
    const exponent = Math.max(0, Math.ceil(Math.log2(span / (count * 4 || 1))));
    const bucketSize = 2 ** exponent;
    this.#bucketsPerByte = 1 / bucketSize;
    this.#buckets = Math.ceil(span / bucketSize);
    this.#table = new Int32Array(this.#buckets * 2);
    let next = 0;
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      const start = this.#base + bucket * bucketSize;
      const end = Math.min(start + bucketSize, ADDRESS_SPACE_END);
      while (next < count && this.#starts[next]! <= start) next++;
      this.#table[bucket * 2] = next - 1;
      while (next < count && this.#starts[next]! < end) next++;
      this.#table[bucket * 2 + 1] = next - 1;
    }
  }

  /**
   * The range that holds an address.
   *
   * @returns Its index, or -1.
   */
  find(address: number): number {
    const bucket = Math.floor((address - this.#base) * this.#bucketsPerByte);
    if (!(bucket >= 0 && bucket < this.#buckets)) return -1;
    let low = this.#table[bucket * 2]!;
    let high = this.#table[bucket * 2 + 1]!;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#starts[middle]! <= address) low = middle;
      else high = middle - 1;
    }
    return low >= 0 && address < this.#ends[low]! ? low : -1;
  }
}
