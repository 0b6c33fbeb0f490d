/**
 * A host mapping and the one buffer over it.
 *
 * @module
 */
import { bufferAt, unmapMemory } from "../../ffi/memory.ts";
import { HostMemory } from "../host_memory.ts";
import type { Permissions } from "../permissions.ts";
import { MemoryClosed } from "../volatile_memory_error.ts";

/** Where a mapping lies in the host, and who holds it. */
export interface Mapping {
  /** The host address of byte 0. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  /** Whether the last holder unmaps it. */
  readonly owned: boolean;
  /** The number of threads, and of handles on their way to one, that hold it; one thread without. */
  holders?: Int32Array<SharedArrayBuffer> | undefined;
}

// Forgotten mappings. The key is the buffer: as long as any view of it lives, so does the buffer,
// so no live view ever points at memory that was unmapped here (rule 3).
const forgotten = new FinalizationRegistry<Mapping>(letGo);

/** Ends a hold of a mapping, and unmaps it with the last. */
export function letGo({ address, length, owned, holders }: Mapping): void {
  const last = holders === undefined || Atomics.sub(holders, 0, 1) === 1;
  if (owned && last) unmapMemory(address, length);
}

/** Host memory that was mapped. */
export class MappedMemory extends HostMemory {
  /** The host address of byte 0. Whoever hands it out calls `hostAddress` instead. */
  readonly address: number;
  readonly #mapping: Mapping;

  /**
   * Takes over a hold of a mapping.
   *
   * @param mapping Where it lies.
   * @param permissions What may be done with it.
   */
  constructor(mapping: Mapping, permissions: Permissions) {
    super(bufferAt(mapping.address, mapping.length), permissions);
    this.address = mapping.address;
    this.#mapping = mapping;
    forgotten.register(this.buffer, mapping, this);
  }

  /**
   * The host address of byte 0. From now on somebody may use the memory without a view of it, so it
   * stays mapped until it is closed.
   */
  override hostAddress(): bigint {
    if (this.closed) throw new MemoryClosed();
    forgotten.unregister(this);
    return BigInt(this.address);
  }

  /** Adds a hold for another thread, which takes it over with the mapping that is returned. */
  share(): Mapping {
    if (this.closed) throw new MemoryClosed();
    const mapping = this.#mapping;
    if (mapping.holders === undefined) {
      mapping.holders = new Int32Array(new SharedArrayBuffer(4));
      mapping.holders[0] = 1;
    }
    Atomics.add(mapping.holders, 0, 1);
    return mapping;
  }

  /** Empties every view of the memory, then unmaps it if nobody else holds it. */
  override close(): void {
    if (this.closed) return;
    super.close();
    const buffer = this.buffer as ArrayBuffer;
    forgotten.unregister(this);
    if (buffer.detached) {
      throw new TypeError("Cannot unmap memory: its buffer was transferred, so views may be alive");
    }
    buffer.transfer(0);
    letGo(this.#mapping);
  }
}
