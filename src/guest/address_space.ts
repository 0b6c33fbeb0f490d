/**
 * Guest memory whose map of regions changes while it is used.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode GuestAddressSpace} | where a device gets the current map from |
 * | {@linkcode GuestMemoryAtomic} | a map that can be replaced |
 * | {@linkcode GuestMemoryLoadGuard} | a snapshot of the map |
 * | {@linkcode GuestMemoryExclusiveGuard} | the right to replace it |
 *
 * @module
 */
import { AddressSpaceLocked } from "../error/guest_memory_error.ts";
import { MemoryClosed } from "../error/volatile_memory_error.ts";
import type { GuestMemory } from "./guest_memory.ts";

/** Guest memory with a reference count: {@linkcode GuestRegionCollection}, or a custom one. */
export interface SharedGuestMemory extends GuestMemory {
  /** Adds a reference. */
  retain(): void;
  /** Removes a reference; the memory is closed with the last. */
  release(): void;
  /** Ends the creator's reference. */
  close(): void;
}

/**
 * Where a device gets the guest's memory for each piece of work. Mirrors the trait
 * `GuestAddressSpace`. A {@linkcode GuestRegionCollection} is one too, whose map never changes.
 *
 * @typeParam M The kind of memory.
 */
export interface GuestAddressSpace<M extends SharedGuestMemory = SharedGuestMemory> {
  /** The memory as it is now. Close the guard after use. */
  memory(): GuestMemoryLoadGuard<M>;
}

/**
 * Guest memory as it was at one moment: it stays valid, and mapped, until the guard is closed.
 * Mirrors `GuestMemoryLoadGuard`.
 *
 * @typeParam M The kind of memory.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryAtomic, GuestMemoryHeap, u32 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using space = new GuestMemoryAtomic(GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]));
 * {
 *   // One for each piece of work: it keeps the map that it began with.
 *   using guard = space.memory();
 *   guard.memory.writeObj(u32, 7, GuestAddress(0x10));
 *   assertEquals(guard.memory.readObj(u32, GuestAddress(0x10)), 7);
 * }
 * ```
 */
export class GuestMemoryLoadGuard<M extends SharedGuestMemory = SharedGuestMemory>
  implements Disposable {
  /** The memory. */
  readonly memory: M;
  #closed = false;

  /**
   * Adds a reference to a memory.
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

  /** Releases the memory. Closing again does nothing. */
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
 * Guest memory whose map can be replaced while it is in use. Memory is plugged in by publishing a
 * map with one more region, and unplugged by publishing one without it. Mirrors
 * `GuestMemoryAtomic`.
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
  // Settled when the lock is free again; the next `lock()` waits for it.
  #free: Promise<void> = Promise.resolve();
  #locked = 0;
  #closed = false;

  /**
   * Publishes a first map, and becomes its owner.
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
   * Waits for the right to replace the map, and takes it. Readers never wait.
   *
   * @returns The right, to be closed after use.
   */
  async lock(): Promise<GuestMemoryExclusiveGuard<M>> {
    const before = this.#free;
    const { promise, resolve } = deferred();
    this.#free = promise;
    this.#locked++;
    await before;
    return this.#guard(resolve);
  }

  /**
   * Takes the right to replace the map if it is free.
   *
   * @returns The right, or `undefined`.
   */
  tryLock(): GuestMemoryExclusiveGuard<M> | undefined {
    return this.#locked > 0 ? undefined : this.#take();
  }

  /**
   * Takes the right to replace the map, for code that cannot await: a device's own thread, which
   * changes its memory when the front end says so. Mirrors `lock`, which blocks there.
   *
   * @returns The right, to be closed after use.
   * @throws {AddressSpaceLocked} Somebody has it, or waits for it.
   *
   * @example
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
   * {
   *   using exclusive = space.lockSync();
   *   const region = new GuestRegionHeap(GuestAddress(0x1000), 0x1000);
   *   exclusive.replace(exclusive.memory.insertRegion(region));
   * }
   * using after = space.memory();
   * assertEquals(after.memory.numRegions, 2);
   * ```
   */
  lockSync(): GuestMemoryExclusiveGuard<M> {
    if (this.#locked > 0) throw new AddressSpaceLocked(this.#locked - 1);
    return this.#take();
  }

  /** Releases the current map. Open guards keep theirs. Closing again does nothing. */
  close(): void {
    this.#closed = true;
    this.#current.close();
  }

  /** The same as {@linkcode GuestMemoryAtomic.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  // Takes the lock, which is free.
  #take(): GuestMemoryExclusiveGuard<M> {
    const { promise, resolve } = deferred();
    this.#free = promise;
    this.#locked++;
    return this.#guard(resolve);
  }

  #guard(unlock: () => void): GuestMemoryExclusiveGuard<M> {
    return new GuestMemoryExclusiveGuard(this.#current.memory, (replacement) => {
      if (replacement !== undefined) {
        if (this.#closed) throw new MemoryClosed("address space");
        const previous = this.#current;
        this.#current = takeOver(replacement);
        if (this.#closed) this.#current.close();
        previous.close();
      }
      this.#locked--;
      unlock();
    });
  }
}

// A guard that owns the memory in place of its creator.
function takeOver<M extends SharedGuestMemory>(memory: M): GuestMemoryLoadGuard<M> {
  const guard = new GuestMemoryLoadGuard(memory);
  try {
    memory.close();
    return guard;
  } catch (error) {
    guard.close();
    throw error;
  }
}

/**
 * The right to replace the map of a {@linkcode GuestMemoryAtomic}. Mirrors
 * `GuestMemoryExclusiveGuard`.
 *
 * @typeParam M The kind of memory.
 *
 * @example Unplugging memory
 * ```ts
 * import { GuestAddress, GuestMemoryAtomic, GuestMemoryHeap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const both = [[GuestAddress(0), 0x1000], [GuestAddress(0x1000), 0x1000]] as const;
 * using space = new GuestMemoryAtomic(GuestMemoryHeap.fromRanges(both));
 * {
 *   using exclusive = await space.lock();
 *   const [rest, region] = exclusive.memory.removeRegion(GuestAddress(0x1000), 0x1000);
 *   exclusive.replace(rest);
 *   region.release();
 * }
 * using guard = space.memory();
 * assertEquals(guard.memory.numRegions, 1);
 * ```
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
   * @param end Gets the replacement, or `undefined`, and unlocks.
   */
  constructor(memory: M, end: (replacement: M | undefined) => void) {
    this.memory = memory;
    this.#end = end;
  }

  /**
   * Publishes another map and gives the right back. The old map is closed when the last guard of it
   * is.
   *
   * @param memory The new map. The address space becomes its owner.
   * @throws {TypeError} The right was given back already.
   */
  replace(memory: M): void {
    if (this.#end === undefined) {
      throw new TypeError("Cannot replace guest memory: the lock was given back");
    }
    // Given back first: a custom memory's code may call this again.
    const end = this.#end;
    this.#end = undefined;
    try {
      end(memory);
    } catch (error) {
      this.#end = end;
      throw error;
    }
  }

  /** Gives the right back without a change. Closing again does nothing. */
  close(): void {
    const end = this.#end;
    this.#end = undefined;
    end?.(undefined);
  }

  /** The same as {@linkcode GuestMemoryExclusiveGuard.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

// Promise.withResolvers, which Node.js 20 does not have.
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((settle) => resolve = settle);
  return { promise, resolve };
}
