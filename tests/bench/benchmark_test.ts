import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { GuestAddress, GuestMemoryHeap, LibcUnavailable } from "../../mod.ts";
import {
  type Backend,
  BackendError,
  benchmark,
  type BenchmarkRow,
  BUILT_IN,
} from "../../src/bench/mod.ts";
import {
  behindIommu,
  elsewhere,
  ForgettingRegion,
  miscounting,
  MisplacingRegion,
  nowhere,
  ofRegion,
  OverrunningRegion,
  twoRegions,
} from "./backends.ts";

const SIZE = 2 ** 20;
const VALUES = ["u32 read", "u32 write", "u32 read, random", "u32 write, random"];
const ATOMICS = ["u64 load", "u64 store"];
const STRUCTURES = ["struct read", "struct write"];
const COPIES = [
  ...["512 B read", "512 B write", "4 KiB read", "4 KiB write", "1 MiB read", "1 MiB write"],
  ...["512 B read, random", "512 B write, random"],
];
const OVER_BOUNDARY = ["512 B read, boundary", "512 B write, boundary"];

function run(...backends: Backend[]): Promise<BenchmarkRow[]> {
  return benchmark(backends, { size: SIZE, rounds: 1, timeMs: 1 });
}

function accessesOf(rows: readonly BenchmarkRow[], outcome: BenchmarkRow["outcome"]): string[] {
  return rows.filter((row) => row.outcome === outcome).map(({ access }) => access);
}

/** The reason of each access that was wrong. */
async function wrongOf(backend: Backend): Promise<Record<string, string | null>> {
  const rows = await run(backend);
  return Object.fromEntries(
    rows.filter(({ outcome }) => outcome === "wrong").map((row) => [row.access, row.reason]),
  );
}

Deno.test("benchmark() has a row for each access of each backend, with its ratio", async () => {
  const rows = await run(twoRegions, behindIommu);
  const all = [...VALUES, ...ATOMICS, ...STRUCTURES, ...COPIES, ...OVER_BOUNDARY];
  assertEquals(
    rows.map(({ access, backend }) => [access, backend]),
    all.flatMap((access) => [[access, "two regions"], [access, "behind an IOMMU"]]),
  );
  for (const { outcome, ns, bareNs, ratio, spread, reason } of rows) {
    if (outcome !== "measured") continue;
    assert(ns! > 0 && bareNs > 0);
    assertEquals([ratio, spread, reason], [ns! / bareNs, 0, null]);
  }
  assertEquals(
    accessesOf(rows.filter(({ backend }) => backend === "two regions"), "measured"),
    all,
  );
  // No regions are known behind an IOMMU.
  assertEquals(accessesOf(rows, "unavailable"), OVER_BOUNDARY);
});

Deno.test("benchmark() leaves out the atomics of memory elsewhere, with the reason", async () => {
  const rows = await run(elsewhere);
  assertEquals(accessesOf(rows, "measured"), [...VALUES, ...STRUCTURES, ...COPIES]);
  assertEquals(accessesOf(rows, "unavailable"), [...ATOMICS, ...OVER_BOUNDARY]);
  const { reason, ns, ratio } = rows.find(({ access }) => access === "u64 load")!;
  assertMatch(reason!, /^HostAddressNotAvailable: Cannot access host memory/);
  assertEquals([ns, ratio], [null, null]);
});

Deno.test("benchmark() has no figures of memory that is not to be had", async () => {
  const withoutLibrary: Backend = {
    name: "without FFI",
    make: () => {
      throw new LibcUnavailable("Cannot open the C library: not allowed");
    },
  };
  const rows = await run(nowhere, withoutLibrary);
  assertEquals(accessesOf(rows, "unavailable").length, rows.length);
  assertEquals(rows.slice(0, 2).map(({ reason }) => reason), [
    "not to be had on this system, or with these permissions",
    "Cannot open the C library: not allowed",
  ]);
});

Deno.test("benchmark() notices an atomic store that is forgotten", async () => {
  const wrong = await wrongOf(ofRegion("forgetting", ForgettingRegion));
  assertEquals(Object.keys(wrong), ["u64 store"]);
  assertMatch(wrong["u64 store"]!, /^it left 0x[0-9a-f]+ at 0x0, not 0x[0-9a-f]+$/);
});

Deno.test("benchmark() notices a write of bytes beside", async () => {
  const wrong = await wrongOf(ofRegion("overrunning", OverrunningRegion));
  assertEquals(Object.keys(wrong), [VALUES[1], VALUES[3], "struct write"]);
  assertMatch(wrong["u32 write"]!, /^it left 0x77 at 0x4, not 0x/);
});

Deno.test("benchmark() notices a value of another place", async () => {
  const wrong = await wrongOf(ofRegion("misplacing", MisplacingRegion));
  assertEquals(Object.keys(wrong), [VALUES[0], VALUES[2], "struct read"]);
  assertMatch(wrong["u32 read"]!, /^it returned 0x[0-9a-f]+ at 0x[0-9a-f]+, not 0x/);
});

Deno.test("benchmark() notices a wrong count, and memory that ends early", async () => {
  const { "512 B read": reason } = await wrongOf(miscounting);
  assertEquals(reason, "read() returned 3, not 512");
  const rows = await run({
    name: "small",
    make: () => GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]),
  });
  assertEquals(accessesOf(rows, "wrong").length, rows.length);
  assertMatch(rows[0]!.reason!, /^PartialBuffer: Cannot transfer 65536 bytes: 4096 were done/);
});

Deno.test("benchmark() refuses what is no backend, or fails", async () => {
  const { make } = twoRegions;
  const failing = (): never => {
    throw new RangeError("no luck\nat all");
  };
  // deno-lint-ignore no-explicit-any
  const wrong: [any, string][] = [
    [undefined, "a value is no backend: its name is no text"],
    [{ name: " ", make }, "a value is no backend: its name is no text"],
    [{ name: "a" }, "a value is no backend: it has no function make"],
    [
      { name: "a", make: () => ({ read() {} }) },
      "make() of a returned no memory: it has no write()",
    ],
    [{ name: "a", make: () => null }, "make() of a returned no memory: it has no read()"],
    [{ name: "a", make: failing }, "make() of a failed: RangeError: no luck"],
  ];
  for (const [backend, message] of wrong) {
    const error = await assertRejects(() => run(backend), BackendError);
    assertEquals(error.message, message);
  }
  const twice = await assertRejects(() => run(twoRegions, twoRegions), BackendError);
  assertEquals(twice.message, "two backends have the name two regions");
});

Deno.test("benchmark() says which backend threw while it was measured", async () => {
  let reads = 0;
  const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), SIZE]]);
  const { load } = memory;
  Object.assign(memory, {
    load: (...args: Parameters<typeof load>) => {
      if (++reads > 100) throw new Error("worn out");
      return load.apply(memory, args);
    },
  });
  const error = await assertRejects(
    () => run({ name: "short-lived", make: () => memory }),
    BackendError,
  );
  assertEquals(error.message, "short-lived failed at u64 load, while it was measured: worn out");
});

Deno.test("benchmark() refuses a size that is no multiple of 1 MiB", async () => {
  for (const size of [0, SIZE / 2, SIZE + 1, NaN, -SIZE]) {
    await assertRejects(() => benchmark([], { size }), RangeError, "Cannot measure", `${size}`);
  }
});

Deno.test("every kind of this library is right", async () => {
  const rows = await run(...BUILT_IN);
  assertEquals(rows.filter(({ outcome }) => outcome === "wrong"), []);
  const measured = new Set(
    rows.filter(({ outcome }) => outcome === "measured").map(({ backend }) => backend),
  );
  for (const name of ["heap ArrayBuffer", "SharedArrayBuffer", "anonymous", "file, shared"]) {
    assert(measured.has(name), name);
  }
});
