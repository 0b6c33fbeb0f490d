import { assert, assertEquals, assertThrows } from "@std/assert";
import { LibcUnavailable, SystemError } from "../../mod.ts";
import { libc, pageOptionCalls } from "../../ffi/libc.ts";
import { forResidentRuns, pageSize } from "../../ffi/memory.ts";
import {
  adviseOnPool,
  fillMemory,
  forNonZeroRuns,
  isZeroMemory,
  lockMemory,
  placeMemory,
  POLICIES,
  reasonOf,
  unlockMemory,
} from "../../ffi/pages.ts";
import { linuxTest } from "../support/linux_test.ts";
import { mapPages } from "../support/mapped_pages.ts";
import { detailsAt } from "../support/proc_maps.ts";

function residentBytes(address: number, length: number): number {
  let sum = 0;
  forResidentRuns(address, length, (_, bytes) => sum += bytes);
  return sum;
}

const isLocked = (address: number) => detailsAt(BigInt(address)).vmFlags.includes("lo");

linuxTest("lockMemory() takes all pages, unlockMemory() lets them go", () => {
  using memory = mapPages(4);
  const { address, length } = memory;
  lockMemory(address, length, false);
  assertEquals([isLocked(address), residentBytes(address, length)], [true, length]);
  unlockMemory(address, length);
  assertEquals(isLocked(address), false);
});

linuxTest("lockMemory() on fault leaves pages out until they are touched", () => {
  using memory = mapPages(4);
  const { address, length, bytes } = memory;
  lockMemory(address, length, true);
  assertEquals([isLocked(address), residentBytes(address, length)], [true, 0]);
  bytes[0] = 1;
  assertEquals(residentBytes(address, length), pageSize());
  unlockMemory(address, length);
  assertEquals([isLocked(address), bytes[0]], [false, 1]);
});

linuxTest("lockMemory() and unlockMemory() throw what the kernel says", () => {
  for (
    const [call, run] of [
      ["mlock", () => lockMemory(4096, 4096, false)],
      ["mlock2", () => lockMemory(4096, 4096, true)],
      ["munlock", () => unlockMemory(4096, 4096)],
    ] as const
  ) {
    const error = assertThrows(run, SystemError);
    assertEquals([error.call, error.code], [call, "ENOMEM"]);
  }
});

linuxTest("placeMemory() places pages on nodes, by each policy", () => {
  for (const policy of Object.keys(POLICIES) as (keyof typeof POLICIES)[]) {
    using memory = mapPages(2);
    try {
      placeMemory(memory.address, memory.length, policy, [0]);
    } catch (error) {
      // A kernel without NUMA, or a container that does not allow the call.
      assert(error instanceof SystemError && ["ENOSYS", "EPERM"].includes(error.code), `${error}`);
      continue;
    }
    const line = Deno.readTextFileSync("/proc/self/numa_maps").split("\n")
      .find((line) => line.startsWith(memory.address.toString(16)));
    const shown = { bind: "bind", preferred: "prefer", interleave: "interleave" }[policy];
    assert(line?.includes(shown), line);
    memory.bytes.fill(1);
  }
});

linuxTest("placeMemory() has a bit for each node from 0 to 1023", () => {
  const calls = pageOptionCalls() as { mbind: (...args: unknown[]) => bigint };
  const { mbind } = calls;
  const given: unknown[][] = [];
  calls.mbind = (...args) => {
    given.push(args);
    return 0n;
  };
  try {
    placeMemory(4096, 8192, "interleave", [0, 4, 9, 1023]);
  } finally {
    calls.mbind = mbind;
  }
  const mask = new Uint8Array(128);
  for (const [byte, bits] of [[0, 0b10001], [1, 0b10], [127, 0x80]] as const) mask[byte] = bits;
  assertEquals(given.map((args) => args.slice(1)), [[4096n, 8192n, 3, mask, 1024n, 0]]);
});

linuxTest("placeMemory() throws what the kernel says of a node that there is not", () => {
  using memory = mapPages(1);
  const error = assertThrows(
    () => placeMemory(memory.address, memory.length, "bind", [1000, 1023]),
    SystemError,
  );
  assertEquals(error.call, "mbind");
  assert(["EINVAL", "ENOSYS", "EPERM"].includes(error.code), error.code);
});

Deno.test("fillMemory() sets exactly the bytes that it is given", () => {
  using memory = mapPages(1);
  const { address, bytes } = memory;
  fillMemory(address + 3, 4, 0xab);
  assertEquals([...bytes.subarray(0, 9)], [0, 0, 0, 0xab, 0xab, 0xab, 0xab, 0, 0]);
  fillMemory(address, memory.length, 255);
  assert(bytes.every((byte) => byte === 255));
  fillMemory(address, 0, 1);
  assertEquals(bytes[0], 255);
});

Deno.test("isZeroMemory() finds a byte that is not zero, wherever it is", () => {
  using memory = mapPages(1);
  const { address, bytes } = memory;
  for (const length of [0, 1, 2, 7, 8, 9, 15, 16, 17, 64, 4095, 4096]) {
    assertEquals([length, isZeroMemory(address, length)], [length, true]);
    for (const at of new Set([0, 1, 6, 7, 8, 9, length >> 1, length - 2, length - 1])) {
      if (at < 0 || at >= length) continue;
      bytes[at] = 0x80;
      assertEquals([length, at, isZeroMemory(address, length)], [length, at, false]);
      bytes[at] = 0;
    }
  }
});

Deno.test("isZeroMemory() looks at nothing around the range", () => {
  using memory = mapPages(1);
  const { address, bytes } = memory;
  for (const length of [0, 1, 7, 8, 9, 100]) {
    bytes.fill(1);
    bytes.fill(0, 16, 16 + length);
    assertEquals(isZeroMemory(address + 16, length), true);
    if (length > 0) assertEquals(isZeroMemory(address + 15, length), false);
    assertEquals(isZeroMemory(address + 16, length + 1), false);
  }
});

linuxTest("adviseOnPool() resolves to whether it was done", async () => {
  using memory = mapPages(8);
  const { address, length } = memory;
  const { "populate-write": populate, normal } = libc().platform.advice;
  const results = await Promise.all([
    adviseOnPool(address, length / 2, populate!),
    adviseOnPool(address + length / 2, length / 2, populate!),
    adviseOnPool(address + 1, 4096, normal!),
  ]);
  assertEquals(results, [true, true, false]);
  assertEquals(residentBytes(address, length), length);
});

Deno.test("reasonOf() says in a few words why a call failed", () => {
  assertEquals(reasonOf(new SystemError("mlock", 12, "ENOMEM", {})), "mlock failed with ENOMEM");
  assertEquals(reasonOf(new LibcUnavailable("none here")), "none here");
  assertEquals(reasonOf("text"), "text");
});

linuxTest("forNonZeroRuns() finds pages with a byte that is not zero, wherever it is", () => {
  using memory = mapPages(8);
  const { bytes, address } = memory;
  const runs = (start: number, length: number, page: number) => {
    const found: number[][] = [];
    forNonZeroRuns(address + start, length, page, (...run) => found.push(run));
    return found;
  };
  assertEquals(runs(0, bytes.length, 4096), []);
  for (const at of [0, 3, 4, 7, 8, 100, 4095]) {
    bytes[4096 + at] = 1;
    assertEquals(runs(0, 3 * 4096, 4096), [[4096, 4096]], String(at));
    bytes[4096 + at] = 0;
  }
  for (const at of [0, 1, 3, 6]) bytes[at * 4096 + 4095] = 1;
  assertEquals(runs(0, 7 * 4096, 4096), [[0, 2 * 4096], [3 * 4096, 4096], [6 * 4096, 4096]]);
  // The last page may be short, also shorter than a word.
  assertEquals(runs(5 * 4096, 2 * 4096 - 1, 4096), []);
  bytes[5 * 4096 + 2] = 1;
  assertEquals(runs(4 * 4096, 4096 + 3, 4096), [[4096, 3]]);
  assertEquals(runs(4 * 4096, 4096 + 2, 4096), []);
  assertEquals(runs(0, 0, 4096), []);
});
