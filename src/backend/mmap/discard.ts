/**
 * Giving memory back: the one call that is right for each kind of mapping.
 *
 * | mapping | call |
 * |---|---|
 * | anonymous, private | `MADV_DONTNEED`; locked `MADV_DONTNEED_LOCKED` |
 * | anonymous, shared | `MADV_REMOVE`; locked after `munlock(2)` |
 * | memfd, or a file, shared | `MADV_REMOVE`; locked or read-only `FALLOC_FL_PUNCH_HOLE` |
 * | a file, private | anonymous memory in its place |
 *
 * What other calls do: `MADV_DONTNEED` on shared memory returns 0 and gives nothing back; on a
 * private file mapping it shows the file again, which `FALLOC_FL_PUNCH_HOLE` would destroy.
 *
 * @module
 */
import { punchHole } from "../../../ffi/file_space.ts";
import { libc } from "../../../ffi/libc.ts";
import { adviseMemory, pageSize, replaceMemory } from "../../../ffi/memory.ts";
import { fillMemory, lockMemory, unlockMemory } from "../../../ffi/pages.ts";
import { SystemError } from "../../../ffi/system_error.ts";
import { OptionRefused } from "../../error/mmap_region_error.ts";
import { Permissions } from "../../permissions.ts";
import { type Mapping, protBits } from "./mapping.ts";
import { applyOptions } from "./page_options.ts";

/** What was discarded of a mapping. */
export interface Discarded {
  /** The offset of the first byte. */
  readonly offset: number;
  /** Bytes, of whole pages, that read zero now. */
  readonly length: number;
  /** Bytes that were given back: all of them, or none where they had to be kept. */
  readonly givenBack: number;
}

/**
 * Discards the whole pages that are inside a range.
 *
 * @param mapping The mapping.
 * @param offset Where the range begins.
 * @param count Its bytes.
 * @throws {OptionRefused} This kind of mapping cannot give memory back.
 * @throws {SystemError} The kernel refuses.
 */
export function discardPages(mapping: Mapping, offset: number, count: number): Discarded {
  const { address, length: size, pageSize: granule, kind, shared } = mapping.shape;
  const start = Math.ceil(offset / granule) * granule;
  // The last page belongs to the mapping, though its size may end inside it; but what follows there
  // in a file that others see is not its own.
  const hasLastPage = offset + count === size && !(kind === "file" && shared);
  const end = hasLastPage ? size : Math.floor((offset + count) / granule) * granule;
  if (end <= start) return { offset: start, length: 0, givenBack: 0 };
  const pages = Math.ceil((end - start) / granule) * granule;
  const isGivenBack = giveBack(mapping, address + start, start, pages);
  return { offset: start, length: end - start, givenBack: isGivenBack ? pages : 0 };
}

function giveBack(mapping: Mapping, address: number, offset: number, length: number): boolean {
  const { kind, shared, options: { lock } } = mapping.shape;
  const isLocked = lock !== false;
  if (kind === "foreign") throw refusal("the mapping is somebody else's, and its kind not known");
  if (!shared) return kind === "file" ? replace(mapping, address, length) : drop();
  if (libc().platform.advice.remove === undefined) throw refusal("only Linux has a call for this");
  if (kind === "anonymous") return isLocked ? removeLocked(address, length) : remove();
  const canRemove = !isLocked && Permissions.allow(mapping.protection, Permissions.Write);
  return canRemove ? remove() : punch(mapping, offset, length);

  function drop(): boolean {
    // Elsewhere the advice leaves the content.
    if (libc().platform.systemCalls === undefined) return replace(mapping, address, length);
    adviseMemory(address, length, isLocked ? "dontneed-locked" : "dontneed");
    return true;
  }

  function remove(): boolean {
    adviseMemory(address, length, "remove");
    return true;
  }
}

// Locked again only page by page as they are touched: all of them would be taken again now.
function removeLocked(address: number, length: number): boolean {
  unlockMemory(address, length);
  try {
    adviseMemory(address, length, "remove");
  } finally {
    lockMemory(address, length, true);
  }
  return true;
}

function punch({ shape, descriptor }: Mapping, offset: number, length: number): boolean {
  if (descriptor === undefined || !descriptor.identity.writable) {
    throw refusal("the file is open to read only");
  }
  descriptor.ensureSameFile();
  punchHole(descriptor.fd, shape.fileStart + offset, length);
  return true;
}

// Only the mapping changes, never the file.
function replace(mapping: Mapping, address: number, length: number): boolean {
  const { pageSize: granule, options } = mapping.shape;
  if (granule !== pageSize()) throw refusal("private mappings of hugetlbfs cannot be replaced");
  try {
    replaceMemory(address, length, protBits(mapping.protection));
  } catch (error) {
    // The process has as many mappings as it may, and each piece that is replaced adds two.
    if (!(error instanceof SystemError && error.code === "ENOMEM")) throw error;
    if (!Permissions.allow(mapping.protection, Permissions.Write)) throw error;
    fillMemory(address, length, 0);
    return false;
  }
  const { lock } = options;
  applyOptions(address, length, { ...options, lock: lock === false ? false : "onfault" });
  return true;
}

function refusal(reason: string): OptionRefused {
  return new OptionRefused("discard", reason);
}
