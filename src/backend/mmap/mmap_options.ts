/**
 * How memory is mapped: the options, read once, and what is refused before any system call.
 *
 * @module
 */
import type { Bitmap } from "../../bitmap/bitmap.ts";
import { MapFixed, OptionRefused } from "../../error/mmap_region_error.ts";
import type { RegionOptions } from "../../guest/host_region.ts";
import { checkPermissions, Permissions } from "../../permissions.ts";
import { checkFlag, shown, wrongKind } from "../../text/argument.ts";
import { libc } from "../../../ffi/libc.ts";
import { Backing, type BackingPlan } from "./backing.ts";

/** Where the host places memory among its NUMA nodes: `mbind(2)`. Linux only. */
export interface NumaPlacement {
  /** The numbers of the nodes. */
  readonly nodes: readonly number[];
  /** `bind`: only there; `preferred`: there if possible; `interleave`: page by page in turn. */
  readonly policy: "bind" | "preferred" | "interleave";
}

/**
 * How memory is mapped. An option that the kernel refuses, or would ignore, is an
 * {@linkcode OptionRefused}.
 *
 * @typeParam B The kind of its bitmaps.
 */
export interface MmapOptions<B extends Bitmap = Bitmap> extends RegionOptions<B> {
  /** What the memory consists of. Anonymous memory by default. */
  readonly backing?: Backing;
  /** The permissions of the memory. Reading and writing by default. */
  readonly protection?: Permissions;
  /**
   * Whether a lack of memory is an error now, not later: the kernel reserves it (no
   * `MAP_NORESERVE`), a file's room is allocated, and for a memfd, which the kernel does not
   * reserve, the memory that is available is checked. True by default for huge pages: a lack of them
   * would end the process later.
   */
  readonly reserve?: boolean;
  /** Whether all pages are taken now (`MADV_POPULATE_WRITE`). False by default. */
  readonly prefault?: boolean;
  /** Whether the kernel should use transparent huge pages, or should not. */
  readonly transparentHugePages?: boolean;
  /** Whether the kernel may share pages of equal content (KSM). */
  readonly mergeable?: boolean;
  /** Whether core dumps leave the memory out. */
  readonly dontDump?: boolean;
  /** Whether child processes of `fork(2)` do not have the memory. */
  readonly dontFork?: boolean;
  /** Whether the memory stays in the host's RAM: all of it now, or each page once it is touched. */
  readonly lock?: boolean | "onfault";
  /** The NUMA nodes that it is placed on. */
  readonly numa?: NumaPlacement;
  /** Whether a page before and a page after each region refuses every access. */
  readonly guardPages?: boolean;
  /** More `MAP_*` bits, as the platform numbers them, that no option stands for. */
  readonly flags?: number;
}

/** Options as they were read from the caller, once. */
export interface MappingPlan {
  readonly backing: BackingPlan;
  readonly protection: Permissions;
  readonly reserve: boolean | undefined;
  readonly prefault: boolean;
  readonly transparentHugePages: boolean | undefined;
  readonly mergeable: boolean;
  readonly dontDump: boolean;
  readonly dontFork: boolean;
  readonly lock: boolean | "onfault";
  readonly numa: NumaPlacement | undefined;
  readonly guardPages: boolean;
  readonly flags: number;
}

/**
 * Reads options, each once, and checks their kinds.
 *
 * @param options The caller's.
 * @param base What to take for options that are not given.
 * @throws {TypeError} An option is of another kind.
 * @throws {MapFixed} The flags ask for `MAP_FIXED`.
 * @throws {OptionRefused} The flags have a bit that an option stands for.
 */
export function readOptions(options: MmapOptions, base?: MappingPlan): MappingPlan {
  const { backing, protection, reserve, prefault, transparentHugePages, mergeable } = options;
  const { dontDump, dontFork, lock, numa, guardPages, flags = base?.flags ?? 0 } = options;
  checkFlags(flags);
  return {
    backing: backing === undefined ? base?.backing ?? ANONYMOUS : Backing.planOf(backing),
    protection: checkPermissions(protection ?? base?.protection ?? Permissions.ReadWrite),
    reserve: checkFlag("reserve", reserve) ?? base?.reserve,
    prefault: checkFlag("prefault", prefault) ?? base?.prefault ?? false,
    transparentHugePages: checkFlag("transparentHugePages", transparentHugePages) ??
      base?.transparentHugePages,
    mergeable: checkFlag("mergeable", mergeable) ?? base?.mergeable ?? false,
    dontDump: checkFlag("dontDump", dontDump) ?? base?.dontDump ?? false,
    dontFork: checkFlag("dontFork", dontFork) ?? base?.dontFork ?? false,
    lock: lock === "onfault" ? lock : checkFlag("lock", lock) ?? base?.lock ?? false,
    numa: numa === undefined ? base?.numa : readPlacement(numa),
    guardPages: checkFlag("guardPages", guardPages) ?? base?.guardPages ?? false,
    flags,
  };
}

const ANONYMOUS: BackingPlan = { kind: "anonymous", shared: false, hugePages: undefined };

const MAX_NODE = 1023;

function readPlacement({ nodes, policy }: NumaPlacement): NumaPlacement {
  const list = [...nodes];
  const isNode = (node: number) => Number.isInteger(node) && node >= 0 && node <= MAX_NODE;
  if (list.length === 0 || !list.every(isNode)) {
    throw new RangeError(
      `Cannot place memory on nodes [${list.map(shown)}]: numbers from 0 to 1023`,
    );
  }
  if (!["bind", "preferred", "interleave"].includes(policy)) {
    throw wrongKind("policy", policy, '"bind", "preferred" or "interleave"');
  }
  return { nodes: list, policy };
}

function checkFlags(flags: number): void {
  if (!Number.isInteger(flags) || flags < 0 || flags >= 2 ** 31) {
    throw new RangeError(`Cannot use ${shown(flags)} as flags: not an integer in [0, 2^31)`);
  }
  if (flags === 0) return;
  const { map } = libc().platform;
  if ((flags & (map.fixed | map.fixedNoReplace)) !== 0) {
    throw new MapFixed("Cannot map memory with MAP_FIXED: where it goes is the kernel's choice");
  }
  const other = flags & ~map.noReserve;
  if (other !== 0) {
    throw new OptionRefused("flags", `0x${other.toString(16)} has an option of its own, or none`);
  }
}
