/**
 * A host mapping and the one buffer over it.
 *
 * @module
 */
import { bufferAt, unmapMemory } from "../../ffi/memory.ts";
import { HostMemory } from "../host_memory.ts";
import type { Permissions } from "../permissions.ts";
import { MemoryClosed } from "../volatile_memory_error.ts";

/** Where a mapping lies in the host. */
interface Mapping {
  readonly address: number;
  readonly length: number;
}

// Forgotten mappings. The key is the buffer: as long as any view of it lives, so does the buffer,
// so no live view ever points at memory that was unmapped here (rule 3).
const forgotten = new FinalizationRegistry<Mapping>(({ address, length }) =>
  unmapMemory(address, length)
);

/** Host memory that was mapped, and is unmapped when closed if it belongs to us. */
export class MappedMemory extends HostMemory {
  /** The host address of byte 0. Whoever hands it out calls `hostAddress` instead. */
  readonly address: number;
  readonly #owned: boolean;

  /**
   * @param mapping Where it lies.
   * @param permissions What may be done with it.
   * @param owned Whether closing it, or forgetting it, unmaps it.
   */
  constructor(mapping: Mapping, permissions: Permissions, owned: boolean) {
    super(bufferAt(mapping.address, mapping.length), permissions);
    this.address = mapping.address;
    this.#owned = owned;
    if (owned) forgotten.register(this.u8.buffer, mapping, this);
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

  /** Empties every view of the memory, then unmaps it. */
  override close(): void {
    if (this.closed) return;
    super.close();
    const buffer = this.u8.buffer as ArrayBuffer;
    const length = buffer.byteLength;
    forgotten.unregister(this);
    if (buffer.detached) {
      throw new TypeError("Cannot unmap memory: its buffer was transferred, so views may be alive");
    }
    buffer.transfer(0);
    if (this.#owned) unmapMemory(this.address, length);
  }
}
