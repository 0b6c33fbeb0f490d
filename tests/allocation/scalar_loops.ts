/**
 * Accesses memory in warm loops, and prints the bytes that each access takes of the heap.
 *
 *     scalar_loops.ts KIND BASE
 *
 * The first is a control: an object for each access, which has to show.
 */
import {
  GuestAddress,
  GuestMemoryHeap,
  GuestMemoryMmap,
  type GuestRegionCollection,
  MemoryRegionAddress,
  struct,
  u16,
  u32,
  u64,
  u8,
} from "../../mod.ts";
import * as library from "../../mod.ts";

// So few that no collection comes in between, and so many that 8 bytes each are 160 kB.
const ACCESSES = 20_000;
const SIZE = 0x1_0000;

declare const gc: () => void;

/** What is read as an object goes here, so that it has to be made. */
const sink = { last: undefined as unknown };
const Pair = struct({ a: u32, b: u32 });
const buffer = new Uint8Array(512);

type Loop = (target: unknown) => number;

// Separate code for each loop, so that none is changed by what another has seen.
function makeLoop(access: string, base: number): Loop {
  const names = Object.keys(library);
  return new Function(
    ...names,
    "sink",
    "Pair",
    "buffer",
    `return (target) => {
      let sum = 0;
      for (let i = 0; i < ${ACCESSES}; i++) {
        const at = ${base} + (i & 1023) * 8;
        ${access};
      }
      return sum;
    }`,
  )(...Object.values(library), sink, Pair, buffer);
}

// When code becomes warm is the machine's affair: this waits for it.
function bytesEach(loop: Loop, target: unknown): number {
  let bytes = Infinity;
  for (let round = 0; round < 40 && bytes >= ACCESSES; round++) {
    for (let i = 0; i < 50; i++) loop(target);
    gc();
    const before = Deno.memoryUsage().heapUsed;
    loop(target);
    bytes = Deno.memoryUsage().heapUsed - before;
  }
  return bytes / ACCESSES;
}

const ACCESS: readonly string[] = [
  ...["u8", "i16", "u32", "f64"].map((codec) => `sum += target.readObj(${codec}, at)`),
  ...["u8", "i16", "u32", "f64"].map((codec) => `target.writeObj(${codec}, i & 127, at)`),
  "target.writeObj(u64, 7n, at)",
  "sum += target.load(u32, at)",
  "target.store(u32, i, at)",
  "sum += target.read(buffer, at)",
  "sum += target.write(buffer, at)",
];

// Loops over codecs of every kind, at every level, come before those that are measured.
function useEverything(memory: GuestRegionCollection, base: number): void {
  for (let i = 0; i < 1000; i++) {
    for (const codec of [u8, u16, u32]) memory.writeObj(codec, i, GuestAddress(base));
    memory.writeObj(u64, 1n, GuestAddress(base));
    memory.writeObj(Pair, memory.readObj(Pair, GuestAddress(base)), GuestAddress(base));
    const region = memory.findRegion(GuestAddress(base))!;
    region.writeObj(u32, region.readObj(u32, MemoryRegionAddress(8)), MemoryRegionAddress(0));
  }
}

const [kind, base] = [Deno.args[0], Number(Deno.args[1])];
const { fromRanges } = kind === "mapped" ? GuestMemoryMmap : GuestMemoryHeap;
const memory: GuestRegionCollection = fromRanges([[GuestAddress(base), SIZE]]);
const results: Record<string, number> = {
  control: bytesEach(makeLoop("sink.last = target.readObj(Pair, at)", base), memory),
};
useEverything(memory, base);
for (const access of ACCESS) {
  // On the heap, a copy of a part takes a view of it.
  if (kind === "heap" && access.includes("read(buffer")) continue;
  results[access] = bytesEach(makeLoop(access, base), memory);
}
console.log(JSON.stringify(results));
