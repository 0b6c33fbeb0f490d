/**
 * Calls that change how pages of a mapping are kept: locked, placed, filled.
 *
 * @module
 */
import {
  contentCalls,
  lastError,
  libc,
  pageCalls,
  pageOptionCalls,
  poolCall,
  u64,
} from "./libc.ts";
import { adviseMemory } from "./memory.ts";
import type { PoolCall } from "./runtime/foreign_runtime.ts";
import { SystemError } from "./system_error.ts";

// SAFETY, for all functions here: the range is in a live mapping of the caller.

// linux/mman.h
const MLOCK_ONFAULT = 1;

/**
 * `mlock(2)`, or `mlock2(2)` with `MLOCK_ONFAULT`: keeps pages in the host's RAM.
 *
 * @param onFault Whether pages that were not touched yet stay out of it until they are.
 * @throws {SystemError} The call failed: `ENOMEM` beyond the limit of the process.
 */
export function lockMemory(address: number, length: number, onFault: boolean): void {
  const { mlock, mlock2 } = pageOptionCalls();
  if (onFault && mlock2 === null) throw new TypeError("Cannot lock on fault: Linux only");
  const failed = onFault
    ? mlock2!(BigInt(address), BigInt(length), MLOCK_ONFAULT)
    : mlock(BigInt(address), BigInt(length));
  if (failed !== 0) throw lastError(onFault ? "mlock2" : "mlock", { length });
}

/** `munlock(2)`. */
export function unlockMemory(address: number, length: number): void {
  if (pageOptionCalls().munlock(BigInt(address), BigInt(length)) !== 0) {
    throw lastError("munlock", { length });
  }
}

/** `MPOL_*` of linux/mempolicy.h. */
export const POLICIES = { preferred: 1, bind: 2, interleave: 3 } as const;

/**
 * `mbind(2)`: where pages are placed from now on.
 *
 * @param nodes The numbers of the NUMA nodes, below 1024.
 * @throws {SystemError} The call failed: `EINVAL` where the host has no such node.
 * @throws {TypeError} The platform has no such call.
 */
export function placeMemory(
  address: number,
  length: number,
  policy: keyof typeof POLICIES,
  nodes: readonly number[],
): void {
  const { systemCalls } = libc().platform;
  if (systemCalls === undefined) throw new TypeError("Cannot place memory on nodes: Linux only");
  const mask = new Uint8Array(128);
  for (const node of nodes) mask[node >> 3]! |= 1 << (node & 7);
  const bits = BigInt(8 * mask.length);
  const [start, size] = [BigInt(address), BigInt(length)];
  const { mbind } = pageOptionCalls();
  if (mbind(systemCalls.mbind, start, size, POLICIES[policy], mask, bits, 0) !== 0n) {
    throw lastError("mbind", { length, policy, nodes });
  }
}

/** `memset(3)`. */
export function fillMemory(address: number, length: number, value: number): void {
  contentCalls().memset(BigInt(address), value, BigInt(length));
}

/**
 * `madvise(2)` with `MADV_POPULATE_READ`: reads pages in. Those that no access can read, such as
 * broken ones of the host's RAM, are an error then, not the end of the process. Kernels before Linux
 * 5.14 and other platforms do nothing.
 *
 * @throws {SystemError} A page cannot be read: `EFAULT`, or `EHWPOISON` where the RAM is broken.
 */
export function readInMemory(address: number, length: number): void {
  try {
    if (libc().platform.advice["populate-read"] === undefined) return;
    adviseMemory(address, length, "populate-read");
  } catch (error) {
    // Nor has memory of a device such pages.
    if (!(error instanceof SystemError && error.code === "EINVAL")) throw error;
  }
}

/** Whether bytes are all zero: the first few, then each with those before it by `memcmp(3)`. */
export function isZeroMemory(address: number, length: number): boolean {
  const view = libc().runtime.readerAt(BigInt(address));
  const head = Math.min(length, 8);
  for (let i = 0; i < head; i++) if (view.getUint8(i) !== 0) return false;
  return length === head ||
    contentCalls().memcmp(BigInt(address), BigInt(address + head), BigInt(length - head)) === 0;
}

/**
 * The runs of pages that are not all zero.
 *
 * @param length Bytes, of which the last page may have fewer.
 * @param page Bytes of a page.
 * @param onRun Called with the offset of each run, and its bytes, by rising offset.
 */
export function forNonZeroRuns(
  address: number,
  length: number,
  page: number,
  onRun: (offset: number, length: number) => void,
): void {
  const view = libc().runtime.readerAt(BigInt(address));
  const { memcmp } = contentCalls();
  let start = -1;
  for (let offset = 0; offset < length; offset += page) {
    const count = Math.min(page, length - offset);
    // Most pages that are not zero are so from the start.
    const isZero = count < 8
      ? isZeroMemory(address + offset, count)
      : view.getUint32(offset) === 0 && view.getUint32(offset + 4) === 0 &&
        memcmp(u64(address + offset), u64(address + offset + 8), u64(count - 8)) === 0;
    if (!isZero) {
      if (start < 0) start = offset;
    } else if (start >= 0) {
      onRun(start, offset - start);
      start = -1;
    }
  }
  if (start >= 0) onRun(start, length - start);
}

const ADVISE = {
  // int madvise(void *addr, size_t length, int advice);
  parameters: ["usize", "usize", "i32"],
  result: "i32",
} as const;
let advise: PoolCall<typeof ADVISE> | undefined;

/**
 * `madvise(2)` on the thread pool. Where the runtime has none, it blocks, after the event loop has run.
 *
 * @returns Whether the kernel did it. Why not is not known: errno is that of another thread.
 */
export async function adviseOnPool(
  address: number,
  length: number,
  advice: number,
): Promise<boolean> {
  const run = advise ??= poolCall("madvise", ADVISE) ?? adviseLater;
  return await run(BigInt(address), BigInt(length), advice) === 0;
}

// The pause is what a signal that stops the caller is raised in.
async function adviseLater(address: bigint, length: bigint, advice: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve));
  return pageCalls().madvise(address, length, advice);
}

/** In a few words, why a call failed. */
export function reasonOf(error: unknown): string {
  if (error instanceof SystemError) return `${error.call} failed with ${error.code}`;
  return error instanceof Error ? error.message : String(error);
}
