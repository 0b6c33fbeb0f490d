/**
 * The content of regions, on its way to a file.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { fileStatus } from "../../ffi/file.ts";
import { reopenFile } from "../../ffi/file_lease.ts";
import { DataRuns } from "../../ffi/file_space.ts";
import { pageSize } from "../../ffi/memory.ts";
import { openPagemap, PAGE, type PageScan, scanPages } from "../../ffi/pagemap.ts";
import { forNonZeroRuns, readInMemory } from "../../ffi/pages.ts";
import { LibcUnavailable, SystemError } from "../../ffi/system_error.ts";
import type { MemoryRegionAddress } from "../address.ts";
import type { Descriptor } from "../backend/mmap/descriptor.ts";
import { GuestRegionMmap } from "../backend/mmap/guest_region_mmap.ts";
import { MappedMemory, mappingOf } from "../backend/mmap/mapped_memory.ts";
import type { Mapping } from "../backend/mmap/mapping.ts";
import { memoryOf, type MmapRegion } from "../backend/mmap/mmap_region.ts";
import { AccessDenied, MemoryClosed } from "../error/volatile_memory_error.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { HeldBuffer } from "./held_buffer.ts";
import type { Place } from "./layout.ts";
import type { Output } from "./transfer.ts";

/**
 * What becomes a hole of the file: pages of which the kernel knows that nobody has written them
 * (`"absent"`), these and pages of zeros (`"zero"`), or nothing.
 */
export type SkippedPages = "absent" | "zero" | "nothing";

/** The content of one region. */
export interface Content {
  /** Bytes. */
  readonly length: number;
  /** Where it begins in the file. */
  readonly position: number;
  /**
   * Writes a part.
   *
   * @param output The file, in whose part there are holes.
   * @param from Where the part begins: a multiple of the page size.
   * @param to Where it ends.
   * @param skip Which pages not to write.
   * @throws {SystemError} A call failed.
   */
  save(output: Output, from: number, to: number, skip: SkippedPages): void;
  /**
   * Lists the parts that have content now.
   *
   * @param onRun Called with the offset and the bytes of each, by rising offset.
   * @throws {SystemError} A call failed.
   */
  list(onRun: (offset: number, length: number) => void): void;
}

/** The contents of regions, with the descriptors that it takes to find out what they are. */
export class Contents implements Disposable {
  /** One for each region, in the order of the file. */
  readonly all: readonly Content[];
  readonly #opened: number[] = [];
  // Thousands of regions may be of one file.
  readonly #files = new Map<Descriptor, number | undefined>();

  /**
   * Asks the regions.
   *
   * @param places The regions.
   * @throws {MemoryClosed} One is closed.
   */
  constructor(places: readonly Place<GuestMemoryRegion>[]) {
    try {
      let pagemap: number | undefined;
      this.all = places.map(({ range: region, len, position }) => {
        if (!(region instanceof GuestRegionMmap)) return new ForeignContent(region, len, position);
        const { mmap } = region;
        pagemap ??= this.#open(openWorkingPagemap);
        return new MappedContent(mmap, position, pagemap, (mapping) => this.#fileOf(mapping));
      });
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  // A descriptor of the file of a mapping, with a position of its own.
  #fileOf({ descriptor }: Mapping): number | undefined {
    // Opening a device once more may do anything.
    if (descriptor === undefined || !fileStatus(descriptor.fd).isRegular) return undefined;
    if (!this.#files.has(descriptor)) {
      descriptor.ensureSameFile();
      this.#files.set(descriptor, this.#open(() => reopenFile(descriptor.fd)));
    }
    return this.#files.get(descriptor);
  }

  // What cannot be opened does without: all pages are written then.
  #open(open: () => number): number | undefined {
    try {
      const fd = open();
      this.#opened.push(fd);
      return fd;
    } catch (error) {
      if (error instanceof LibcUnavailable) return undefined;
      if (error instanceof SystemError && MISSING.includes(error.code)) return undefined;
      throw error;
    }
  }

  /** Closes the descriptors. */
  [Symbol.dispose](): void {
    for (const fd of this.#opened.splice(0)) closeDescriptor(fd);
  }
}

// There is no /proc, or none for this user, or the kernel has no such call.
const MISSING = ["ENOENT", "EACCES", "EPERM", "ENOTTY", "EINVAL", "ENOSYS"];

// Kernels before Linux 6.7 have the file, but no such call.
function openWorkingPagemap(): number {
  const pagemap = openPagemap();
  try {
    scanPages(pagemap, { address: pageSize(), length: pageSize() }, () => {});
    return pagemap;
  } catch (error) {
    closeDescriptor(pagemap);
    throw error;
  }
}

type OnRun = (offset: number, length: number, mayBeZero: boolean) => void;

type PageKind = Omit<PageScan, "address" | "length">;

// Pages of private memory that have content. The page of zeros, which reading maps, is none. What is
// swapped out may be a hole that a write tracker protects: these look alike.
const OWN: PageKind = {
  mask: PAGE.zero,
  inverted: PAGE.zero,
  anyOf: PAGE.present | PAGE.swapped,
  returned: PAGE.swapped,
};
// Those of a private mapping of a file that are not the file's.
const COPIES: PageKind = { ...OWN, mask: PAGE.zero | PAGE.file, inverted: PAGE.zero | PAGE.file };

class MappedContent implements Content {
  readonly length: number;
  readonly position: number;
  // Keeps the memory from being unmapped at garbage collection.
  readonly #mmap: MmapRegion;
  readonly #memory: MappedMemory;
  readonly #mapping: Mapping;
  readonly #pagemap: number | undefined;
  readonly #file: DataRuns | undefined;

  constructor(
    mmap: MmapRegion,
    position: number,
    pagemap: number | undefined,
    openFile: (mapping: Mapping) => number | undefined,
  ) {
    this.#mmap = mmap;
    this.#memory = memoryOf(mmap);
    this.#mapping = mappingOf(this.#memory);
    this.length = this.#mapping.shape.length;
    this.position = position;
    this.#pagemap = pagemap;
    const file = openFile(this.#mapping);
    this.#file = file === undefined ? undefined : new DataRuns(file);
  }

  list(onRun: (offset: number, length: number) => void): void {
    const { length } = this;
    if (length > 0) this.#list(this.#locate(0, length), 0, length, onRun);
  }

  // From here on no other code may run that could unmap it.
  #locate(from: number, to: number): number {
    const start = MappedMemory.locate(this.#memory, from, to - from, "read");
    if (start >= 0) return start;
    throw this.#mapping.released
      ? new MemoryClosed(this.#mmap.constructor.name)
      : new AccessDenied("read");
  }

  save(output: Output, from: number, to: number, skip: SkippedPages): void {
    const start = this.#locate(from, to);
    if (skip === "nothing") return output.write(start, to - from, this.position + from);
    const write = (offset: number, length: number) => {
      output.write(start + offset, length, this.position + from + offset);
    };
    const { kind, shared } = this.#mapping.shape;
    const areListed = kind === "anonymous" && !shared && this.#pagemap !== undefined;
    this.#list(start, from, to, (offset, length, mayBeZero) => {
      if (skip !== "zero" && !mayBeZero) return write(offset, length);
      // Other than the kernel's, an access of this process to a page that cannot be read ends it.
      // Pages that are there can be read.
      if (mayBeZero || !areListed) readInMemory(start + offset, length);
      forNonZeroRuns(start + offset, length, pageSize(), (at, count) => write(offset + at, count));
    });
  }

  // The parts that have content: offsets from `from`.
  #list(start: number, from: number, to: number, onRun: OnRun): void {
    const { kind, shared, fileStart } = this.#mapping.shape;
    const [pagemap, file] = [this.#pagemap, this.#file];
    const length = to - from;
    const scan = (pagemap: number, kind: PageKind, first: number, last: number) => {
      if (first >= last) return;
      const range = { address: start + first, length: last - first };
      scanPages(pagemap, { ...range, ...kind }, (offset, count, categories) => {
        // The last page may extend beyond the region.
        const rest = Math.min(count, length - first - offset);
        onRun(first + offset, rest, (categories & PAGE.swapped) !== 0);
      });
    };
    const place = fileStart + from;
    if (kind === "anonymous" && !shared && pagemap !== undefined) {
      scan(pagemap, OWN, 0, length);
    } else if (shared && file !== undefined) {
      // Pages that the kernel has taken back from this process are still in the file.
      file.forEach(place, place + length, (at, count) => onRun(at - place, count, false));
    } else if (kind === "file" && !shared && file !== undefined && pagemap !== undefined) {
      let done = 0;
      file.forEach(place, place + length, (at, count) => {
        const offset = at - place;
        scan(pagemap, COPIES, done, offset);
        onRun(offset, count, false);
        done = offset + count;
      });
      scan(pagemap, COPIES, done, length);
    } else onRun(0, length, false);
  }
}

// Memory that is not mapped is read into a buffer first.
class ForeignContent implements Content {
  readonly length: number;
  readonly position: number;
  readonly #region: GuestMemoryRegion;

  constructor(region: GuestMemoryRegion, length: number, position: number) {
    this.#region = region;
    this.length = length;
    this.position = position;
  }

  list(onRun: (offset: number, length: number) => void): void {
    if (this.length > 0) onRun(0, this.length);
  }

  save(output: Output, from: number, to: number, skip: SkippedPages): void {
    using buffer = new HeldBuffer(Math.min(to - from, BUFFER));
    const { address } = buffer;
    for (let at = from; at < to; at += BUFFER) {
      const count = Math.min(BUFFER, to - at);
      const bytes = buffer.bytes.subarray(0, count);
      // It may be the caller's, and close memory that is to be written.
      output.flush();
      this.#region.readSlice(bytes, at as MemoryRegionAddress);
      // The region may be the caller's, and have transferred the buffer.
      if (bytes.length !== count) throw new TypeError("Cannot save the region: it took the buffer");
      const write = (offset: number, length: number) => {
        output.write(address + offset, length, this.position + at + offset);
      };
      if (skip === "zero") forNonZeroRuns(address, count, pageSize(), write);
      else write(0, count);
    }
    // The buffer ends here.
    output.flush();
  }
}

// A multiple of any page size.
const BUFFER = 2 ** 20;
