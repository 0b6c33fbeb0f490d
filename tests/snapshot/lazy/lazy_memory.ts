/**
 * Memory that is restored lazily, for tests.
 *
 * @module
 */
import { capabilities, GuestMemoryMmap, pageSize, u64 } from "../../../mod.ts";
import {
  FaultHandler,
  type LazyRestoreOptions,
  restore,
  writeSnapshot,
} from "../../../src/snapshot/mod.ts";
import { gpa } from "../../support/values.ts";

/** Why pages cannot be loaded lazily here; `undefined` where they can. */
export const whyNotLazy: string | undefined = (() => {
  try {
    return capabilities().calls.pageFaults.reason;
  } catch (error) {
    return (error as Error).message;
  }
})();

/** A test that restores lazily: ignored, and its name says why, where it cannot. */
export function lazyTest(name: string, fn: () => void | Promise<void>): void {
  const ignore = whyNotLazy !== undefined;
  Deno.test({ name: ignore ? `${name} (ignored: ${whyNotLazy})` : name, ignore, fn });
}

/** Bytes of a page, also where the tests are ignored. */
export const PAGE: number = Deno.build.os === "linux" ? pageSize() : 4096;

/** A snapshot in a file, which is removed at the end. */
export interface Snapshot extends Disposable {
  readonly path: string;
  readonly file: Deno.FsFile;
  readonly ranges: readonly (readonly [ReturnType<typeof gpa>, number])[];
  /** Restores it. */
  restore(options?: Omit<LazyRestoreOptions, "mode">): GuestMemoryMmap;
}

/** What the page of a guest address has at its start, if it has anything. */
export function contentOf(address: number): bigint {
  return BigInt(address) * 3n + 1n;
}

/**
 * A snapshot of memory of which some pages have their {@linkcode contentOf}.
 *
 * @param ranges Start and bytes of each region.
 * @param has Which pages have content, by their guest addresses. Every third has none by default.
 */
export async function snapshotOf(
  ranges: readonly (readonly [start: number, length: number])[],
  has: (address: number) => boolean = (address) => address / PAGE % 3 !== 0,
): Promise<Snapshot> {
  const path = Deno.makeTempFileSync({ dir: "/dev/shm" });
  const all = ranges.map(([start, length]) => [gpa(start), length] as const);
  using memory = GuestMemoryMmap.fromRanges(all);
  for (const [start, length] of all) {
    for (let at: number = start; at < start + length; at += PAGE) {
      if (has(at)) memory.writeObj(u64, contentOf(at), gpa(at));
    }
  }
  {
    using file = Deno.openSync(path, { write: true });
    await writeSnapshot(memory, file);
  }
  const file = Deno.openSync(path);
  return {
    path,
    file,
    ranges: all,
    restore: (options = {}) => restore(all, file, { ...options, mode: "lazy" }),
    [Symbol.dispose]() {
      file.close();
      Deno.removeSync(path);
    },
  };
}

/**
 * The pages that do not have their content, by their guest addresses.
 *
 * @param onPage Called after each.
 */
export function wrongPages(
  memory: GuestMemoryMmap,
  has: (address: number) => boolean = (address) => address / PAGE % 3 !== 0,
  onPage: () => void = () => {},
): number[] {
  const wrong: number[] = [];
  for (const { startAddr, len } of memory) {
    for (let at: number = startAddr; at < startAddr + len; at += PAGE) {
      const expected = has(at) ? contentOf(at) : 0n;
      if (memory.readObj(u64, gpa(at)) !== expected) wrong.push(at);
      onPage();
    }
  }
  return wrong;
}

/** Waits until all is loaded, and closes the memory. */
export async function finish(memory: GuestMemoryMmap): Promise<void> {
  await FaultHandler.of(memory).done;
  memory.close();
}

/** Waits for some milliseconds. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Milliseconds of processor time that this process takes within some milliseconds. */
export async function busyFor(milliseconds: number): Promise<number> {
  const used = () => {
    const fields = Deno.readTextFileSync("/proc/self/stat").split(") ")[1]!.split(" ");
    // proc_pid_stat(5): utime and stime, in ticks of 10 ms.
    return 10 * (Number(fields[11]) + Number(fields[12]));
  };
  const before = used();
  await pause(milliseconds);
  return used() - before;
}
