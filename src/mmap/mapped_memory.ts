/**
 * A host mapping and the buffers over it: its own, and those over the places where it meets others.
 *
 * @module
 */
import {
  bufferAt,
  COPY_LIMIT,
  copyFromMapping,
  copyToMapping,
  unmapMemory,
} from "../../ffi/memory.ts";
import { HostMemory, seamReach } from "../host_memory.ts";
import { Permissions } from "../permissions.ts";
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

// What the buffer of a seam lies over: as long as any view of it lives, so do they (rule 3).
const sewn = new WeakMap<ArrayBufferLike, Seam>();

/** Memory over the place where two mappings meet. They own the bytes; it only has a view. */
interface Seam {
  // No class of its own: V8 would tell the classes apart, and take longer for the accesses of both.
  readonly memory: MappedMemory;
  readonly first: MappedMemory;
  readonly second: MappedMemory;
}

/** Host memory that was mapped. */
export class MappedMemory extends HostMemory {
  readonly #address: number;
  readonly #mapping: Mapping;
  // The buffers of seams. Those who use a seam hold it: held here, it would keep a neighbour mapped
  // that is forgotten.
  #seams: readonly WeakRef<ArrayBufferLike>[] = [];
  // Whether views may be alive that cannot be emptied.
  #pinned = false;

  /**
   * Takes over a hold of a mapping.
   *
   * @param mapping Where it lies.
   * @param permissions What may be done with it.
   */
  constructor(mapping: Mapping, permissions: Permissions) {
    super(bufferAt(mapping.address, mapping.length), permissions);
    this.#address = mapping.address;
    this.#mapping = mapping;
    forgotten.register(this.buffer, mapping, this);
  }

  /** The host address of byte 0. Whoever hands it out calls `hostAddress` instead. */
  get address(): number {
    return this.#address;
  }

  /** Copies bytes to the start of a buffer. */
  override copyOut(offset: number, to: Uint8Array, count: number): boolean {
    if (count > COPY_LIMIT) return super.copyOut(offset, to, count);
    if (!this.canRead(offset, count)) return false;
    if (count > 0) copyFromMapping(to, this.#address + offset, count);
    return true;
  }

  /** Copies from the start of a buffer. */
  override copyIn(offset: number, from: Uint8Array, count: number): boolean {
    if (count > COPY_LIMIT) return super.copyIn(offset, from, count);
    if (!this.canWrite(offset, count)) return false;
    if (count > 0) copyToMapping(from, this.#address + offset, count);
    return true;
  }

  /**
   * The host address of byte 0. From now on somebody may use the memory without a view of it, so it
   * stays mapped until it is closed.
   */
  override hostAddress(): bigint {
    if (this.closed) throw new MemoryClosed();
    forgotten.unregister(this);
    const seam = sewn.get(this.buffer);
    seam?.first.hostAddress();
    seam?.second.hostAddress();
    return BigInt(this.#address);
  }

  /** Sets what may be done with the memory from now on. */
  override permit(permissions: Permissions): void {
    super.permit(permissions);
    // The constructor of the base class calls this too, when there are no seams.
    if (permissions === Permissions.ReadWrite && !this.closed || !(#seams in this)) return;
    for (const { memory } of this.#openSeams()) memory.#empty();
  }

  /** Memory over the end of this one and the start of another. */
  override seam(next: HostMemory): HostMemory | undefined {
    if (!(next instanceof MappedMemory) || next.#address !== this.#address + this.#mapping.length) {
      return undefined;
    }
    const known = this.#openSeams().find(({ first, second }) => first === this && second === next);
    if (known !== undefined) return known.memory;
    const parts = [this, next];
    if (parts.some((part) => !part.canRead(0, 1) || !part.canWrite(0, 1))) return undefined;
    const before = seamReach(this.#mapping.length);
    const length = before + seamReach(next.#mapping.length);
    const mapping = { address: next.#address - before, length, owned: false };
    const memory = new MappedMemory(mapping, Permissions.ReadWrite);
    sewn.set(memory.buffer, { memory, first: this, second: next });
    const seam = new WeakRef(memory.buffer);
    for (const part of parts) {
      const others = part.#openSeams().map(({ memory }) => new WeakRef(memory.buffer));
      part.#seams = [...others, seam];
    }
    return memory;
  }

  #openSeams(): Seam[] {
    const seams: Seam[] = [];
    for (const ref of this.#seams) {
      const buffer = ref.deref();
      const seam = buffer && sewn.get(buffer);
      if (seam !== undefined && !seam.memory.closed) seams.push(seam);
    }
    return seams;
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

  /**
   * Empties every view of the memory, then unmaps it if nobody else holds it.
   *
   * @throws {TypeError} Its buffer was transferred elsewhere. The memory stays mapped.
   */
  override close(): void {
    if (this.closed) return;
    this.#empty();
    if (this.#pinned) {
      throw new TypeError("Cannot unmap memory: its buffer was transferred, so views may be alive");
    }
    letGo(this.#mapping);
  }

  // Refuses every access, and empties every view.
  #empty(): void {
    super.close();
    forgotten.unregister(this);
    const buffer = this.buffer as ArrayBuffer;
    if (!buffer.detached) {
      buffer.transfer(0);
      return;
    }
    const seam = sewn.get(buffer);
    for (const part of seam === undefined ? [this] : [this, seam.first, seam.second]) {
      part.#pinned = true;
    }
  }
}
