/**
 * The mappings of regions, as the kernel's lists of pages know them.
 *
 * @module
 */
import { libc } from "../../ffi/libc.ts";
import { LibcUnavailable, SystemError } from "../../ffi/system_error.ts";
import type { GuestAddress } from "../address.ts";
import { GuestRegionMmap } from "../backend/mmap/guest_region_mmap.ts";
import { mappingOf } from "../backend/mmap/mapped_memory.ts";
import type { Mapping } from "../backend/mmap/mapping.ts";
import { memoryOf, type MmapRegion } from "../backend/mmap/mmap_region.ts";
import { RegionNotTrackable, TrackingUnavailable } from "../error/tracking_error.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";

/** A region that is mapped, as it was when it was asked. */
export interface MappedRegion {
  /** The guest address of its first byte. */
  readonly startAddr: GuestAddress;
  /** Its mapping. */
  readonly mapping: Mapping;
  /** What keeps that mapped: it is unmapped when nobody can reach it. */
  readonly mmap: MmapRegion;
}

/**
 * The mapping of a region.
 *
 * @throws {RegionNotTrackable} It has none.
 * @throws {MemoryClosed} It is closed.
 */
export function mappedRegion(region: GuestMemoryRegion): MappedRegion {
  const { startAddr } = region;
  if (!(region instanceof GuestRegionMmap)) {
    throw new RegionNotTrackable(startAddr, "it is not mapped: make it with GuestMemoryMmap");
  }
  const { mmap } = region;
  return { startAddr, mmap, mapping: mappingOf(memoryOf(mmap)) };
}

/** Bytes of all pages of a mapping. */
export function pagesLength({ shape: { length, pageSize } }: Mapping): number {
  return Math.ceil(length / pageSize) * pageSize;
}

/**
 * Makes a call that older kernels do not have.
 *
 * @param call The call.
 * @throws {TrackingUnavailable} It failed because the kernel does not have it, or does not allow it.
 */
export function ensureAvailable<T>(call: () => T): T {
  // Without permission nothing is mapped either: its own error says what to do.
  libc();
  try {
    return call();
  } catch (error) {
    if (error instanceof LibcUnavailable) throw new TrackingUnavailable("it needs Linux", error);
    const hint = error instanceof SystemError ? HINTS[`${error.call} ${error.code}`] : undefined;
    throw hint === undefined ? error : new TrackingUnavailable(hint, error);
  }
}

const HINTS: Readonly<Record<string, string>> = {
  "userfaultfd ENOSYS": "the kernel has no userfaultfd(2)",
  "userfaultfd EPERM": "userfaultfd(2) and /dev/userfaultfd are not allowed to this process",
  "ioctl EINVAL": "the kernel does not protect asynchronously, as Linux 6.7 and later do",
  "ioctl ENOTTY": "the kernel has no PAGEMAP_SCAN, as Linux 6.7 and later have",
  "open ENOENT": "there is no /proc",
  "open EACCES": "/proc/self/pagemap may not be read",
};
