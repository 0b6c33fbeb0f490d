/**
 * One stream of writes, several who want to know of them.
 *
 * @module
 */
import type { Bitmap } from "./bitmap.ts";

/**
 * A bitmap that passes every mark on to others, so that independent consumers (a snapshot, a
 * migration, a display) each take and reset their own.
 *
 * @example
 * ```ts
 * import { AtomicBitmap, BitmapGroup } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const snapshot = new AtomicBitmap(0x10000);
 * const display = new AtomicBitmap(0x10000);
 * const group = new BitmapGroup([snapshot, display]);
 * group.markDirty(0x1000, 1);
 * snapshot.reset();
 * assertEquals([snapshot.dirtyAt(0x1000), display.dirtyAt(0x1000)], [false, true]);
 * ```
 */
export class BitmapGroup implements Bitmap {
  readonly #members: Bitmap[];

  /**
   * Makes a group.
   *
   * @param members Who is told of every mark.
   */
  constructor(members: Iterable<Bitmap> = []) {
    this.#members = [...members];
  }

  /** Adds a consumer, in every slice of this group too. Marks made before are not told to it. */
  add(member: Bitmap): void {
    this.#members.push(member);
  }

  /** Removes a consumer. */
  delete(member: Bitmap): void {
    const index = this.#members.indexOf(member);
    if (index >= 0) this.#members.splice(index, 1);
  }

  /** Marks bytes dirty with every member. */
  markDirty(offset: number, length: number): void {
    for (const member of this.#members) member.markDirty(offset, length);
  }

  /** Whether the byte at an offset counts as written with any member. */
  dirtyAt(offset: number): boolean {
    return this.#members.some((member) => member.dirtyAt(offset));
  }

  /** The group from an offset on. */
  sliceAt(offset: number): Bitmap {
    return {
      markDirty: (start, length) => this.markDirty(offset + start, length),
      dirtyAt: (start) => this.dirtyAt(offset + start),
      sliceAt: (start) => this.sliceAt(offset + start),
    };
  }
}
