/**
 * A host mapping and the one buffer over it.
 *
 * @module
 */
import { bufferAt, copyFromMapping, copyToMapping, unmapMemory } from "../../ffi/memory.ts";
import { HostMemory } from "../host_memory.ts";
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
const sewn = new WeakMap<ArrayBufferLike, readonly MappedMemory[]>();

/** Host memory that was mapped. */
export class MappedMemory extends HostMemory {
  readonly #address: number;
  readonly #mapping: Mapping;
  #seams: { before?: MappedMemory; after?: MappedMemory } = {};

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
    if (!this.canRead(offset, count)) return false;
    if (count > 0) copyFromMapping(to, this.#address + offset, count);
    return true;
  }

  /** Copies from the start of a buffer. */
  override copyIn(offset: number, from: Uint8Array, count: number): boolean {
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
    for (const part of sewn.get(this.buffer) ?? []) part.hostAddress();
    return BigInt(this.address);
  }

  /** Sets what may be done with the memory from now on. */
  override permit(permissions: Permissions): void {
    super.permit(permissions);
    // The constructor of the base class calls this too, when there are no seams.
    if (!(#seams in this)) return;
    this.#seams.before?.close();
    this.#seams.after?.close();
    this.#seams = {};
  }

  /** Memory over the end of this one and the start of another. */
  override seam(next: HostMemory, before: number, after: number): HostMemory | undefined {
    const start = this.u8.length - before;
    const open = this.canRead(start, before) && this.canWrite(start, before) &&
      next.canRead(0, after) && next.canWrite(0, after);
    if (!open || !(next instanceof MappedMemory)) return undefined;
    if (this.address + this.u8.length !== next.address) return undefined;
    this.#seams.after?.close();
    next.#seams.before?.close();
    // The two own the mapping; a seam only has a view. It is no class of its own: the accesses of
    // both would take longer then, as V8 would tell the classes apart.
    const mapping = { address: next.address - before, length: before + after, owned: false };
    const seam = new MappedMemory(mapping, Permissions.ReadWrite);
    sewn.set(seam.buffer, [this, next]);
    this.#seams.after = seam;
    next.#seams.before = seam;
    return seam;
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
