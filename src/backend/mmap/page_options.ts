/**
 * Options that are set on mapped pages, and whether they took effect.
 *
 * @module
 */
import { adviseMemory } from "../../../ffi/memory.ts";
import { lockMemory, placeMemory, reasonOf } from "../../../ffi/pages.ts";
import type { Advice } from "../../../ffi/platform.ts";
import { readSystemFile } from "../../../ffi/process.ts";
import { SystemError } from "../../../ffi/system_error.ts";
import { OptionRefused } from "../../error/mmap_region_error.ts";
import { Permissions } from "../../permissions.ts";
import { byteSize } from "../../text/number_format.ts";
import type { Mapping } from "./mapping.ts";
import type { MappingPlan } from "./mmap_options.ts";

/** The options that stay with pages, and are set again where a page is replaced. */
export type PageOptions = Pick<
  MappingPlan,
  "transparentHugePages" | "mergeable" | "dontDump" | "dontFork" | "lock" | "numa"
>;

/**
 * Sets options of mapped pages.
 *
 * @param address The first page.
 * @param length Bytes of the pages.
 * @param plan The options.
 * @throws {OptionRefused} The kernel refuses one.
 */
export function applyOptions(address: number, length: number, plan: PageOptions): void {
  const { transparentHugePages: huge, mergeable, dontDump, dontFork, numa, lock } = plan;
  const advise = (option: string, advice: Advice) =>
    refusing(option, () => adviseMemory(address, length, advice));
  if (huge !== undefined) advise("transparentHugePages", huge ? "hugepage" : "nohugepage");
  if (mergeable) advise("mergeable", "mergeable");
  if (dontDump) advise("dontDump", "dontdump");
  if (dontFork) advise("dontFork", "dontfork");
  if (numa) refusing("numa", () => placeMemory(address, length, numa.policy, numa.nodes));
  if (lock !== false) refusing("lock", () => lockMemory(address, length, lock === "onfault"));
}

/**
 * The advice that takes all pages now.
 *
 * @throws {OptionRefused} The protection allows no access.
 */
export function populating(protection: Permissions): Advice {
  if (protection === Permissions.No) throw new OptionRefused("prefault", "nothing may be accessed");
  return Permissions.allow(protection, Permissions.Write) ? "populate-write" : "populate-read";
}

/**
 * Refuses an option for which there is too little memory.
 *
 * @param option The option.
 * @param needed Bytes that it takes.
 * @param available Bytes that there are.
 * @throws {OptionRefused} There are fewer.
 */
export function ensureEnough(option: string, needed: number, available: number): void {
  if (needed <= available) return;
  throw new OptionRefused(
    option,
    `${byteSize(needed)} are needed, ${byteSize(available)} are available`,
  );
}

/**
 * Calls a function, and names the option for which it fails.
 *
 * @param option The option.
 * @param call The function.
 * @param code The errno that the option explains; any by default.
 * @throws {OptionRefused} The function threw.
 */
export function refusing<T>(option: string, call: () => T, code?: string): T {
  try {
    return call();
  } catch (error) {
    if (code !== undefined && !(error instanceof SystemError && error.code === code)) throw error;
    throw new OptionRefused(option, `${reasonOf(error)}${hintFor(option, error)}`, error);
  }
}

// What to do, where the errno alone does not say it.
const HINTS: Readonly<Record<string, string>> = {
  "hugePages EINVAL": "there are none of this size",
  "hugePages ENOMEM": "the pool has too few: see /sys/kernel/mm/hugepages",
  "lock ENOMEM": "the limit of the process (RLIMIT_MEMLOCK) is too low",
  "lock EPERM": "the limit of the process (RLIMIT_MEMLOCK) is 0",
  "prefault EFAULT": "there are too few pages, or the file is too short",
  "reserve ENOMEM": "the host has too little memory",
  "reserve ENOSPC": "the file system has too little room",
  "numa EINVAL": "the host has no such node",
  "lease EAGAIN": "the file is open for writing",
  "lease EINVAL": "the file is open for writing through this descriptor",
};

function hintFor(option: string, error: unknown): string {
  const hint = error instanceof SystemError ? HINTS[`${option} ${error.code}`] : undefined;
  return hint === undefined ? "" : `: ${hint}`;
}

/**
 * Bytes of a huge page on x86-64, and on arm64 with pages of 4 KiB: memory that begins at a multiple
 * can consist of them, in the host and in a guest.
 */
export const HUGE_PAGE: number = 2 ** 21;

/**
 * Refuses options that the kernel accepted and ignores: `madvise(2)` returns 0 for these.
 *
 * @throws {OptionRefused} One has no effect on a mapping.
 */
export function ensureEffective(mappings: readonly (readonly [Mapping, MappingPlan])[]): void {
  const asked = mappings.filter(([, plan]) => plan.mergeable || plan.transparentHugePages === true);
  if (asked.length === 0) return;
  const text = readSystemFile("/proc/self/smaps");
  if (text === undefined) return;
  const blocks = text.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).map((block) => {
    const [start = NaN, end = NaN] = block.split(" ", 1)[0]!.split("-").map((n) => parseInt(n, 16));
    return { start, end, block };
  });
  // 512 MiB on arm64 with pages of 64 KiB.
  const told = readSystemFile("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
  const hugePage = told === undefined ? HUGE_PAGE : Number(told);
  for (const [{ shape: { address, length } }, plan] of asked) {
    const block = blocks.find(({ start, end }) => start <= address && address < end)?.block ?? "";
    if (plan.mergeable && !/^VmFlags:.* mg\b/m.test(block)) {
      throw new OptionRefused("mergeable", "the kernel ignores it for this kind of memory");
    }
    // Without a whole one inside, it cannot consist of them.
    const first = Math.ceil(address / hugePage) * hugePage;
    const isAsked = plan.transparentHugePages === true && first + hugePage <= address + length;
    if (isAsked && /^THPeligible: +0$/m.test(block)) {
      throw new OptionRefused(
        "transparentHugePages",
        "the kernel ignores it for this kind of memory: see /sys/kernel/mm/transparent_hugepage",
      );
    }
  }
}
