/**
 * Reference counts, where Rust has `Arc`.
 *
 * @module
 */
import { MemoryClosed } from "../error/volatile_memory_error.ts";

/**
 * Counts the references to a resource, and releases it with the last.
 *
 * The creator of the resource is its owner, and has a reference until `close()`. Others add and
 * remove references. A map that takes over a region ends the owner's reference.
 *
 * @example
 * ```ts
 * import { RefCount } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * let released = 0;
 * const references = new RefCount("region", () => released++);
 * references.retain();
 * references.close(); // Ends the owner's reference: one is left.
 * assertEquals(released, 0);
 * references.release();
 * assertEquals(released, 1);
 * ```
 */
export class RefCount {
  #count = 0;
  #hasOwner = true;
  #released = false;
  readonly #what: string;
  readonly #onRelease: () => void;

  /**
   * Begins with the owner's reference.
   *
   * @param what The resource, for the error message.
   * @param onRelease Called once, after the last reference.
   */
  constructor(what: string, onRelease: () => void) {
    this.#what = what;
    this.#onRelease = onRelease;
  }

  /** Whether the resource is released. */
  get released(): boolean {
    return this.#released;
  }

  /**
   * Adds a reference.
   *
   * @throws {MemoryClosed} The resource is released.
   */
  retain(): void {
    if (this.#released) throw new MemoryClosed(this.#what);
    this.#count++;
  }

  /** Removes a reference; the last one releases the resource. */
  release(): void {
    if (this.#count === 0) return;
    this.#count--;
    this.#settle();
  }

  /**
   * Makes the caller the owner, who closes the resource.
   *
   * @throws {MemoryClosed} The resource is released.
   */
  own(): void {
    if (this.#released) throw new MemoryClosed(this.#what);
    this.#hasOwner = true;
  }

  /** Ends the owner's reference: the resource is released if there is no other. Idempotent. */
  close(): void {
    this.#hasOwner = false;
    this.#settle();
  }

  #settle(): void {
    if (this.#count > 0 || this.#hasOwner || this.#released) return;
    this.#released = true;
    this.#onRelease();
  }
}
