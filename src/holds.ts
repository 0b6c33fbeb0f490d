/**
 * Shared ownership, where Rust has `Arc`.
 *
 * @module
 */
import { MemoryClosed } from "./volatile_memory_error.ts";

/**
 * Counts who holds a resource, and lets it go with the last of them.
 *
 * Whoever makes the resource holds it until `close()`; other holders come and go. A holder that takes
 * the resource over, as a map does with a region, ends the maker's hold itself.
 *
 * @example
 * ```ts
 * import { Holds } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * let released = 0;
 * const holds = new Holds("region", () => released++);
 * holds.retain();
 * holds.close(); // The maker lets go: there still is a holder.
 * assertEquals(released, 0);
 * holds.release();
 * assertEquals(released, 1);
 * ```
 */
export class Holds {
  #holders = 0;
  #heldByMaker = true;
  #released = false;
  readonly #what: string;
  readonly #onRelease: () => void;

  /**
   * Begins with the hold of whoever calls.
   *
   * @param what What is held, for the error message.
   * @param onRelease Called once, when the last holder is gone.
   */
  constructor(what: string, onRelease: () => void) {
    this.#what = what;
    this.#onRelease = onRelease;
  }

  /** Whether the resource is gone. */
  get released(): boolean {
    return this.#released;
  }

  /**
   * Adds a holder.
   *
   * @throws {MemoryClosed} The resource is gone.
   */
  retain(): void {
    if (this.#released) throw new MemoryClosed(this.#what);
    this.#holders++;
  }

  /** Removes a holder; the resource goes with the last. */
  release(): void {
    if (this.#holders === 0) return;
    this.#holders--;
    this.#settle();
  }

  /** Gives the resource back to whoever calls, who then closes it. */
  handBack(): void {
    if (this.#released) throw new MemoryClosed(this.#what);
    this.#heldByMaker = true;
  }

  /** Ends the maker's hold: the resource goes if there is no other. Closing again does nothing. */
  close(): void {
    this.#heldByMaker = false;
    this.#settle();
  }

  #settle(): void {
    if (this.#holders > 0 || this.#heldByMaker || this.#released) return;
    this.#released = true;
    this.#onRelease();
  }
}
