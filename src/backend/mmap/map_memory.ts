/**
 * Maps memory as options say: all of it, or nothing.
 *
 * @module
 */
import { forAll } from "../../bitmap/bitmap.ts";
import { allocateFile } from "../../../ffi/file_space.ts";
import { reopenFile } from "../../../ffi/file_lease.ts";
import { createMemfd, isMemfd } from "../../../ffi/memfd.ts";
import { fileStatus, hugePageSize } from "../../../ffi/file.ts";
import { libc } from "../../../ffi/libc.ts";
import {
  adviseMemory,
  mapMemory,
  pageSize,
  reserveMemory,
  unmapMemory,
} from "../../../ffi/memory.ts";
import { availableMemory } from "../../../ffi/process.ts";
import {
  InvalidOffsetLength,
  InvalidPointer,
  MappingPastEof,
  OptionRefused,
} from "../../error/mmap_region_error.ts";
import { Permissions } from "../../permissions.ts";
import { checkCount, shown } from "../../text/argument.ts";
import { byteSize, hex } from "../../text/number_format.ts";
import type { BackingPlan } from "./backing.ts";
import { Descriptor } from "./descriptor.ts";
import { FileLease } from "./file_lease.ts";
import { Mapping, protBits } from "./mapping.ts";
import type { MappingPlan } from "./mmap_options.ts";
import {
  applyOptions,
  ensureEffective,
  ensureEnough,
  HUGE_PAGE,
  populating,
  refusing,
} from "./page_options.ts";

/** One mapping to be made. */
export interface MappingRequest {
  /** Bytes. The last page may extend beyond it. */
  readonly size: number;
  /** How. */
  readonly plan: MappingPlan;
  /**
   * The guest address of its first byte: mappings that are adjacent in the guest are so in the host.
   * Without, the mapping stands alone.
   */
  readonly startAddr?: number;
}

/**
 * Makes mappings. If one cannot be made, none is left.
 *
 * @param requests In the order of the guest.
 * @throws {OptionRefused} An option cannot be had.
 * @throws {SystemError} The kernel refuses.
 * @throws {MmapRegionError} A file is too short, or a foreign mapping not page-aligned.
 * @throws {RangeError} A size is not an integer in [0, 2^53), or not one of huge pages.
 */
export function mapAll(requests: readonly MappingRequest[]): Mapping[] {
  const undo: (() => void)[] = [];
  try {
    const parts = measureAll(requests);
    ensureAvailable(parts);
    const files = new Map<BackingPlan, BackingFile>();
    const mappings: Mapping[] = [];
    let group: HostGroup | undefined;
    for (const [i, part] of parts.entries()) {
      if (part.plan.backing.kind === "foreign") {
        mappings.push(adopt(part, part.plan.backing.hostAddress));
        continue;
      }
      if (group === undefined || i >= group.end) group = reserveGroup(parts, i, undo);
      const file = openFor(part, parts, files, undo);
      mappings.push(mapPart(part, group, file));
      if (file !== undefined) undo.push(() => release(file));
    }
    ensureEffective(mappings.map((mapping, i) => [mapping, parts[i]!.plan]));
    for (const file of files.values()) release(file);
    return mappings;
  } catch (error) {
    try {
      forAll(undo.reverse(), (step) => step());
    } catch (another) {
      throw new AggregateError([error, another], "Cannot map memory, nor unmap what was mapped");
    }
    throw error;
  }
}

/** A request, with what is known before the first system call that maps. */
interface Part extends MappingRequest {
  /** Bytes of its pages. */
  readonly pageSize: number;
  /** Bytes of all its pages. */
  readonly pages: number;
  /** Where it begins in the file of its backing; 0 without one. */
  readonly offset: number;
}

// The ranges of one backing are one after another in its file.
function measureAll(requests: readonly MappingRequest[]): Part[] {
  const ends = new Map<BackingPlan, number>();
  return requests.map((request) => {
    const { backing } = request.plan;
    const offset = ends.get(backing) ?? (backing.kind === "file" ? backing.start : 0);
    const part = measure(request, offset);
    ends.set(backing, offset + part.pages);
    if (backing.kind === "file") {
      checkFile(backing.fd, offset, part.size);
      if (backing.private && !backing.isTemplate) ensureNoMemfd(backing.fd);
    }
    return part;
  });
}

/** @throws {RangeError} The size of a mapping is not an integer in [0, 2^53). */
export function checkSize(size: number): void {
  if (Number.isSafeInteger(size) && size >= 0) return;
  throw new RangeError(`Cannot map ${shown(size)} bytes: size is not an integer in [0, 2^53)`);
}

function measure({ size, plan, startAddr }: MappingRequest, offset: number): Part {
  checkSize(size);
  if (startAddr !== undefined) checkCount(startAddr, "startAddr");
  const huge = hugePagesOf(plan.backing);
  if (huge !== undefined && huge <= pageSize()) {
    throw new RangeError(`Cannot map huge pages of ${huge} bytes: pages have ${pageSize()}`);
  }
  if (huge !== undefined && size % huge !== 0) {
    // The kernel would round it up by itself, and then refuse to unmap less.
    throw new RangeError(
      `Cannot map ${size} bytes in huge pages: not a multiple of ${byteSize(huge)}`,
    );
  }
  const granule = huge ?? pageSize();
  const pages = Math.ceil(size / granule) * granule;
  const part = { size, plan, pageSize: granule, pages, offset };
  return startAddr === undefined ? part : { ...part, startAddr };
}

function hugePagesOf(backing: BackingPlan): number | undefined {
  switch (backing.kind) {
    case "foreign":
      return undefined;
    case "file":
      return hugePageSize(backing.fd);
    default:
      return backing.hugePages;
  }
}

// The kernel answers a lack of memory by killing a process, where it did not reserve any.
function ensureAvailable(parts: readonly Part[]): void {
  const needs = parts.map((part) => ({ part, bytes: takenNow(part) }))
    .filter(({ bytes }) => bytes > 0);
  if (needs.length === 0) return;
  const needed = needs.reduce((sum, { bytes }) => sum + bytes, 0);
  const available = availableMemory();
  const { reserve, prefault } = needs[0]!.part.plan;
  ensureEnough(reserve ? "reserve" : prefault ? "prefault" : "lock", needed, available);
}

// Bytes of the memory that is available which a part takes now: no huge pages, which are of a pool.
function takenNow({ plan, pages, pageSize: granule }: Part): number {
  const { backing, protection, reserve, prefault, lock } = plan;
  const takesPages = prefault || lock === true;
  if (granule !== pageSize() || !(takesPages || reserve)) return 0;
  switch (backing.kind) {
    case "memfd":
      return pages;
    case "file": {
      if (backing.private) {
        return takesPages && Permissions.allow(protection, Permissions.Write) ? pages : 0;
      }
      return isMemfd(backing.fd) ? Math.max(0, pages - fileStatus(backing.fd).stored) : 0;
    }
    default:
      // Of other memory, the kernel reserves what it is asked to, or refuses it.
      return takesPages && backing.kind === "anonymous" ? pages : 0;
  }
}

/** Room in the host for mappings that are adjacent in the guest. */
interface HostGroup {
  /** The host address of the first mapping. */
  readonly address: number;
  /** The guest address of the first mapping. */
  readonly startAddr: number;
  /** The index after the last mapping. */
  readonly end: number;
  /** Bytes before and after, which refuse every access. */
  readonly guard: number;
}

function reserveGroup(parts: readonly Part[], first: number, undo: (() => void)[]): HostGroup {
  const { startAddr = 0, pageSize: granule, plan, size } = parts[first]!;
  const guard = plan.guardPages ? granule : 0;
  let end = first + 1;
  let length = parts[first]!.pages;
  while (guard === 0 && end < parts.length && follows(parts[end - 1]!, parts[end]!)) {
    length += parts[end++]!.pages;
  }
  const alignment = Math.max(granule, length >= HUGE_PAGE ? HUGE_PAGE : 0);
  // The guard before must not shift the start of the memory.
  const before = guard === 0 ? 0 : Math.max(guard, alignment);
  const start = reserveMemory(before + (size === 0 ? 0 : length) + guard, alignment);
  const address = start + before;
  if (before > guard) unmapMemory(start, before - guard);
  undo.push(() => unmapMemory(address - guard, length + 2 * guard));
  return { address, startAddr, end, guard };
}

function follows(previous: Part, next: Part): boolean {
  return previous.startAddr !== undefined && previous.size === previous.pages &&
    next.startAddr === previous.startAddr + previous.size && !next.plan.guardPages &&
    next.pageSize === previous.pageSize && next.plan.backing.kind !== "foreign";
}

/** The file of a backing, with a reference for each mapping of it. */
interface BackingFile {
  readonly descriptor: Descriptor;
  readonly lease: FileLease | undefined;
}

function release({ descriptor, lease }: BackingFile): void {
  lease?.release();
  descriptor.release();
}

// The file of a part. All parts of one backing have the same.
function openFor(
  { plan: { backing } }: Part,
  parts: readonly Part[],
  files: Map<BackingPlan, BackingFile>,
  undo: (() => void)[],
): BackingFile | undefined {
  const known = files.get(backing);
  if (known !== undefined || backing.kind !== "memfd" && backing.kind !== "file") return known;
  const file = backing.kind === "memfd"
    ? { descriptor: makeMemfd(backing, parts), lease: undefined }
    : openBackingFile(backing);
  files.set(backing, file);
  undo.push(() => release(file));
  return file;
}

function makeMemfd(
  backing: BackingPlan & { readonly kind: "memfd" },
  parts: readonly Part[],
): Descriptor {
  const { name, hugePages, seal } = backing;
  const size = parts.filter(({ plan }) => plan.backing === backing)
    .reduce((sum, { pages }) => sum + pages, 0);
  const option = hugePages === undefined ? "backing" : "hugePages";
  return Descriptor.own(refusing(option, () => createMemfd({ name, size, hugePages, seal })));
}

function openBackingFile(
  { fd, lease: onBreak }: BackingPlan & { readonly kind: "file" },
): BackingFile {
  if (onBreak === undefined) return { descriptor: Descriptor.of(fd), lease: undefined };
  // Threads that lease the same opening would end each other's lease.
  const descriptor = refusing("lease", () => Descriptor.own(reopenFile(fd)));
  try {
    return { descriptor, lease: refusing("lease", () => FileLease.take(descriptor, onBreak)) };
  } catch (error) {
    descriptor.release();
    throw error;
  }
}

function mapPart(part: Part, group: HostGroup, file: BackingFile | undefined): Mapping {
  const { descriptor, lease } = file ?? {};
  const { size, plan, pageSize: granule, pages, offset, startAddr = 0 } = part;
  const { backing, protection } = plan;
  const address = group.address + (startAddr - group.startAddr);
  const isHuge = granule !== pageSize();
  const reserve = plan.reserve ?? isHuge;
  if (backing.kind === "file" && plan.reserve === true && !backing.private) {
    refusing("reserve", () => allocateRegular(descriptor!.fd, offset, size));
  }
  const shared = backing.kind === "memfd" || backing.kind === "file" && !backing.private ||
    backing.kind === "anonymous" && backing.shared;
  const flags = mapFlags(part, shared, reserve, isHuge);
  const fd = descriptor?.fd ?? -1;
  const map = () =>
    mapMemory({ address, length: size, prot: protBits(protection), flags, fd, offset });
  // Without a file, the kernel can refuse nothing but the pages.
  if (isHuge) refusing("hugePages", map, descriptor && "ENOMEM");
  else if (plan.reserve) refusing("reserve", map, "ENOMEM");
  else map();
  const { guard } = group;
  const { kind } = backing;
  const shape = { address, length: size, guard, kind, shared, pageSize: granule, flags };
  const { transparentHugePages, mergeable, dontDump, dontFork, lock, numa } = plan;
  const options = { transparentHugePages, mergeable, dontDump, dontFork, lock, numa };
  applyOptions(address, pages, options);
  if (plan.prefault) {
    refusing("prefault", () => adviseMemory(address, pages, populating(protection)));
  }
  descriptor?.retain();
  lease?.retain();
  const onRelease = () => lease?.release();
  return Mapping.of({ ...shape, options, fileStart: offset }, protection, descriptor, onRelease);
}

function mapFlags(part: Part, shared: boolean, reserve: boolean, isHuge: boolean): number {
  const { map } = libc().platform;
  const { flags, backing } = part.plan;
  const isAnonymous = backing.kind === "anonymous";
  if (isAnonymous && isHuge && map.hugeTlb === 0) {
    throw new OptionRefused("hugePages", "the platform has no hugetlbfs");
  }
  // MAP_HUGE_SHIFT of linux/mman.h
  const huge = isAnonymous && isHuge ? map.hugeTlb | Math.log2(part.pageSize) << 26 : 0;
  return flags | (shared ? map.shared : map.private) | (isAnonymous ? map.anonymous : 0) |
    (reserve ? 0 : map.noReserve) | huge;
}

/**
 * Checks that a file has the bytes to map.
 *
 * @throws {MappingPastEof} It is regular and ends before.
 * @throws {InvalidOffsetLength} The end is beyond 2^53.
 */
function checkFile(fd: number, start: number, size: number): void {
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

// What is written would be there twice: in the memfd from before, and in the mapping.
function ensureNoMemfd(fd: number): void {
  if (!isMemfd(fd)) return;
  throw new OptionRefused("private", "the file is a memfd, whose memory would be taken twice");
}

// Devices have no room to allocate.
function allocateRegular(fd: number, offset: number, length: number): void {
  if (fileStatus(fd).isRegular) allocateFile(fd, offset, length);
}

// Memory that somebody else mapped.
function adopt({ size, plan, pageSize: granule }: Part, hostAddress: bigint): Mapping {
  const address = Number(hostAddress);
  const isPlace = hostAddress > 0n && Number.isSafeInteger(address + size);
  if (!isPlace || address % granule !== 0) {
    throw new InvalidPointer(
      `Cannot use ${size} bytes at host address ${hex(hostAddress)}: not at a page's start`,
    );
  }
  const { transparentHugePages, mergeable, dontDump, dontFork, lock, numa, prefault } = plan;
  const options = { transparentHugePages, mergeable, dontDump, dontFork, lock, numa };
  const { guardPages, reserve } = plan;
  for (const [option, value] of Object.entries({ ...options, prefault, guardPages, reserve })) {
    if (!value) continue;
    throw new OptionRefused(option, "the mapping is somebody else's");
  }
  const shape = { address, length: size, guard: 0, kind: "foreign" as const, shared: false };
  const rest = { pageSize: granule, options, flags: plan.flags, fileStart: 0 };
  return Mapping.of({ ...shape, ...rest }, plan.protection);
}
