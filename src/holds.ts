/**
 * Shared ownership, where Rust has `Arc`.
 *
 * @module
 */
import { MemoryClosed } from "./volatile_memory_error.ts";

/**
 * Counts who holds a resource, and lets it go with the last of them.
 *
 * Whoever makes the resource holds it, until it is handed to a first holder or closed: so a region
 * put in a map lives as long as the maps that contain it, and one that was never put anywhere lives
 * until `close()`.
 *
 * @example
 * ```ts
 * import { Holds } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * let released = 0;
 * const holds = new Holds("region", () => released++);
 * holds.retain();
 * holds.retain();
 * holds.close(); // Nothing to do: the maker's hold passed on at the first retain().
 * holds.release();
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
   * Adds a holder. The maker's own hold, if there still is one, passes to it.
   *
   * @throws {MemoryClosed} The resource is gone.
   */
  retain(): void {
    if (this.#released) throw new MemoryClosed(this.#what);
    this.#holders++;
    this.#heldByMaker = false;
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

  /** Ends the maker's hold. Closing again does nothing. */
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
