/**
 * The operations on a bitmap.
 *
 * @module
 */
import { AtomicBitmap } from "@vmm/guest-memory";
import { failure, outcomeOf } from "./outcome.ts";
import type { Player } from "./player.ts";
import { type Json, type JsonObject, listOf, numberOf, type Operation } from "./trace.ts";
import { pageRuns, wordRuns } from "./world.ts";

type BitmapOperation = (bitmap: AtomicBitmap, args: readonly Json[]) => Json | void;

/** Plays a layout of the kind `bitmap`. */
export class BitmapPlayer implements Player {
  readonly #bitmap: AtomicBitmap;

  /** Sets the layout up. */
  constructor(setup: JsonObject) {
    this.#bitmap = new AtomicBitmap(numberOf(setup["byteSize"]), numberOf(setup["page"]));
  }

  /** Performs an operation. */
  play({ name, args }: Operation): JsonObject {
    const operation = OPERATIONS[name];
    if (operation === undefined) return failure(new TypeError(`there is no operation ${name}`));
    return outcomeOf(() => operation(this.#bitmap, args));
  }

  /** Dirty pages. */
  dirty(): Json {
    return this.#bitmap.dirtyPages;
  }

  /** The dirty pages themselves. */
  end(): JsonObject {
    return { dirty: [pageRuns(this.#bitmap)] };
  }

  /** Nothing has to be closed. */
  [Symbol.dispose](): void {}
}

const OPERATIONS: Readonly<Record<string, BitmapOperation>> = {
  "b.set_addr_range": (bitmap, [start, length]) =>
    bitmap.setAddrRange(numberOf(start), numberOf(length)),
  "b.reset_addr_range": (bitmap, [start, length]) =>
    bitmap.resetAddrRange(numberOf(start), numberOf(length)),
  "b.mark_dirty": (bitmap, [start, length]) => bitmap.markDirty(numberOf(start), numberOf(length)),
  "b.set_bit": (bitmap, [page]) => bitmap.setBit(numberOf(page)),
  "b.reset_bit": (bitmap, [page]) => bitmap.resetBit(numberOf(page)),
  "b.is_bit_set": (bitmap, [page]) => bitmap.isBitSet(numberOf(page)),
  "b.is_addr_set": (bitmap, [offset]) => bitmap.isAddrSet(numberOf(offset)),
  "b.dirty_at": (bitmap, [offset]) => bitmap.dirtyAt(numberOf(offset)),
  "b.enlarge": (bitmap, [bytes]) => bitmap.enlarge(numberOf(bytes)),
  "b.reset": (bitmap) => bitmap.reset(),
  "b.len": (bitmap) => bitmap.len,
  "b.byte_size": (bitmap) => bitmap.byteSize,
  "b.get_and_reset": (bitmap) => wordRuns(bitmap.getAndReset()),
  "b.slice_mark_dirty": (bitmap, [offsets, start, length]) =>
    slicedAt(bitmap, offsets).markDirty(numberOf(start), numberOf(length)),
  "b.slice_dirty_at": (bitmap, [offsets, start]) =>
    slicedAt(bitmap, offsets).dirtyAt(numberOf(start)),
  "b.clone_set_bit": (bitmap, [page]) => {
    const clone = new AtomicBitmap(bitmap.byteSize, bitmap.pageSize);
    clone.merge(bitmap);
    clone.setBit(numberOf(page));
    return [clone.isBitSet(numberOf(page)), bitmap.isBitSet(numberOf(page))];
  },
  dirty: (bitmap) => [pageRuns(bitmap)],
};

function slicedAt(
  bitmap: AtomicBitmap,
  offsets: Json | undefined,
): ReturnType<AtomicBitmap["sliceAt"]> {
  const [first, ...rest] = listOf(offsets).map(numberOf);
  return rest.reduce((slice, offset) => slice.sliceAt(offset), bitmap.sliceAt(first!));
}
