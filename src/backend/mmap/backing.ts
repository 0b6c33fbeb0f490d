/**
 * What a mapping consists of.
 *
 * @module
 */
import type { OpenFile } from "../../../ffi/descriptor_of.ts";
import { checkFlag, checkNumber, shown, wrongKind } from "../../text/argument.ts";
import type { OnLeaseBreak } from "./file_lease.ts";
import { FileOffset } from "./file_offset.ts";

/** What a backing is, as it was read from the caller. */
export type BackingPlan =
  | { readonly kind: "anonymous"; readonly shared: boolean; readonly hugePages: number | undefined }
  | {
    readonly kind: "memfd";
    readonly name: string;
    readonly hugePages: number | undefined;
    readonly seal: boolean;
  }
  | {
    readonly kind: "file";
    readonly file: FileOffset;
    readonly fd: number;
    readonly start: number;
    readonly private: boolean;
    readonly lease: OnLeaseBreak | undefined;
    /** Whether it may be a memfd though the mapping is private. */
    readonly isTemplate: boolean;
  }
  | { readonly kind: "foreign"; readonly hostAddress: bigint };

/** {@linkcode Backing.anonymous}'s options. */
export interface AnonymousOptions {
  /** Whether child processes share it (`MAP_SHARED`). False by default. */
  readonly shared?: boolean;
  /** Bytes of huge pages that it consists of, such as 2 MiB; ordinary pages by default. */
  readonly hugePages?: number;
}

/** {@linkcode Backing.memfd}'s options. */
export interface MemfdOptions {
  /** The name that `/proc` shows. `"guest-memory"` by default. */
  readonly name?: string;
  /** Bytes of huge pages that it consists of, such as 2 MiB; ordinary pages by default. */
  readonly hugePages?: number;
  /**
   * Whether nobody can change its size any more, so that no other process can end this one by
   * truncating it. True by default.
   */
  readonly seal?: boolean;
}

/** {@linkcode Backing.file}'s options. */
export interface FileBackingOptions {
  /**
   * Whether writes stay with this mapping (`MAP_PRIVATE`, copy on write), instead of reaching the
   * file and other processes. False by default.
   */
  readonly private?: boolean;
  /**
   * Takes a read lease of the file, so that whoever truncates it or opens it for writing waits (up
   * to `/proc/sys/fs/lease-break-time`, 45 seconds) until this function has returned: copy what is
   * needed, or close the memory. Without, a truncated file ends the process at the next access
   * (`SIGBUS`), also to private pages that were written. The file has to be open to read only, and
   * nobody may have it open for writing. Linux only; in Node.js and Bun on the main thread only.
   */
  readonly lease?: OnLeaseBreak;
}

// The plans that the functions of Backing have checked: no others make one.
const checked = new WeakSet<BackingPlan>();
let make: (plan: BackingPlan) => Backing;

/**
 * A file whose pages are copied when they are written, which may be a memfd: memory that many copies
 * share is taken once. For use in this library.
 *
 * @param fd Its descriptor.
 * @param lease As of {@linkcode FileBackingOptions}.
 */
export function templateBacking(fd: number, lease: OnLeaseBreak | undefined): Backing {
  return make(filePlan(fd, { private: true, ...lease !== undefined && { lease } }, true));
}

/**
 * What mapped memory consists of: memory of the kernel, a file, or somebody else's mapping.
 *
 * One backing for several ranges is one memfd, or one stretch of the file, with the ranges one after
 * another.
 *
 * @example Memory that another process can map
 * ```ts
 * import { Backing, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   const options = { backing: Backing.memfd({ name: "ram" }) };
 *   using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]], options);
 *   assertEquals(memory.describe()[0]!.kind, "memfd");
 * }
 * ```
 */
export class Backing {
  static {
    make = (plan) => {
      checked.add(plan);
      return new Backing(plan);
    };
  }

  readonly #plan: BackingPlan;

  private constructor(plan: BackingPlan) {
    if (!checked.has(plan)) throw new TypeError("Illegal constructor");
    this.#plan = plan;
  }

  /**
   * Memory of the kernel without a name. The default.
   *
   * @param options Which kind.
   * @throws {RangeError} The size of huge pages is not a power of two.
   */
  static anonymous(options: AnonymousOptions = {}): Backing {
    const { shared = false, hugePages } = options;
    checkFlag("shared", shared);
    return make({ kind: "anonymous", shared, hugePages: checkHugePages(hugePages) });
  }

  /**
   * Memory of the kernel with a descriptor, which other processes can map: `memfd_create(2)`. Linux
   * only.
   *
   * @param options Which kind.
   * @throws {RangeError} The size of huge pages is not a power of two.
   */
  static memfd(options: MemfdOptions = {}): Backing {
    const { name = "guest-memory", hugePages, seal = true } = options;
    if (typeof name !== "string") throw wrongKind("name", name, "a string");
    checkFlag("seal", seal);
    return make({ kind: "memfd", name, hugePages: checkHugePages(hugePages), seal });
  }

  /**
   * A file. The mapping has a descriptor of its own, so the file may be closed.
   *
   * @param file An open file or descriptor, and where in it the memory begins.
   * @param options Which kind.
   */
  static file(file: FileOffset | OpenFile, options: FileBackingOptions = {}): Backing {
    return make(filePlan(file, options, false));
  }

  /**
   * A mapping that somebody else made: nothing is mapped, nor unmapped. It has to stay mapped, with
   * the protection that is given, until the memory is closed. Mirrors `build_raw`.
   *
   * @param hostAddress Where it is: a multiple of the page size.
   */
  static foreign(hostAddress: bigint): Backing {
    if (typeof hostAddress !== "bigint") throw wrongKind("hostAddress", hostAddress, "a bigint");
    return make({ kind: "foreign", hostAddress });
  }

  /** What a backing is, for use in this library. */
  static planOf(backing: Backing): BackingPlan {
    if (typeof backing !== "object" || backing === null || !(#plan in backing)) {
      throw new TypeError(`Cannot use ${shown(backing)} as backing: it must be a Backing`);
    }
    return backing.#plan;
  }
}

function filePlan(
  file: FileOffset | OpenFile,
  { private: isPrivate = false, lease }: FileBackingOptions,
  isTemplate: boolean,
): BackingPlan {
  checkFlag("private", isPrivate);
  if (lease !== undefined && typeof lease !== "function") {
    throw wrongKind("lease", lease, "a function");
  }
  const place = file instanceof FileOffset ? file : new FileOffset(file);
  // Checked as they are read: they can be changed from JavaScript.
  const { fd, start } = new FileOffset(place.fd, place.start);
  return { kind: "file", file: place, fd, start, private: isPrivate, lease, isTemplate };
}

function checkHugePages(size: number | undefined): number | undefined {
  if (size !== undefined) checkNumber("hugePages", size);
  if (size === undefined || Number.isInteger(Math.log2(size)) && size >= 1) return size;
  throw new RangeError(`Cannot use huge pages of ${shown(size)} bytes: not a power of two`);
}
