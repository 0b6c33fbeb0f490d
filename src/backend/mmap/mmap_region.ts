/**
 * A mapping in the host, before it has a place in a guest.
 *
 * @module
 */
import { adviseMemory, forResidentRuns, pageSize, syncMemory } from "../../../ffi/memory.ts";
import { fillMemory, isZeroMemory } from "../../../ffi/pages.ts";
import type { Advice } from "../../../ffi/platform.ts";
import { GuestAddress } from "../../address.ts";
import { type Bitmap, NoBitmap } from "../../bitmap/bitmap.ts";
import { attachBitmap, shareBitmap } from "../../bitmap/bitmap_handle.ts";
import { AccessDenied, MemoryClosed, OutOfBounds } from "../../error/volatile_memory_error.ts";
import { RefCount } from "../../guest/ref_count.ts";
import type { Permissions } from "../../permissions.ts";
import { checkNumber } from "../../text/argument.ts";
import { showAsText } from "../../text/inspect.ts";
import { byteSize, hex } from "../../text/number_format.ts";
import { computeOffset, VolatileMemory } from "../../volatile/volatile_memory.ts";
import { VolatileSlice } from "../../volatile/volatile_slice.ts";
import { Backing } from "./backing.ts";
import { type Discarded, discardPages } from "./discard.ts";
import { FileOffset } from "./file_offset.ts";
import { checkSize, mapAll } from "./map_memory.ts";
import { MappedMemory, mappingOf } from "./mapped_memory.ts";
import type { Mapping } from "./mapping.ts";
import type { MmapRegionHandle } from "./mmap_handle.ts";
import { type MmapOptions, readOptions } from "./mmap_options.ts";
import { prefaultAll, type PrefaultOptions } from "./prefault.ts";

/** A region's memory, for use in this library. */
export let memoryOf: (region: MmapRegion) => MappedMemory;

/** Makes a region of memory that was just mapped or attached, for use in this library. */
export let regionOver: <B extends Bitmap>(
  memory: MappedMemory,
  bitmap: B,
  file?: FileOffset,
) => MmapRegion<B>;

// What a region is made of where it maps nothing itself.
interface Made {
  readonly memory: MappedMemory;
  readonly bitmap: Bitmap;
  readonly file: FileOffset | undefined;
}
const made = new WeakMap<MmapOptions, Made>();

/**
 * A mapping in the host. Mirrors `MmapRegion` and `MmapRegionBuilder`.
 *
 * @typeParam B The kind of its bitmap: what the option `bitmap` returns.
 *
 * @example
 * ```ts
 * import { MmapRegion, u64 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using region = new MmapRegion(0x4000);
 * region.asVolatileSlice().writeObj(u64, 7n, 0x3ff8);
 * assertEquals(region.getRef(u64, 0x3ff8).load(), 7n);
 * ```
 */
export class MmapRegion<B extends Bitmap = Bitmap> extends VolatileMemory implements Disposable {
  static {
    showAsText(this);
    memoryOf = (region) => region.#memory;
    regionOver = <B extends Bitmap>(memory: MappedMemory, bitmap: B, file?: FileOffset) => {
      const options: MmapOptions<B> = {};
      made.set(options, { memory, bitmap, file });
      return new MmapRegion(memory.length, options);
    };
  }

  /** Bytes. */
  readonly len: number;
  /** `MAP_*` bits it was mapped with. */
  readonly flags: number;
  /** Whether closing the region unmaps it. */
  readonly owned: boolean;
  /** The file it maps, as it was given, if there is one. */
  readonly fileOffset: FileOffset | undefined;
  /** Whether it is in huge pages of hugetlbfs; `undefined` for a foreign mapping. */
  readonly isHugetlbfs: boolean | undefined;
  readonly #memory: MappedMemory;
  readonly #slice: VolatileSlice;
  readonly #references: RefCount;

  /**
   * Maps memory.
   *
   * @param size Bytes. The last page may extend beyond it.
   * @param options How.
   * @throws {SystemError} The kernel refuses.
   * @throws {OptionRefused} An option cannot be had here.
   * @throws {MappingPastEof} The file is regular and ends before the mapping.
   * @throws {InvalidOffsetLength} The offset in the file plus the size is beyond 2^53.
   * @throws {MapFixed} The flags ask for `MAP_FIXED`.
   * @throws {InvalidPointer} The foreign mapping is not page-aligned.
   * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported.
   * @throws {RangeError} A number is not an integer in [0, 2^53), or the size not one of huge
   * pages.
   */
  constructor(size: number, options: MmapOptions<B> = {}) {
    super();
    const { memory, bitmap, file } = made.get(options) ?? mapOne(size, options);
    const { shape, owned } = mappingOf(memory);
    this.len = shape.length;
    this.flags = shape.flags;
    this.owned = owned;
    this.fileOffset = file;
    this.isHugetlbfs = owned ? shape.pageSize !== pageSize() : undefined;
    this.#memory = memory;
    this.#slice = new VolatileSlice(memory, 0, shape.length, bitmap);
    this.#references = new RefCount("mapping", () => memory.release());
  }

  /**
   * Maps a file. Mirrors `from_file`.
   *
   * @param file The file and where to begin.
   * @param size Bytes.
   * @param options How; the backing is the file, shared. For a private mapping, see
   * {@linkcode Backing.file}.
   */
  static fromFile<B extends Bitmap>(
    file: FileOffset,
    size: number,
    options: Omit<MmapOptions<B>, "backing"> = {},
  ): MmapRegion<B> {
    return new MmapRegion(size, { ...options, backing: Backing.file(file) });
  }

  /**
   * Attaches memory that another thread shared with {@linkcode MmapRegion.share}.
   *
   * @param handle What the other thread sent. It can be used once.
   * @param bitmap A bitmap that this thread marks, in place of the one that the other thread has.
   * @returns The same memory. It is unmapped when every thread has closed it.
   * @throws {MemoryClosed} The handle, or a copy of it, was used already.
   * @throws {InvalidHandle} The handle was altered, or is of another process.
   */
  static attach(handle: MmapRegionHandle, bitmap?: Bitmap): MmapRegion {
    const { mapping, bitmap: shared, file } = handle ?? {};
    const memory = MappedMemory.attach(mapping);
    try {
      const place = file === undefined ? undefined : new FileOffset(file.fd, file.start);
      return regionOver(memory, bitmap ?? attachBitmap(shared), place);
    } catch (error) {
      memory.release();
      throw error;
    }
  }

  /**
   * A handle of this memory for another thread of the program, to be sent with `postMessage` and
   * attached there with {@linkcode MmapRegion.attach}. It has a reference to the memory until it is
   * attached. Both threads mark the same bitmap.
   *
   * @returns The handle: one for each thread.
   * @throws {MemoryClosed} The memory is closed.
   * @throws {TypeError} Its bitmap cannot be shared: it is no {@linkcode AtomicBitmap}, nor a slice
   * of one, or it is over given memory.
   */
  share(): MmapRegionHandle {
    this.#ensureOpen();
    const bitmap = shareBitmap(this.#slice.bitmap);
    const { fileOffset: file } = this;
    return {
      mapping: this.#memory.share(),
      file: file && { fd: file.fd, start: file.start },
      bitmap,
    };
  }

  /** The permissions of the memory. */
  get protection(): Permissions {
    return this.#memory.protection;
  }

  /** What records writes: what the option `bitmap` returned. */
  get bitmap(): B {
    return this.#slice.bitmap as B;
  }

  /** Whether the memory is unmapped. */
  get closed(): boolean {
    return this.#references.released;
  }

  /**
   * The host address of the first byte. Asking for it keeps the memory mapped until it is closed,
   * even if it becomes unreachable. Mirrors `as_ptr`.
   *
   * @throws {MemoryClosed} The memory is unmapped.
   */
  hostAddress(): bigint {
    return this.#memory.hostAddress();
  }

  /** A part of the memory. */
  getSlice(offset: number, count: number): VolatileSlice {
    return this.#slice.getSlice(offset, count);
  }

  /** All of the memory. */
  override asVolatileSlice(): VolatileSlice {
    return this.#slice;
  }

  /**
   * Changes the permissions of all of the memory, for every region of this thread that maps it:
   * `mprotect(2)`. All raw views become empty.
   *
   * @param protection The new permissions.
   * @throws {MappingShared} It takes a permission away, and another thread holds the memory, or a
   * handle on its way to one. Other threads see a permission that was added once they call this too.
   * @throws {SystemError} The kernel refuses, as to write a file that is open to read only.
   */
  protect(protection: Permissions): void {
    this.#ensureOpen();
    this.#memory.protect(protection);
  }

  /**
   * Advises the kernel how the memory is used: `madvise(2)`. What is discarded (`"dontneed"`,
   * `"free"`, `"remove"`) is marked dirty; but {@linkcode MmapRegion.discard} makes the call that is
   * right for the kind of memory.
   *
   * @param advice The advice.
   * @param offset Where the range begins: a multiple of the page size.
   * @param length Bytes; up to the end by default.
   * @throws {SystemError} The kernel refuses.
   * @throws {OutOfBounds} The range is not in the memory.
   */
  advise(advice: Advice, offset: number = 0, length?: number): void {
    const [start, count] = this.#range(offset, length);
    const { address, length: size, pageSize: granule } = mappingOf(this.#memory).shape;
    try {
      adviseMemory(address + start, count, advice);
    } finally {
      // The kernel discards whole pages, and may have discarded some where it fails.
      const lastEnd = Math.min(Math.ceil((start + count) / granule) * granule, size);
      const isRefused = start % granule !== 0;
      if (DISCARDS.has(advice) && !isRefused) this.#slice.markDirty(start, lastEnd - start);
    }
  }

  /**
   * Gives the whole pages inside a range back to the host. They read zero afterwards, and are marked
   * dirty. Each kind of memory has one call that does this; a file that is mapped privately keeps
   * its content, and is not shown again.
   *
   * @param offset Where the range begins.
   * @param count Bytes; up to the end by default.
   * @returns Bytes that were given back, in whole pages. Fewer than the pages of the range where
   * the process has too many mappings to replace them: those are filled with zeros.
   * @throws {OptionRefused} The mapping is foreign, or of a file that cannot be written.
   * @throws {SystemError} The kernel refuses.
   * @throws {OutOfBounds} The range is not in the memory.
   */
  discard(offset: number = 0, count?: number): number {
    const [from, size] = this.#range(offset, count);
    let done: Discarded | undefined;
    try {
      done = discardPages(mappingOf(this.#memory), from, size);
      return done.givenBack;
    } finally {
      // What failed may have given back a part.
      this.#slice.markDirty(done?.offset ?? from, done?.length ?? size);
    }
  }

  /**
   * Takes all pages now, on the thread pool, so that no access waits for the host: see
   * {@linkcode PrefaultOptions}. Closing the memory meanwhile unmaps it afterwards.
   *
   * @param options How.
   * @throws {OptionRefused} There is not enough memory.
   */
  async prefault(options: PrefaultOptions = {}): Promise<void> {
    this.#ensureOpen();
    await prefaultAll([mappingOf(this.#memory)], options);
  }

  /**
   * Sets bytes, and marks them dirty: `memset(3)`.
   *
   * @param offset Where the range begins.
   * @param count Bytes.
   * @param value The value of each byte, from 0 to 255.
   * @throws {AccessDenied} The memory may not be written.
   * @throws {OutOfBounds} The range is not in the memory.
   */
  fill(offset: number, count: number, value: number): void {
    checkNumber("count", count);
    const [start, length] = this.#range(offset, count);
    checkNumber("value", value);
    if (!Number.isInteger(value) || value < 0 || value > 255) {
      throw new RangeError(`Cannot fill memory with ${value}: it must be an integer from 0 to 255`);
    }
    if (length === 0) return;
    fillMemory(this.#locate(start, length, "write"), length, value);
    this.#slice.markDirty(start, length);
  }

  /**
   * Whether bytes are all zero. Reading takes pages of a memfd that were not there.
   *
   * @param offset Where the range begins.
   * @param count Bytes; up to the end by default.
   * @throws {AccessDenied} The memory may not be read.
   * @throws {OutOfBounds} The range is not in the memory.
   */
  isZero(offset: number = 0, count?: number): boolean {
    const [start, length] = this.#range(offset, count);
    if (length === 0) return true;
    return isZeroMemory(this.#locate(start, length, "read"), length);
  }

  /**
   * Writes a shared mapping's changes back to its file: `msync(2)`.
   *
   * @param wait Whether to return only when the file has them.
   * @throws {SystemError} The kernel refuses.
   */
  flush(wait: boolean = true): void {
    this.#ensureOpen();
    const { address, length } = mappingOf(this.#memory).shape;
    syncMemory(address, length, wait);
  }

  /**
   * The ranges that are in the host's RAM, in whole pages: `mincore(2)`. For a file, that includes
   * pages that others have read. The time is proportional to the size.
   *
   * @returns Offsets and bytes, in order, not adjacent.
   * @throws {SystemError} The kernel refuses.
   */
  residentRanges(): [offset: number, length: number][] {
    this.#ensureOpen();
    const ranges: [number, number][] = [];
    const { address, length } = mappingOf(this.#memory).shape;
    forResidentRuns(address, length, (...run) => ranges.push(run));
    return ranges;
  }

  /** Bytes of {@linkcode MmapRegion.residentRanges}. */
  residentBytes(): number {
    return this.residentRanges().reduce((sum, [, length]) => sum + length, 0);
  }

  /**
   * Whether this and another region map the same bytes of the same file, whatever descriptors they
   * were given.
   *
   * @param other The other.
   */
  fdsOverlap(other: MmapRegion): boolean {
    const [a, b] = [this, other].map((region) => {
      region.#ensureOpen();
      return mappingOf(region.#memory);
    }) as [Mapping, Mapping];
    const file = a.descriptor?.identity.file;
    if (file === undefined || b.descriptor?.identity.file !== file) return false;
    return a.shape.fileStart < b.shape.fileStart + b.shape.length &&
      b.shape.fileStart < a.shape.fileStart + a.shape.length;
  }

  /** Adds a reference: that of a region in the mapping. */
  retain(): void {
    this.#references.retain();
  }

  /** Removes a reference. */
  release(): void {
    this.#references.release();
  }

  /**
   * Ends the creator's reference. The memory is unmapped now if no region is in it, and with the
   * last region otherwise. Views of it become empty. Closing again does nothing.
   */
  close(): void {
    this.#references.close();
  }

  /** The same as {@linkcode MmapRegion.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** One line: length, kind and permissions. */
  override toString(): string {
    return `MmapRegion ${byteSize(this.len)} ${this.description}`;
  }

  /** What kind of memory this is, in a few words. */
  get description(): string {
    if (this.closed) return "(closed)";
    const access = ["no access", "read-only", "write-only", "read-write"][this.protection];
    const { kind, shared, fileStart } = mappingOf(this.#memory).shape;
    if (kind === "foreign") return `foreign ${access}`;
    const sharing = shared ? "shared" : "private";
    if (kind !== "file") return `${kind} ${kind === "memfd" ? "" : `${sharing} `}${access}`;
    const { descriptor } = mappingOf(this.#memory);
    const fd = this.fileOffset?.fd ?? descriptor!.fd;
    return `file ${fd} at ${hex(fileStart)} ${sharing} ${access}`;
  }

  // The host address of bytes for the very next call.
  #locate(offset: number, count: number, access: "read" | "write"): number {
    const address = MappedMemory.locate(this.#memory, offset, count, access);
    if (address < 0) throw new AccessDenied(access);
    return address;
  }

  // An offset and a count in the memory, which is open.
  #range(offset: number, count: number | undefined): [number, number] {
    this.#ensureOpen();
    // Not by `len` and `computeEndOffset`, which can be changed from JavaScript.
    const { length: size } = mappingOf(this.#memory).shape;
    const from = computeOffset(offset, 0);
    if (from > size) throw new OutOfBounds(from, size);
    const length = count ?? size - from;
    const end = computeOffset(from, length);
    if (end > size) throw new OutOfBounds(end, size);
    return [from, length];
  }

  #ensureOpen(): void {
    if (this.closed) throw new MemoryClosed("mapping");
    // A codec may have closed it, which gets at the memory itself.
    this.#memory.ensureOpen();
  }
}

function mapOne(size: number, options: MmapOptions): Made {
  const { bitmap: makeBitmap } = options;
  const plan = readOptions(options);
  checkSize(size);
  // The bitmap comes first: a failure of the caller's function must not leave a mapping behind.
  const bitmap = makeBitmap?.(size, GuestAddress(0)) ?? NoBitmap;
  const [mapping] = mapAll([{ size, plan }]) as [Mapping];
  const file = plan.backing.kind === "file" ? plan.backing.file : undefined;
  try {
    return { memory: new MappedMemory(mapping), bitmap, file };
  } catch (error) {
    mapping.release();
    throw error;
  }
}

const DISCARDS: ReadonlySet<Advice> = new Set<Advice>(["dontneed", "free", "remove"]);
