/**
 * Host memory that is mapped.
 *
 * @module
 */
import { hasMembarrier, membarrier } from "../../../ffi/barrier.ts";
import { bufferAt, COPY_LIMIT, copyFromMapping, copyToMapping } from "../../../ffi/memory.ts";
import { setTakeBarrier } from "../../guest/dirty_set.ts";
import { Permissions } from "../../permissions.ts";
import { AdjacentMemory } from "./boundary_view.ts";
import { leaked, type Mapping, unreference } from "./mapping.ts";

const { transfer } = ArrayBuffer.prototype;

/** Host memory that is mapped: one buffer over all of a mapping. */
export class MappedMemory extends AdjacentMemory {
  readonly #address: number;
  readonly #mapping: Mapping;
  // The base class calculates these each time. Here they change only with the permissions and when
  // the memory is closed, and reading the buffer's length would take 3 % of a small access.
  #closed = super.closed;
  #readableLength = super.readableLength;
  #writableLength = super.writableLength;
  // Whether the buffer was transferred, so that views may be reachable that cannot be emptied.
  #detached = false;

  /**
   * Takes over a reference to a mapping.
   *
   * @param mapping Where it is.
   * @param permissions Its permissions.
   */
  constructor(mapping: Mapping, permissions: Permissions) {
    super(bufferAt(mapping.address, mapping.length), permissions);
    this.#address = mapping.address;
    this.#mapping = mapping;
    leaked.register(this.buffer, mapping, this);
    if (hasMembarrier()) setTakeBarrier(membarrier);
  }

  /** Whether the memory was closed. */
  override get closed(): boolean {
    return this.#closed;
  }

  /** Bytes from 0 that may be read: see {@linkcode HostMemory.readableLength}. */
  override get readableLength(): number {
    return this.#readableLength;
  }

  /** Bytes from 0 that may be written: all of them, or none. */
  override get writableLength(): number {
    return this.#writableLength;
  }

  #refresh(): void {
    this.#closed = super.closed;
    this.#readableLength = super.readableLength;
    this.#writableLength = super.writableLength;
  }

  /** The host address of byte 0, for use in this library. Callers get it by `hostAddress`. */
  get address(): number {
    return this.#address;
  }

  /** Copies bytes to a buffer: see {@linkcode HostMemory.copyOut}. */
  override copyOut(offset: number, to: Uint8Array, count: number): boolean {
    return this.canRead(offset, count) &&
      (copyFromMapping(to, this.#address + offset, count) || this.#copyOutLarge(offset, to, count));
  }

  /** Copies a buffer: see {@linkcode HostMemory.copyIn}. */
  override copyIn(offset: number, from: Uint8Array, count: number): boolean {
    return this.canWrite(offset, count) &&
      (copyToMapping(from, this.#address + offset, count) ||
        this.#copyInLarge(offset, from, count));
  }

  #copyOutLarge(offset: number, to: Uint8Array, count: number): boolean {
    return count > COPY_LIMIT && super.copyOut(offset, to, count);
  }

  #copyInLarge(offset: number, from: Uint8Array, count: number): boolean {
    return count > COPY_LIMIT && super.copyIn(offset, from, count);
  }

  /**
   * The host address of byte 0. From now on the memory may be in use without a view of it, so it
   * stays mapped until it is closed.
   */
  override hostAddress(): bigint {
    this.ensureOpen();
    leaked.unregister(this);
    for (const side of this.sides) side.hostAddress();
    return BigInt(this.#address);
  }

  /** Sets the permissions of the memory. */
  override setPermissions(permissions: Permissions): void {
    super.setPermissions(permissions);
    this.#refresh();
    if (permissions !== Permissions.ReadWrite) this.emptyBoundaryViews();
  }

  /** Adds a reference for another thread, which takes it over with the returned mapping. */
  share(): Mapping {
    this.ensureOpen();
    const mapping = this.#mapping;
    if (mapping.holders === undefined) {
      mapping.holders = new Int32Array(new SharedArrayBuffer(4));
      mapping.holders[0] = 1;
    }
    Atomics.add(mapping.holders, 0, 1);
    return mapping;
  }

  /**
   * Empties every view of the memory, then unmaps it if there is no other reference.
   *
   * @throws {TypeError} Its buffer was transferred elsewhere. The memory stays mapped.
   */
  override close(): void {
    if (this.closed) return;
    this.empty();
    if (this.#detached) {
      throw new TypeError("Cannot unmap memory: its buffer was transferred, so views may be alive");
    }
    unreference(this.#mapping);
  }

  /** Refuses every access, and empties every view. */
  protected override empty(): void {
    super.close();
    this.#refresh();
    this.emptyBoundaryViews();
    leaked.unregister(this);
    const buffer = this.buffer as ArrayBuffer;
    if (!buffer.detached) {
      transfer.call(buffer, 0);
      return;
    }
    for (const owner of [this, ...this.sides]) (owner as MappedMemory).#detached = true;
  }

  /** Memory over a range of mapped memory that other objects own. */
  protected override viewAt(address: number, length: number): MappedMemory {
    return new MappedMemory({ address, length, owned: false }, Permissions.ReadWrite);
  }
}
