/**
 * The buffers of a descriptor chain.
 *
 * @module
 */
import type { QueueMemory } from "./queue_memory.ts";

/**
 * The buffers of one chain, in order: first those to read, then those to write. Used again for
 * another chain when this one was given back, as making the arrays takes longer than reading a
 * chain.
 */
export class Segments {
  /** The memory that they are in. */
  readonly source: QueueMemory;
  /** The chain's first descriptor. */
  head = 0;
  /** Which chain it is of all that had this object. */
  generation = 0;
  /**
   * Four words for each: the guest address, low half first, the bytes (at least 1), and nothing. As
   * integers, because addresses in a Float64Array take V8 2 ns each to make integers of them again.
   */
  words: Uint32Array = new Uint32Array(4 * 4);
  /** How many are to be read. */
  readableCount = 0;
  /** Their bytes. */
  readableBytes = 0;
  /** Bytes of the others. */
  writableBytes = 0;

  /** @param source The memory that the buffers will be in. */
  constructor(source: QueueMemory) {
    this.source = source;
  }

  /** Makes room for one more. */
  grow(): void {
    const { words } = this;
    this.words = new Uint32Array(words.length * 2);
    this.words.set(words);
  }
}
