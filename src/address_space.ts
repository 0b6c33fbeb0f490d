/**
 * Guest memory whose map of regions changes while it is used.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode GuestAddressSpace} | where a device gets the current map from |
 * | {@linkcode GuestMemoryAtomic} | a map that can be replaced |
 * | {@linkcode GuestMemoryLoadGuard} | the map as it was when it was asked for |
 * | {@linkcode GuestMemoryExclusiveGuard} | the right to replace it |
 *
 * @module
 */
import { MemoryClosed } from "./volatile_memory_error.ts";
import type { GuestMemory } from "./guest_memory.ts";

/** Guest memory that counts its holders: {@linkcode GuestRegionCollection}, or one of your own. */
export interface SharedGuestMemory extends GuestMemory {
  /** Adds a holder. */
  retain(): void;
  /** Removes a holder; the memory is closed with the last. */
  release(): void;
  /** Ends the hold of whoever made the memory. */
  close(): void;
}

/**
 * Where a device gets the guest's memory from, each time it works on something. Mirrors the trait
 * `GuestAddressSpace`. A {@linkcode GuestRegionCollection} is one too, whose map never changes.
 *
 * @typeParam M The kind of memory.
 */
export interface GuestAddressSpace<M extends SharedGuestMemory = SharedGuestMemory> {
  /** The memory as it is now, to be let go of after use. */
  memory(): GuestMemoryLoadGuard<M>;
}

/**
 * Guest memory as it was at one moment: it stays valid, and mapped, until the guard is closed.
 * Mirrors `GuestMemoryLoadGuard`.
 *
 * @typeParam M The kind of memory.
 */
export class GuestMemoryLoadGuard<M extends SharedGuestMemory = SharedGuestMemory>
  implements Disposable {
  /** The memory. */
  readonly memory: M;
  #closed = false;

  /**
   * Holds a memory.
   *
   * @param memory The memory.
   */
  constructor(memory: M) {
    memory.retain();
    this.memory = memory;
  }

  /** Another guard of the same memory, to be closed by itself. */
  clone(): GuestMemoryLoadGuard<M> {
    return new GuestMemoryLoadGuard(this.memory);
  }

  /** Lets go of the memory. Closing again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.memory.release();
  }

  /** The same as {@linkcode GuestMemoryLoadGuard.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Guest memory whose map can be replaced while others use it: memory is plugged in by publishing a
 * map with one more region, and unplugged by publishing one without. Mirrors `GuestMemoryAtomic`.
 *
 * @typeParam M The kind of memory.
 *
 * @example Plugging memory in
 * ```ts
 * import {
 *   GuestAddress,
 *   GuestMemoryAtomic,
 *   GuestMemoryHeap,
 *   GuestRegionHeap,
 * } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using space = new GuestMemoryAtomic(GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]));
 * using before = space.memory();
 * {
 *   using exclusive = await space.lock();
 *   const region = new GuestRegionHeap(GuestAddress(0x1000), 0x1000);
 *   exclusive.replace(exclusive.memory.insertRegion(region));
 * }
 * using after = space.memory();
 * assertEquals([before.memory.numRegions, after.memory.numRegions], [1, 2]);
 * ```
 */
export class GuestMemoryAtomic<M extends SharedGuestMemory = SharedGuestMemory>
  implements GuestAddressSpace<M>, Disposable {
  #current: GuestMemoryLoadGuard<M>;
  // Settled when the lock is free again; whoever wants it next waits for it.
  #free: Promise<void> = Promise.resolve();
  #locked = 0;
  #closed = false;

  /**
   * Publishes a first map, and becomes its holder.
   *
   * @param memory The memory.
   */
  constructor(memory: M) {
    this.#current = takeOver(memory);
  }

  /** The memory as it is now. It stays valid until the guard is closed. */
  memory(): GuestMemoryLoadGuard<M> {
    return this.#current.clone();
  }

  /**
   * Waits until nobody else has the right to replace the map, and takes it. Readers never wait.
   *
   * @returns The right, to be closed after use.
   */
  async lock(): Promise<GuestMemoryExclusiveGuard<M>> {
    const before = this.#free;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#free = promise;
    this.#locked++;
    await before;
    return this.#guard(resolve);
  }

  /**
   * Takes the right to replace the map if nobody has it.
   *
   * @returns The right, or `undefined`.
   */
  tryLock(): GuestMemoryExclusiveGuard<M> | undefined {
    if (this.#locked > 0) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#free = promise;
    this.#locked++;
    return this.#guard(resolve);
  }

  /** Lets go of the current map. Guards that are open keep theirs. Closing again does nothing. */
  close(): void {
    this.#closed = true;
    this.#current.close();
  }

  /** The same as {@linkcode GuestMemoryAtomic.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  #guard(unlock: () => void): GuestMemoryExclusiveGuard<M> {
    return new GuestMemoryExclusiveGuard(this.#current.memory, (replacement) => {
      if (replacement !== undefined) {
        if (this.#closed) throw new MemoryClosed("address space");
        const next = takeOver(replacement);
        this.#current.close();
        this.#current = next;
      }
      this.#locked--;
      unlock();
    });
  }
}

// A guard that holds the memory in place of whoever made it.
function takeOver<M extends SharedGuestMemory>(memory: M): GuestMemoryLoadGuard<M> {
  const guard = new GuestMemoryLoadGuard(memory);
  memory.close();
  return guard;
}

/**
 * The right to replace the map of a {@linkcode GuestMemoryAtomic}. Mirrors
 * `GuestMemoryExclusiveGuard`.
 *
 * @typeParam M The kind of memory.
 */
export class GuestMemoryExclusiveGuard<M extends SharedGuestMemory = SharedGuestMemory>
  implements Disposable {
  /** The map to replace. */
  readonly memory: M;
  #end: ((replacement: M | undefined) => void) | undefined;

  /**
   * Made by {@linkcode GuestMemoryAtomic.lock}.
   *
   * @param memory The map to replace.
   * @param end Is given the replacement, or `undefined`, and unlocks.
   */
  constructor(memory: M, end: (replacement: M | undefined) => void) {
    this.memory = memory;
    this.#end = end;
  }

  /**
   * Publishes another map and gives the right back. The old map is closed when the last guard of it
   * is.
   *
   * @param memory The new map; it is held from now on.
   * @throws {TypeError} The right was given back already.
   */
  replace(memory: M): void {
    if (this.#end === undefined) {
      throw new TypeError("Cannot replace guest memory: the lock was given back");
    }
    const end = this.#end;
    end(memory);
    this.#end = undefined;
  }

  /** Gives the right back without a change. Closing again does nothing. */
  close(): void {
    this.#end?.(undefined);
    this.#end = undefined;
  }

  /** The same as {@linkcode GuestMemoryExclusiveGuard.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
