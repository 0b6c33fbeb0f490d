/**
 * The memory that a virtqueue works on.
 *
 * @module
 */
import { MemoryClosed } from "../error/volatile_memory_error.ts";
import type { GuestAddressSpace, GuestMemoryLoadGuard } from "../guest/address_space.ts";
import type { IoMemory } from "../guest/io_memory.ts";

/** A memory, or the map of an address space as it was at one moment. */
export class QueueMemory {
  readonly #space: GuestAddressSpace | undefined;
  #guard: GuestMemoryLoadGuard | undefined;
  #memory: IoMemory | undefined;

  /**
   * Takes the map of an address space, and keeps it open.
   *
   * @param source The address space, or a memory that is no address space.
   */
  constructor(source: IoMemory | GuestAddressSpace) {
    if (isAddressSpace(source)) {
      this.#space = source;
      this.#guard = source.memory();
      this.#memory = this.#guard.memory;
    } else {
      this.#memory = source;
    }
  }

  /**
   * The memory.
   *
   * @throws {MemoryClosed} The queue is closed.
   */
  get memory(): IoMemory {
    return this.#memory ?? this.#refuse();
  }

  /**
   * Takes the newest map of the address space.
   *
   * @param accept Is called with it before it is used. If it throws, the old map stays.
   */
  refresh(accept: (memory: IoMemory) => void): void {
    const guard = this.#space?.memory();
    const memory = guard?.memory ?? this.memory;
    try {
      if (this.#memory === undefined) this.#refuse();
      accept(memory);
    } catch (error) {
      guard?.close();
      throw error;
    }
    const before = this.#guard;
    this.#guard = guard;
    this.#memory = memory;
    before?.close();
  }

  /** Lets the map go. */
  close(): void {
    this.#memory = undefined;
    const guard = this.#guard;
    this.#guard = undefined;
    guard?.close();
  }

  #refuse(): never {
    throw new MemoryClosed("virtqueue");
  }
}

function isAddressSpace(source: IoMemory | GuestAddressSpace): source is GuestAddressSpace {
  return typeof (source as Partial<GuestAddressSpace>).memory === "function";
}
