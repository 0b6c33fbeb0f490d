/**
 * Several bitmaps that record the same writes.
 *
 * @module
 */
import { checkNumber } from "../text/argument.ts";
import { type Bitmap, forAll } from "./bitmap.ts";

/**
 * A bitmap that passes every mark to several others, so that independent consumers (a snapshot, a
 * migration, a display) each have a bitmap to take and reset.
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
  // Replaced, never changed: a member may be added or removed while marks are passed on.
  #members: readonly Bitmap[];

  /**
   * Makes a group.
   *
   * @param members The bitmaps that get every mark.
   */
  constructor(members: Iterable<Bitmap> = []) {
    this.#members = [...members];
  }

  /** Adds a consumer, in every slice of this group too. It does not get the marks made before. */
  add(member: Bitmap): void {
    this.#members = [...this.#members, member];
  }

  /** Removes a consumer. */
  delete(member: Bitmap): void {
    const index = this.#members.indexOf(member);
    if (index >= 0) this.#members = this.#members.toSpliced(index, 1);
  }

  /**
   * Marks bytes dirty in every member, even if one of them throws.
   *
   * @throws The error of the first member that threw, after all were called.
   */
  markDirty(offset: number, length: number): void {
    forAll(this.#members, (member) => member.markDirty(offset, length));
  }

  /** Whether the byte at an offset is dirty in any member. */
  dirtyAt(offset: number): boolean {
    return this.#members.some((member) => member.dirtyAt(offset));
  }

  /** The group from an offset on. */
  sliceAt(offset: number): Bitmap {
    checkNumber("offset", offset);
    return {
      markDirty: (start, length) => this.markDirty(offset + start, length),
      dirtyAt: (start) => this.dirtyAt(offset + start),
      sliceAt: (start) => this.sliceAt(offset + start),
    };
  }
}
