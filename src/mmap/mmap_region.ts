/**
 * A mapping in the host, before it has a place in a guest.
 *
 * @module
 */
import { fileStatus, hugePageSize } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { adviseMemory, countResidentPages, mapMemory } from "../../ffi/memory.ts";
import { pageSize, PROT, protectMemory, syncMemory } from "../../ffi/memory.ts";
import type { Advice } from "../../ffi/platform.ts";
import { GuestAddress } from "../address.ts";
import { type Bitmap, NoBitmap } from "../bitmap/bitmap.ts";
import { attachBitmap, type BitmapHandle, shareBitmap } from "../bitmap/bitmap_handle.ts";
import type { RegionOptions } from "../host_region.ts";
import { Holds } from "../holds.ts";
import { showAsText } from "../inspect.ts";
import { byteSize, hex } from "../number_format.ts";
import { Permissions } from "../permissions.ts";
import { VolatileMemory } from "../volatile_memory.ts";
import { MemoryClosed } from "../volatile_memory_error.ts";
import { VolatileSlice } from "../volatile_slice.ts";
import { FileOffset } from "./file_offset.ts";
import { MappedMemory, type Mapping } from "./mapped_memory.ts";
import { InvalidOffsetLength, InvalidPointer, MapFixed } from "./mmap_region_error.ts";
import { MappingPastEof } from "./mmap_region_error.ts";

/** How memory is mapped. */
export interface MmapOptions extends RegionOptions {
  /** What may be done with it. Reading and writing by default. */
  readonly protection?: Permissions;
  /**
   * Whether writes reach the file and other processes (`MAP_SHARED`), or stay with this mapping
   * (`MAP_PRIVATE`). By default shared with a file, private without.
   */
  readonly shared?: boolean;
  /**
   * Whether memory is reserved, so that a lack of it shows now (no `MAP_NORESERVE`). By default so
   * for huge pages, whose lack would end the process later.
   */
  readonly reserve?: boolean;
  /** More `MAP_*` bits, as the platform numbers them. `MAP_FIXED` is refused. */
  readonly flags?: number;
}

/** How one region is mapped: what is said of a memory, and what only one region can have. */
export interface MmapRegionOptions extends MmapOptions {
  /** The file to map; anonymous memory without. */
  readonly file?: FileOffset | undefined;
  /**
   * A foreign mapping's address, at a multiple of the page size: nothing is mapped then, nor
   * unmapped. The memory has to stay mapped, with `protection`, until the region is closed.
   */
  readonly pointer?: bigint;
  /**
   * The host address to map at, if there is room: a multiple of the page size. The kernel chooses
   * another where there is none.
   */
  readonly hint?: bigint;
  /** What `isHugetlbfs` says. It does not make huge pages: that takes `flags` or the file. */
  readonly hugetlbfs?: boolean;
}

/**
 * Memory on its way to another thread: see {@linkcode MmapRegion.share}. It can be cloned with
 * `postMessage`; what it consists of is for {@linkcode MmapRegion.attach} to know.
 */
export interface MmapRegionHandle {
  /** The host address. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  /** Whether the last holder unmaps it. */
  readonly owned: boolean;
  /** Counts the holders. */
  readonly holders: SharedArrayBuffer | undefined;
  /** Says whether the handle was attached. */
  readonly ticket: SharedArrayBuffer;
  /** What may be done with the memory. */
  readonly protection: Permissions;
  /** `MAP_*` bits it was mapped with. */
  readonly flags: number;
  /** The file it maps. */
  readonly file: { readonly fd: number; readonly start: number } | undefined;
  /** What is known of huge pages. */
  readonly hugetlbfs: boolean | undefined;
  /** The bitmap, if there is one. */
  readonly bitmap: BitmapHandle | undefined;
}

// What only attaching sets, beside the options that everybody may.
const attachments = new WeakMap<MmapRegionOptions, Pick<Mapping, "owned" | "holders">>();

/**
 * A mapping in the host. Mirrors `MmapRegion` and `MmapRegionBuilder`.
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
export class MmapRegion extends VolatileMemory implements Disposable {
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
  /** Whether it lies in huge pages of hugetlbfs, or `undefined` where nobody said. */
  readonly isHugetlbfs: boolean | undefined;
  readonly #memory: MappedMemory;
  readonly #slice: VolatileSlice;
  readonly #holds: Holds;
  #protection: Permissions;

  /**
   * Maps memory.
   *
   * @param size Bytes. The last page may be in part beyond it.
   * @param options How.
   * @throws {SystemError} The kernel refuses.
   * @throws {MappingPastEof} The file is regular and ends before the mapping.
   * @throws {InvalidOffsetLength} The offset in the file plus the size is beyond 2^53.
   * @throws {MapFixed} The flags ask for `MAP_FIXED`.
   * @throws {InvalidPointer} The foreign mapping is not page-aligned.
   * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported.
   * @throws {RangeError} A number is not an integer in [0, 2^53), or the size not one of huge pages.
   */
  constructor(size: number, options: MmapRegionOptions = {}) {
    super();
    const attachment = attachments.get(options);
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new RangeError(`Cannot map ${size} bytes: not an integer in [0, 2^53)`);
    }
    const { file, pointer, protection = Permissions.ReadWrite } = options;
    this.len = size;
    if (pointer === undefined) demandNotFixed(options);
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
    this.#protection = protection;
    // The bitmap comes first: a failure of the caller's function must not leave a mapping behind.
    const bitmap = options.bitmap?.(size, GuestAddress(0)) ?? NoBitmap;
    const address = pointer === undefined ? this.#map(size, options) : checkPointer(pointer, size);
    const { owned } = this;
    this.#memory = new MappedMemory(
      { address, length: size, owned, holders: attachment?.holders },
      protection,
    );
    this.#slice = new VolatileSlice(this.#memory, 0, size, bitmap);
    this.#holds = new Holds("mapping", () => this.#memory.close());
  }

  /**
   * Maps a file, shared unless the options say otherwise. Mirrors `from_file`.
   *
   * @param file The file and where to begin.
   * @param size Bytes.
   * @param options How.
   */
  static fromFile(file: FileOffset, size: number, options: MmapOptions = {}): MmapRegion {
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
    if (Atomics.exchange(new Int32Array(handle.ticket), 0, 0) !== 1) {
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
   * attached there with {@linkcode MmapRegion.attach}. It holds the memory until it is attached, and
   * both threads mark the same bitmap.
   *
   * @returns The handle: one for each thread.
   * @throws {MemoryClosed} The memory is closed.
   * @throws {TypeError} Its bitmap cannot be shared: it is no {@linkcode AtomicBitmap}, nor a slice
   * of one.
   */
  share(): MmapRegionHandle {
    const bitmap = shareBitmap(this.#slice.bitmap);
    const { address, length, owned, holders } = this.#memory.share();
    const ticket = new SharedArrayBuffer(4);
    new Int32Array(ticket)[0] = 1;
    return {
      address,
      length,
      owned,
      holders: holders?.buffer,
      ticket,
      protection: this.#protection,
      flags: this.flags,
      file: this.fileOffset && { fd: this.fileOffset.fd, start: this.fileOffset.start },
      hugetlbfs: this.isHugetlbfs,
      bitmap,
    };
  }

  /** What may be done with the memory. */
  get protection(): Permissions {
    return this.#protection;
  }

  /** Who is told of writes. */
  get bitmap(): Bitmap {
    return this.#slice.bitmap;
  }

  /** Whether the memory is unmapped. */
  get closed(): boolean {
    return this.#holds.released;
  }

  /**
   * The host address of the first byte. Asking for it keeps the memory mapped until it is closed,
   * even if it is forgotten. Mirrors `as_ptr`.
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
   * Changes what may be done with all of the memory: `mprotect(2)`.
   *
   * @param protection What may be done from now on.
   * @throws {SystemError} The kernel refuses, as to write a file that is open to read only.
   */
  protect(protection: Permissions): void {
    this.#demandOpen();
    // Never more in JavaScript than in the kernel, also if the call fails.
    this.#memory.permit((protection & this.#protection) as Permissions);
    try {
      protectMemory(this.#memory.address, this.len, protBits(protection));
      this.#protection = protection;
    } finally {
      this.#memory.permit(this.#protection);
    }
  }

  /**
   * Tells the kernel how the memory is used: `madvise(2)`. What is discarded (`"dontneed"`,
   * `"free"`, `"remove"`) is marked dirty. Mind what discarding means for the kind of memory: shared
   * memory keeps its content after `"dontneed"`, a private file's comes back.
   *
   * @param advice The advice.
   * @param offset Where the range begins: a multiple of the page size.
   * @param length Bytes; up to the end by default.
   * @throws {SystemError} The kernel refuses.
   * @throws {OutOfBounds} The range is not in the memory.
   */
  advise(advice: Advice, offset: number = 0, length?: number): void {
    this.#demandOpen();
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
   * @param wait Whether to return only when the file holds them.
   * @throws {SystemError} The kernel refuses.
   */
  sync(wait: boolean = true): void {
    this.#demandOpen();
    syncMemory(this.#memory.address, this.len, wait);
  }

  /**
   * Counts the bytes of the memory that are in the host's RAM, in whole pages: `mincore(2)`. For a
   * file, that includes what others have read of it. It takes time in proportion to the size.
   *
   * @throws {SystemError} The kernel refuses.
   */
  residentBytes(): number {
    this.#demandOpen();
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

  /** Adds a holder: a region that lies in the mapping. */
  retain(): void {
    this.#holds.retain();
  }

  /** Removes a holder. */
  release(): void {
    this.#holds.release();
  }

  /**
   * Ends the hold of whoever mapped the memory. It is unmapped at once if no region lies in it; else
   * with the last. Views of it become empty. Closing again does nothing.
   */
  close(): void {
    this.#holds.close();
  }

  /** The same as {@linkcode MmapRegion.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** One line: how long, what kind, what may be done. */
  override toString(): string {
    return `MmapRegion ${byteSize(this.len)} ${this.kind}`;
  }

  /** What kind of memory this is, in a few words. */
  get kind(): string {
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

  #demandOpen(): void {
    if (this.closed) throw new MemoryClosed("mapping");
  }
}

const DISCARDS: ReadonlySet<Advice> = new Set<Advice>(["dontneed", "free", "remove"]);

function mapFlags(options: MmapRegionOptions, huge: boolean): number {
  const { map } = libc().platform;
  const { file, shared = file !== undefined, reserve = huge, flags = 0 } = options;
  const sharing = shared ? map.shared : map.private;
  return flags | sharing | (file === undefined ? map.anonymous : 0) | (reserve ? 0 : map.noReserve);
}

function demandNotFixed({ flags = 0 }: MmapRegionOptions): void {
  const { map } = libc().platform;
  if ((flags & (map.fixed | map.fixedNoReplace)) === 0) return;
  throw new MapFixed("Cannot map memory with MAP_FIXED: where it goes is the kernel's choice");
}

// The size of the huge pages that are asked for, by flags or by the kind of file.
function hugePageOf({ flags = 0, file, pointer }: MmapRegionOptions): number | undefined {
  if (pointer !== undefined) return undefined;
  if (file !== undefined) return hugePageSize(file.fd);
  if ((flags & libc().platform.map.hugeTlb) === 0) return undefined;
  // MAP_HUGE_SHIFT of linux/mman.h; without, the default size, which is 2 MiB nearly everywhere.
  return 2 ** (flags >>> 26 || 21);
}

function protBits(protection: Permissions): number {
  return (Permissions.allow(protection, Permissions.Read) ? PROT.read : 0) |
    (Permissions.allow(protection, Permissions.Write) ? PROT.write : 0);
}

function checkFile({ fd, start }: FileOffset, size: number): void {
  if (start + size > Number.MAX_SAFE_INTEGER) {
    throw new InvalidOffsetLength(
      `Cannot map ${size} bytes of a file from ${start}: the end is beyond 2^53`,
    );
  }
  // Only a regular file's size says what can be mapped: devices and guest_memfd have none.
  const status = fileStatus(fd);
  if (status.isRegular && start + size > status.size) {
    throw new MappingPastEof(
      `Cannot map ${size} bytes of a file from ${start}: it ends at ${status.size}`,
    );
  }
}

function checkPointer(pointer: bigint, size: number): number {
  const address = Number(pointer);
  if (pointer <= 0n || !Number.isSafeInteger(address + size) || address % pageSize() !== 0) {
    throw new InvalidPointer(
      `Cannot use ${size} bytes at host address ${hex(pointer)}: not at a page's start`,
    );
  }
  return address;
}
