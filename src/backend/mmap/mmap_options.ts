/**
 * How memory is mapped, and which options are refused before any system call.
 *
 * @module
 */
import { fileStatus, hugePageSize } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import { pageSize, PROT } from "../../../ffi/memory.ts";
import type { Bitmap } from "../../bitmap/bitmap.ts";
import {
  InvalidOffsetLength,
  InvalidPointer,
  MapFixed,
  MappingPastEof,
} from "../../error/mmap_region_error.ts";
import type { RegionOptions } from "../../guest/host_region.ts";
import { Permissions } from "../../permissions.ts";
import { hex } from "../../text/number_format.ts";
import type { FileOffset } from "./file_offset.ts";

/** How memory is mapped. */
export interface MmapOptions<B extends Bitmap = Bitmap> extends RegionOptions<B> {
  /** The permissions of the memory. Reading and writing by default. */
  readonly protection?: Permissions;
  /**
   * Whether writes reach the file and other processes (`MAP_SHARED`), or stay with this mapping
   * (`MAP_PRIVATE`). By default shared with a file, private without.
   */
  readonly shared?: boolean;
  /**
   * Whether memory is reserved (no `MAP_NORESERVE`), so that a lack of it is an error now. True by
   * default for huge pages: a lack of them would end the process later.
   */
  readonly reserve?: boolean;
  /** More `MAP_*` bits, as the platform numbers them. `MAP_FIXED` is refused. */
  readonly flags?: number;
}

/** How one region is mapped: the options of a memory, and those that only one region can have. */
export interface MmapRegionOptions<B extends Bitmap = Bitmap> extends MmapOptions<B> {
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
  /** The value of `isHugetlbfs`. It does not make huge pages: `flags` or the file do. */
  readonly hugetlbfs?: boolean;
}

/**
 * The `MAP_*` bits of a mapping.
 *
 * @param options How it is mapped.
 * @param huge Whether it consists of huge pages.
 */
export function mapFlags(options: MmapRegionOptions, huge: boolean): number {
  const { map } = libc().platform;
  const { file, shared = file !== undefined, reserve = huge, flags = 0 } = options;
  const sharing = shared ? map.shared : map.private;
  return flags | sharing | (file === undefined ? map.anonymous : 0) | (reserve ? 0 : map.noReserve);
}

/** @throws {MapFixed} The flags ask for `MAP_FIXED`, or for a flag like it. */
export function ensureNotFixed({ flags = 0 }: MmapRegionOptions): void {
  const { map } = libc().platform;
  if ((flags & (map.fixed | map.fixedNoReplace)) === 0) return;
  throw new MapFixed("Cannot map memory with MAP_FIXED: where it goes is the kernel's choice");
}

/** Bytes of the huge pages that are asked for, by flags or by the kind of file. */
export function hugePageOf({ flags = 0, file, pointer }: MmapRegionOptions): number | undefined {
  if (pointer !== undefined) return undefined;
  if (file !== undefined) return hugePageSize(file.fd);
  if ((flags & libc().platform.map.hugeTlb) === 0) return undefined;
  // MAP_HUGE_SHIFT of linux/mman.h; without, the default size, which is 2 MiB nearly everywhere.
  return 2 ** (flags >>> 26 || 21);
}

/** `PROT_*` bits. */
export function protBits(protection: Permissions): number {
  return (Permissions.allow(protection, Permissions.Read) ? PROT.read : 0) |
    (Permissions.allow(protection, Permissions.Write) ? PROT.write : 0);
}

/**
 * Checks that a file has the bytes to map.
 *
 * @throws {MappingPastEof} It is regular and ends before.
 * @throws {InvalidOffsetLength} The end is beyond 2^53.
 */
export function checkFile({ fd, start }: FileOffset, size: number): void {
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

/**
 * A foreign mapping's address as a number.
 *
 * @throws {InvalidPointer} It is not page-aligned.
 */
export function checkPointer(pointer: bigint, size: number): number {
  const address = Number(pointer);
  if (pointer <= 0n || !Number.isSafeInteger(address + size) || address % pageSize() !== 0) {
    throw new InvalidPointer(
      `Cannot use ${size} bytes at host address ${hex(pointer)}: not at a page's start`,
    );
  }
  return address;
}
