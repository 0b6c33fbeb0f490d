/**
 * Host memory that is mapped.
 *
 * @module
 */
import { hasMembarrier, membarrier } from "../../../ffi/barrier.ts";
import { bufferAt, COPY_LIMIT, copyFromMapping } from "../../../ffi/memory.ts";
import { setTakeBarrier } from "../../guest/dirty_set.ts";
import { asBytes, byteLength, bytesOf, copyBytes } from "../../host/bytes.ts";
import { boundaryWindow, HostMemory, showBuffer } from "../../host/host_memory.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import { Permissions } from "../../permissions.ts";
import { BoundaryViews } from "./boundary_view.ts";
import { Mapping, type MappingHandle } from "./mapping.ts";

const { transfer } = ArrayBuffer.prototype;
// Runtimes without it have no mapped memory.
const detached = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "detached")?.get;

/** The bytes that a boundary view shows: the end of one memory, and the start of the next. */
class Boundary {
  constructor(
    readonly address: number,
    readonly length: number,
    readonly mappings: readonly Mapping[],
  ) {}
}

/** The mapping of a memory, for use in this library: nothing of it is for others. */
export let mappingOf: (memory: MappedMemory) => Mapping;

/** What a thread sees of a mapping: one buffer over all of it. */
export class MappedMemory extends HostMemory {
  static {
    mappingOf = (memory) => {
      if (memory.#closed) throw new MemoryClosed();
      return memory.#mapping!;
    };
    // Any memory leads to them, and this library calls their functions by name.
    Object.freeze(this);
    Object.freeze(this.prototype);
  }

  readonly #address: number;
  // `length` can be changed from JavaScript, this cannot.
  readonly #length: number;
  readonly #mapping: Mapping | undefined;
  readonly #boundaries = new BoundaryViews<MappedMemory>();
  // The mappings of which the memory shows a part, where it is a boundary view.
  readonly #parts: readonly Mapping[];
  // The buffer over the memory; undefined where none may show it.
  #shown: ArrayBuffer | undefined;
  // The memory where it may be both read and written. `u8` can be changed from JavaScript.
  #bytes: Uint8Array = NO_BYTES;
  #protection: Permissions = Permissions.No;
  // The base class calculates it each time. Reading the buffer's length would take 3 % of a small
  // access.
  #openLength = 0;
  // Bytes that may be read, and written: all of them, or none.
  #readableLength = 0;
  #writableLength = 0;
  #closed = false;
  // Regions of this thread that use the memory.
  #users = 1;
  #isPinned = false;
  #isTransferred = false;
  // Arrays over the memory where it may not be both read and written. No code of others gets at them:
  // an access that the kernel refuses would end the process.
  #limited: Elements | undefined;

  /**
   * Takes over a mapping.
   *
   * @param source The mapping, or what a boundary view shows. Nobody else can make either.
   */
  constructor(source: Mapping | Boundary) {
    const isMapping = Mapping.is(source);
    if (!isMapping && !(source instanceof Boundary)) throw new TypeError("Illegal constructor");
    const { address, length } = isMapping ? source.shape : source;
    const protection = isMapping ? source.protection : Permissions.ReadWrite;
    const buffer = protection === Permissions.No ? undefined : bufferAt(address, length);
    super(buffer && protection === Permissions.ReadWrite ? buffer : new ArrayBuffer(0), length);
    this.#address = address;
    this.#length = length;
    this.#mapping = isMapping ? source : undefined;
    this.#parts = isMapping ? [] : source.mappings;
    this.#show(protection, buffer);
    // No property of its own may take the place of a function.
    Object.preventExtensions(this);
    if (hasMembarrier()) setTakeBarrier(membarrier);
  }

  /**
   * Attaches memory that another thread shared. In the thread that shared it, and where it is
   * attached already, this is the memory that is there.
   *
   * @param handle What the other thread sent. It can be used once.
   */
  static attach(handle: MappingHandle): MappedMemory {
    const mapping = Mapping.attach(handle);
    const known = sharedMemories.get(mapping.nonce)?.deref();
    if (known === undefined || !known.#usable) {
      try {
        return new MappedMemory(mapping).#remember();
      } catch (error) {
        mapping.release();
        throw error;
      }
    }
    mapping.releaseExtra();
    known.#users++;
    return known;
  }

  /** A handle of the memory for another thread. */
  share(): MappingHandle {
    this.#ensureUsable();
    return this.#remember().#mapping!.share();
  }

  #remember(): this {
    sharedMemories.set(this.#mapping!.nonce, new WeakRef(this));
    return this;
  }

  /** Whether the memory was closed, or its buffer was transferred. */
  override get closed(): boolean {
    return this.#closed || this.u8.length < this.#openLength;
  }

  /** Throws if the memory is closed: see {@linkcode HostMemory.ensureOpen}. */
  override ensureOpen(): void {
    // One comparison in open memory, however it ended.
    if (this.u8.length === 0) this.#ensureNotClosed();
  }

  #ensureNotClosed(): void {
    super.ensureOpen();
  }

  // As ensureOpen(), by what own properties, derived classes and prototypes have no say in.
  #ensureUsable(): void {
    if (!this.#usable) throw new MemoryClosed();
  }

  get #usable(): boolean {
    return !this.#closed && (this.#shown === undefined || !isDetached(this.#shown));
  }

  /** Whether the typed arrays have bytes: see {@linkcode HostMemory.canAccess}. */
  override canAccess(offset: number, count: number): boolean {
    return offset >= 0 && offset + count <= this.#openLength && Number.isInteger(offset);
  }

  /** Bytes that the typed arrays have: see {@linkcode HostMemory.openLength}. */
  override get openLength(): number {
    return this.#openLength;
  }

  /** Whether bytes may be read or written: see {@linkcode HostMemory.permits}. */
  override permits(access: "read" | "write", offset: number, count: number): boolean {
    const end = access === "read" ? this.#readableLength : this.#writableLength;
    return offset >= 0 && offset + count <= end && Number.isInteger(offset) && !this.closed;
  }

  /** Whether memory is mapped, whatever its prototype says. */
  static isMapped(memory: object): boolean {
    return #address in memory;
  }

  /**
   * The host address of bytes, for a call that takes one. Own properties and derived classes of the
   * memory have no say in it, and none of their code runs.
   *
   * @param memory The memory.
   * @param start The first byte.
   * @param len How many.
   * @param access What will be done.
   * @returns The address, or -1 if the memory is not mapped, does not have the bytes, is closed, or
   * its permissions do not allow it.
   */
  static locate(memory: object, start: number, len: number, access: "read" | "write"): number {
    if (!(#address in memory)) return -1;
    const end = access === "read" ? memory.#readableLength : memory.#writableLength;
    const fits = Number.isInteger(start) && start >= 0 && start + len <= end;
    return fits ? memory.#address + start : -1;
  }

  /** The host address of byte 0, for use in this library. Callers get it by `hostAddress`. */
  get address(): number {
    return this.#address;
  }

  /** The protection of the memory. */
  get protection(): Permissions {
    return this.#protection;
  }

  /** Copies bytes to a buffer: see {@linkcode HostMemory.copyOut}. */
  override copyOut(offset: number, to: Uint8Array, count: number): boolean {
    return this.canAccess(offset, count) && copyFromMapping(to, this.#address + offset, count) ||
      this.#copyOutElse(offset, to, count);
  }

  /** Copies a buffer: see {@linkcode HostMemory.copyIn}. */
  override copyIn(offset: number, from: Uint8Array, count: number): boolean {
    // `set` takes the offset: it needs no view here, and less time than `memmove`.
    if (this.canAccess(offset, count) && byteLength(from) === count && this.#bytes.length > 0) {
      copyBytes(this.#bytes, asBytes(from), offset);
      return true;
    }
    return this.#copyInElse(offset, from, count);
  }

  // A large copy, or one of memory without typed arrays.
  #copyOutElse(offset: number, to: Uint8Array, count: number): boolean {
    if (this.#openLength > 0) return count > COPY_LIMIT && super.copyOut(offset, to, count);
    // It may be the caller's code that answers: no other runs from here on.
    if (byteLength(to) !== count) return false;
    const limited = this.#limited;
    const isInside = MappedMemory.locate(this, offset, count, "read") >= 0;
    if (limited === undefined || !isInside) return false;
    const elements = elementsOf(limited, offset, count);
    if (elements === undefined) {
      copyBytes(asBytes(to), bytesOf(limited.u8, offset, count));
      return true;
    }
    const element = elementsOf(SCALAR, 0, count)!;
    element[0] = Atomics.load(elements, offset / count);
    copyBytes(asBytes(to), SCALAR.u8.subarray(0, count));
    return true;
  }

  #copyInElse(offset: number, from: Uint8Array, count: number): boolean {
    if (this.#openLength > 0 || byteLength(from) !== count) return false;
    const limited = this.#limited;
    const isInside = MappedMemory.locate(this, offset, count, "write") >= 0;
    if (limited === undefined || !isInside) return false;
    const elements = elementsOf(limited, offset, count);
    if (elements === undefined) {
      copyBytes(limited.u8, asBytes(from), offset);
      return true;
    }
    copyBytes(SCALAR.u8, asBytes(from));
    Atomics.store(elements, offset / count, elementsOf(SCALAR, 0, count)![0]!);
    return true;
  }

  /**
   * The host address of byte 0. From now on the memory may be in use without a view of it, so it
   * stays mapped until it is closed.
   */
  override hostAddress(): bigint {
    this.#ensureUsable();
    this.#pin();
    for (const side of this.#sides) side.#pin();
    return BigInt(this.#address);
  }

  #pin(): void {
    this.#isPinned = true;
    forgotten.unregister(this);
  }

  /**
   * Changes the protection, for every region of this thread that uses the memory. All views become
   * empty.
   *
   * @throws {MappingShared} It takes a permission away, and another thread holds the mapping.
   * @throws {SystemError} The kernel refuses.
   * @throws {TypeError} The buffer was transferred elsewhere: a view of it cannot be emptied.
   */
  protect(protection: Permissions): void {
    this.#ensureUsable();
    const mapping = this.#mapping;
    if (mapping === undefined) throw new TypeError("Cannot protect a part of two mappings");
    mapping.ensureMayProtect(protection);
    if (protection === this.#protection && protection === mapping.protection) return;
    const before = this.#protection;
    this.#hide("change the protection of");
    let shown = before;
    try {
      shown = mapping.protect(protection);
    } finally {
      const isHidden = shown === Permissions.No;
      this.#show(shown, isHidden ? undefined : bufferAt(this.#address, this.#length));
    }
    // Last: setters of the arrays are the caller's code.
    showBuffer(this, this.#openLength > 0 ? this.#shown! : new ArrayBuffer(0));
  }

  /** Adds a region of this thread. */
  retain(): void {
    this.#ensureUsable();
    this.#users++;
  }

  /** Removes a region of this thread. The last one closes the memory. */
  release(): void {
    if (--this.#users === 0) this.close();
  }

  /**
   * Empties every view of the memory, then unmaps it if no other thread holds it.
   *
   * @throws {TypeError} Its buffer was transferred elsewhere. The memory stays mapped.
   */
  override close(): void {
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#openLength = 0;
    this.#protect(Permissions.No);
    this.#hide("unmap");
    const mapping = this.#mapping;
    if (mapping !== undefined) {
      sharedMemories.delete(mapping.nonce);
      mapping.release();
    }
    // Last: setters of the arrays are the caller's code.
    showBuffer(this, new ArrayBuffer(0));
  }

  /** A view across the boundary with the next memory: see {@linkcode HostMemory.boundaryView}. */
  override boundaryView(next: HostMemory): HostMemory | undefined {
    if (!(#address in next) || next.#address !== this.#address + this.#length) return undefined;
    if (this.#openLength < 2 || next.#openLength < 2) return undefined;
    return BoundaryViews.between<MappedMemory>(
      [this, next],
      [this.#boundaries, next.#boundaries],
      () => {
        const [before, after] = [boundaryWindow(this.#length), boundaryWindow(next.#length)];
        const mappings = [this, next].flatMap((side) => side.#mapping ?? []);
        const address = next.#address - before;
        const view = new MappedMemory(new Boundary(address, before + after, mappings));
        return [view, view.#shown!];
      },
    );
  }

  get #sides(): readonly MappedMemory[] {
    return this.#shown === undefined ? [] : BoundaryViews.sidesOf<MappedMemory>(this.#shown);
  }

  // Shows the memory, in a buffer over it, as the protection allows.
  #show(protection: Permissions, buffer: ArrayBuffer | undefined): void {
    this.#protect(protection);
    this.#shown = buffer;
    if (buffer !== undefined && protection === Permissions.ReadWrite) {
      this.#openLength = this.#length;
      this.#bytes = new Uint8Array(buffer);
    } else if (buffer !== undefined) {
      this.#limited = allElements(buffer);
    }
    const mapping = this.#mapping;
    if (mapping === undefined) lostBoundaries.register(buffer!, this.#parts, this);
    else if (!this.#isPinned) forgotten.register(this, { buffer, mapping }, this);
  }

  // What may be done from now on. Calculated here: each access to it would take longer.
  #protect(protection: Permissions): void {
    this.#protection = protection;
    this.#readableLength = Permissions.allow(protection, Permissions.Read) ? this.#length : 0;
    this.#writableLength = Permissions.allow(protection, Permissions.Write) ? this.#length : 0;
  }

  // Empties every view. If one cannot be found, the memory has to stay mapped as it is.
  #hide(action: string): void {
    for (const view of this.#boundaries.all) view.#close();
    const buffer = this.#shown;
    if (buffer !== undefined && isDetached(buffer)) {
      for (const owner of [this, ...this.#sides]) owner.#isTransferred = true;
    }
    if (this.#isTransferred) {
      this.#closed = true;
      this.#openLength = 0;
      this.#protect(Permissions.No);
      throw new TypeError(
        `Cannot ${action} memory: its buffer was transferred, so views may be alive`,
      );
    }
    forgotten.unregister(this);
    lostBoundaries.unregister(this);
    if (buffer !== undefined) transfer.call(buffer, 0);
    this.#shown = undefined;
    this.#bytes = NO_BYTES;
    this.#openLength = 0;
    this.#limited = undefined;
    this.#protect(Permissions.No);
  }
}

const NO_BYTES = new Uint8Array(0);

function isDetached(buffer: ArrayBufferLike): boolean {
  return detached!.call(buffer);
}

// The memories of this thread whose mapping other threads may hold, by its nonce.
const sharedMemories = new Map<string, WeakRef<MappedMemory>>();

// A scalar on its way between memory and a buffer.
const SCALAR = allElements(new ArrayBuffer(8));

/** Arrays of the integers of each size over one buffer. */
interface Elements {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
}

function allElements(buffer: ArrayBuffer): Elements {
  const { byteLength: length } = new Uint8Array(buffer);
  return {
    u8: new Uint8Array(buffer),
    u16: new Uint16Array(buffer, 0, Math.floor(length / 2)),
    u32: new Uint32Array(buffer, 0, Math.floor(length / 4)),
    u64: new BigUint64Array(buffer, 0, Math.floor(length / 8)),
  };
}

// The array of the integers of a size, where that makes an access a single one (rule 4).
function elementsOf(
  { u8, u16, u32, u64 }: Elements,
  offset: number,
  size: number,
): Uint32Array | undefined {
  const array = [u8, u16, u32, u64].find(({ BYTES_PER_ELEMENT }) => BYTES_PER_ELEMENT === size);
  // Atomics has one signature for all integers of a kind.
  return offset % size === 0 ? array as Uint32Array | undefined : undefined;
}

/** What a collected memory was. */
interface Forgotten {
  /** The buffer over it; `undefined` where none could show it. */
  readonly buffer: ArrayBufferLike | undefined;
  readonly mapping: Mapping;
}

// Memory that nothing refers to any more is given back, unless its buffer was transferred: closing
// does not unmap it then either. Views of the buffer may be left, which keep it (rule 3).
const forgotten = new FinalizationRegistry<Forgotten>(({ buffer, mapping }) => {
  // It may have been attached again meanwhile.
  if (sharedMemories.get(mapping.nonce)?.deref() === undefined) {
    sharedMemories.delete(mapping.nonce);
  }
  if (buffer === undefined) mapping.release();
  else if (!isDetached(buffer)) unviewed.register(buffer, mapping);
});

// No view of the buffer is left, but for one that it was transferred to meanwhile.
const unviewed = new FinalizationRegistry<Mapping>((mapping) => {
  mapping.keepAddresses();
  mapping.release();
});

// Boundary views that were not closed, and whose buffer may have been transferred.
const lostBoundaries = new FinalizationRegistry<readonly Mapping[]>((mappings) => {
  for (const mapping of mappings) mapping.keepAddresses();
});
