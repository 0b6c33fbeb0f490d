/**
 * A mapping in the host, before it has a place in a guest.
 *
 * @module
 */
import { libc } from "../../../ffi/libc.ts";
import { adviseMemory, countResidentPages, mapMemory } from "../../../ffi/memory.ts";
import { pageSize, protectMemory, syncMemory } from "../../../ffi/memory.ts";
import type { Advice } from "../../../ffi/platform.ts";
import { GuestAddress } from "../../address.ts";
import { type Bitmap, NoBitmap } from "../../bitmap/bitmap.ts";
import { attachBitmap, shareBitmap } from "../../bitmap/bitmap_handle.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import { RefCount } from "../../guest/ref_count.ts";
import { checkPermissions, Permissions } from "../../permissions.ts";
import { shown } from "../../text/argument.ts";
import { showAsText } from "../../text/inspect.ts";
import { byteSize, hex } from "../../text/number_format.ts";
import { VolatileMemory } from "../../volatile/volatile_memory.ts";
import { VolatileSlice } from "../../volatile/volatile_slice.ts";
import { FileOffset } from "./file_offset.ts";
import { MappedMemory } from "./mapped_memory.ts";
import type { Mapping } from "./mapping.ts";
import type { MmapRegionHandle } from "./mmap_handle.ts";
import { checkFile, checkPointer, ensureNotFixed, hugePageOf, mapFlags } from "./mmap_options.ts";
import { type MmapOptions, type MmapRegionOptions, protBits } from "./mmap_options.ts";

// What `attach` sets in addition to the public options.
const attachments = new WeakMap<MmapRegionOptions, Pick<Mapping, "owned" | "holders">>();

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
  }

  /** Bytes. */
  readonly len: number;
  /** `MAP_*` bits it was mapped with. */
  readonly flags: number;
  /** Whether closing the region unmaps it. */
  readonly owned: boolean;
  /** The file it maps, if there is one. */
  readonly fileOffset: FileOffset | undefined;
  /** Whether it is in huge pages of hugetlbfs; `undefined` if the options do not say. */
  readonly isHugetlbfs: boolean | undefined;
  readonly #memory: MappedMemory;
  readonly #slice: VolatileSlice;
  readonly #references: RefCount;
  #protection: Permissions;

  /**
   * Maps memory.
   *
   * @param size Bytes. The last page may extend beyond it.
   * @param options How.
   * @throws {SystemError} The kernel refuses.
   * @throws {MappingPastEof} The file is regular and ends before the mapping.
   * @throws {InvalidOffsetLength} The offset in the file plus the size is beyond 2^53.
   * @throws {MapFixed} The flags ask for `MAP_FIXED`.
   * @throws {InvalidPointer} The foreign mapping is not page-aligned.
   * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported.
   * @throws {RangeError} A number is not an integer in [0, 2^53), or the size not one of huge
   * pages.
   */
  constructor(size: number, options: MmapRegionOptions<B> = {}) {
    super();
    const attachment = attachments.get(options);
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new RangeError(`Cannot map ${shown(size)} bytes: size is not an integer in [0, 2^53)`);
    }
    const { file, pointer, protection = Permissions.ReadWrite } = options;
    this.len = size;
    if (pointer === undefined) ensureNotFixed(options);
    const hugePage = hugePageOf(options);
    if (hugePage !== undefined && size % hugePage !== 0) {
      // The kernel would round it up by itself, and then refuse to unmap less.
      throw new RangeError(
        `Cannot map ${size} bytes in huge pages: not a multiple of ${byteSize(hugePage)}`,
      );
    }
    this.flags = pointer === undefined
      ? mapFlags(options, hugePage !== undefined)
      : options.flags ?? 0;
    this.owned = attachment?.owned ?? pointer === undefined;
    this.fileOffset = file;
    this.isHugetlbfs = options.hugetlbfs;
    this.#protection = checkPermissions(protection);
    // The bitmap comes first: a failure of the caller's function must not leave a mapping behind.
    const bitmap = options.bitmap?.(size, GuestAddress(0)) ?? NoBitmap;
    const address = pointer === undefined ? this.#map(size, options) : checkPointer(pointer, size);
    const { owned } = this;
    this.#memory = new MappedMemory(
      { address, length: size, owned, holders: attachment?.holders },
      protection,
    );
    this.#slice = new VolatileSlice(this.#memory, 0, size, bitmap);
    this.#references = new RefCount("mapping", () => this.#memory.close());
  }

  /**
   * Maps a file, shared unless the options say otherwise. Mirrors `from_file`.
   *
   * @param file The file and where to begin.
   * @param size Bytes.
   * @param options How.
   */
  static fromFile<B extends Bitmap>(
    file: FileOffset,
    size: number,
    options: MmapOptions<B> = {},
  ): MmapRegion<B> {
    return new MmapRegion(size, { ...options, file });
  }

  /**
   * Attaches memory that another thread shared with {@linkcode MmapRegion.share}.
   *
   * @param handle What the other thread sent. It can be used once.
   * @returns The same memory. It is unmapped when every thread has closed it.
   * @throws {MemoryClosed} The handle was used already.
   */
  static attach(handle: MmapRegionHandle): MmapRegion {
    if (Atomics.exchange(new Int32Array(handle.claimed), 0, 1) !== 0) {
      throw new MemoryClosed("a handle that was used");
    }
    const { address, length, owned, protection, flags, file, hugetlbfs, bitmap } = handle;
    const options: MmapRegionOptions = {
      pointer: BigInt(address),
      protection,
      flags,
      bitmap: () => attachBitmap(bitmap),
      ...(file === undefined ? {} : { file: new FileOffset(file.fd, file.start) }),
      ...(hugetlbfs === undefined ? {} : { hugetlbfs }),
    };
    attachments.set(options, {
      owned,
      holders: handle.holders === undefined ? undefined : new Int32Array(handle.holders),
    });
    return new MmapRegion(length, options);
  }

  /**
   * A handle of this memory for another thread of the program, to be sent with `postMessage` and
   * attached there with {@linkcode MmapRegion.attach}. It has a reference to the memory until it is
   * attached. Both threads mark the same bitmap.
   *
   * @returns The handle: one for each thread.
   * @throws {MemoryClosed} The memory is closed.
   * @throws {TypeError} Its bitmap cannot be shared: it is no {@linkcode AtomicBitmap}, nor a slice
   * of one.
   */
  share(): MmapRegionHandle {
    const bitmap = shareBitmap(this.#slice.bitmap);
    const { address, length, owned, holders } = this.#memory.share();
    const claimed = new SharedArrayBuffer(4);
    return {
      address,
      length,
      owned,
      holders: holders?.buffer,
      claimed,
      protection: this.#protection,
      flags: this.flags,
      file: this.fileOffset && { fd: this.fileOffset.fd, start: this.fileOffset.start },
      hugetlbfs: this.isHugetlbfs,
      bitmap,
    };
  }

  /** The permissions of the memory. */
  get protection(): Permissions {
    return this.#protection;
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
   * Changes the permissions of all of the memory: `mprotect(2)`.
   *
   * @param protection The new permissions.
   * @throws {SystemError} The kernel refuses, as to write a file that is open to read only.
   */
  protect(protection: Permissions): void {
    this.#ensureOpen();
    checkPermissions(protection);
    // Never more in JavaScript than in the kernel, also if the call fails.
    this.#memory.setPermissions((protection & this.#protection) as Permissions);
    try {
      protectMemory(this.#memory.address, this.len, protBits(protection));
      this.#protection = protection;
    } finally {
      this.#memory.setPermissions(this.#protection);
    }
  }

  /**
   * Advises the kernel how the memory is used: `madvise(2)`. What is discarded (`"dontneed"`,
   * `"free"`, `"remove"`) is marked dirty. Mind what discarding means for the kind of memory:
   * shared memory keeps its content after `"dontneed"`, a private file's comes back.
   *
   * @param advice The advice.
   * @param offset Where the range begins: a multiple of the page size.
   * @param length Bytes; up to the end by default.
   * @throws {SystemError} The kernel refuses.
   * @throws {OutOfBounds} The range is not in the memory.
   */
  advise(advice: Advice, offset: number = 0, length?: number): void {
    this.#ensureOpen();
    const count = length ?? this.len - this.computeEndOffset(offset, 0);
    const end = this.computeEndOffset(offset, count);
    adviseMemory(this.#memory.address + offset, count, advice);
    if (!DISCARDS.has(advice)) return;
    // The kernel discards whole pages.
    const lastEnd = Math.min(Math.ceil(end / pageSize()) * pageSize(), this.len);
    this.#slice.markDirty(offset, lastEnd - offset);
  }

  /**
   * Writes a shared mapping's changes back to its file: `msync(2)`.
   *
   * @param wait Whether to return only when the file has them.
   * @throws {SystemError} The kernel refuses.
   */
  sync(wait: boolean = true): void {
    this.#ensureOpen();
    syncMemory(this.#memory.address, this.len, wait);
  }

  /**
   * Counts the bytes of the memory that are in the host's RAM, in whole pages: `mincore(2)`. For a
   * file, that includes pages that others have read. The time is proportional to the size.
   *
   * @throws {SystemError} The kernel refuses.
   */
  residentBytes(): number {
    this.#ensureOpen();
    return countResidentPages(this.#memory.address, this.len) * pageSize();
  }

  /**
   * Whether this and another region map the same bytes of the same descriptor.
   *
   * @param other The other.
   */
  fdsOverlap(other: MmapRegion): boolean {
    const a = this.fileOffset;
    const b = other.fileOffset;
    return a !== undefined && b !== undefined && a.fd === b.fd &&
      a.start < b.start + other.len && b.start < a.start + this.len;
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
    const access = ["no access", "read-only", "write-only", "read-write"][this.#protection];
    if (!this.owned) return `foreign ${access}`;
    const shared = (this.flags & libc().platform.map.shared) !== 0 ? "shared" : "private";
    if (this.fileOffset === undefined) return `anonymous ${shared} ${access}`;
    return `file ${this.fileOffset.fd} at ${hex(this.fileOffset.start)} ${shared} ${access}`;
  }

  #map(size: number, { file, hint = 0n }: MmapRegionOptions): number {
    if (file !== undefined) checkFile(file, size);
    return mapMemory({
      hint: Number(hint),
      length: size,
      prot: protBits(this.#protection),
      flags: this.flags,
      fd: file?.fd ?? -1,
      offset: file?.start ?? 0,
    });
  }

  #ensureOpen(): void {
    if (this.closed) throw new MemoryClosed("mapping");
    // A codec may have closed it, which gets at the memory itself.
    this.#memory.ensureOpen();
  }
}

const DISCARDS: ReadonlySet<Advice> = new Set<Advice>(["dontneed", "free", "remove"]);
