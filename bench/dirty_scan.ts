/**
 * How fast an AtomicBitmap of a guest of 12 TiB is scanned: all clean, against the fastest loop over
 * the same bytes, and with 1 % of its pages dirty, against all clean.
 *
 *     deno run bench/dirty_scan.ts
 *
 * It takes 0.8 GiB of memory. All rows are measured in turn, round after round, so that whatever
 * else the machine does meets each of them.
 */
import { AtomicBitmap } from "@vmm/guest-memory";

const GUEST_SIZE = 12 * 2 ** 40;
const PAGE_SIZE = 4096;
const DIRTY_SHARE = 0.01;
const RUN_PAGES = 8;
const ROUNDS = 9;
const TARGET_CLEAN = 1.3;
const TARGET_DIRTY = 6;

interface Row {
  readonly name: string;
  readonly scan: () => unknown;
  readonly times: number[];
}

// What a scan found: runs and bytes. In an array, where adding to a number allocates none.
const found = new Float64Array(2);
const count = (_offset: number, length: number) => {
  found[0]!++;
  found[1]! += length;
};

const clean = touched(new AtomicBitmap(GUEST_SIZE, PAGE_SIZE));
const dirty = touched(new AtomicBitmap(GUEST_SIZE, PAGE_SIZE));
const marked = markRandomRuns(dirty);

const loops = typedArrayLoops(clean.buffer as SharedArrayBuffer);
const cleanScan = row("forEachDirtyRun, all clean", () => expectRuns(clean, 0, 0));
const dirtyScan = row(
  "forEachDirtyRun, 1 % dirty",
  () => expectRuns(dirty, marked.runs, marked.pages),
);
const pageScan = row(
  "forEachDirtyRun, one page of clean",
  () => clean.forEachDirtyRun(count, 0, PAGE_SIZE),
);
const rows = [cleanScan, dirtyScan, pageScan, ...loops];

for (let round = 0; round < ROUNDS; round++) {
  for (const { scan, times } of rows) {
    const begin = performance.now();
    scan();
    times.push(performance.now() - begin);
  }
}

report();

function report(): void {
  const mebibytes = clean.buffer.byteLength / 2 ** 20;
  console.log(`${clean.len} pages in ${mebibytes} MiB; ${ROUNDS} rounds, milliseconds`);
  console.log(`${marked.pages} dirty pages in ${marked.runs} runs`);
  console.log(`${"".padEnd(36)}    best  median`);
  for (const { name, times } of rows) {
    console.log(`${name.padEnd(36)}${shown(best(times))}${shown(median(times))}`);
  }
  const fastest = loops.reduce((a, b) => best(b.times) < best(a.times) ? b : a);
  verdict(`all clean / ${fastest.name}`, best(cleanScan.times) / best(fastest.times), TARGET_CLEAN);
  verdict("1 % dirty / all clean", best(dirtyScan.times) / best(cleanScan.times), TARGET_DIRTY);
  const perRun = (best(dirtyScan.times) - best(cleanScan.times)) / marked.runs * 1e6;
  console.log(`a dirty run costs ${perRun.toFixed(1)} ns`);
}

function verdict(what: string, ratio: number, target: number): void {
  const met = ratio <= target ? "met" : "missed";
  console.log(`${what}: ${ratio.toFixed(2)} (target ${target}: ${met})`);
}

function row(name: string, scan: () => unknown): Row {
  return { name, scan, times: [] };
}

// Pages that were never written are all one page of zeros, which is in the cache.
function touched(bitmap: AtomicBitmap): AtomicBitmap {
  new Uint8Array(bitmap.buffer).fill(0);
  return bitmap;
}

function markRandomRuns(bitmap: AtomicBitmap): { runs: number; pages: number } {
  const random = generator(1);
  const gapPages = RUN_PAGES / DIRTY_SHARE - RUN_PAGES;
  let runs = 0;
  let pages = 0;
  let page = geometric(random(), gapPages);
  while (page < bitmap.len) {
    const length = Math.min(geometric(random(), RUN_PAGES), bitmap.len - page);
    bitmap.setAddrRange(page * PAGE_SIZE, length * PAGE_SIZE);
    runs++;
    pages += length;
    page += length + geometric(random(), gapPages);
  }
  return { runs, pages };
}

function expectRuns(bitmap: AtomicBitmap, runs: number, pages: number): void {
  found.fill(0);
  bitmap.forEachDirtyRun(count);
  if (found[0] !== runs || found[1] !== pages * PAGE_SIZE) {
    throw new Error(`Found ${found} runs and bytes: ${pages} pages in ${runs} runs were marked`);
  }
}

// What one could write by hand to see whether any bit is set. The sums are faster than they are
// right: a sum of doubles cannot distinguish 0 from -0.
function typedArrayLoops(buffer: SharedArrayBuffer): Row[] {
  const i32 = new Int32Array(buffer);
  const f64 = new Float64Array(buffer);
  const u64 = new BigUint64Array(buffer);
  return [
    row("Int32Array, or", () => {
      let any = 0;
      for (let i = 0; i < i32.length; i++) any |= i32[i]!;
      return any;
    }),
    row("Int32Array, or of 8", () => {
      let any = 0;
      for (let i = 0; i < i32.length; i += 8) {
        any |= i32[i]! | i32[i + 1]! | i32[i + 2]! | i32[i + 3]! |
          i32[i + 4]! | i32[i + 5]! | i32[i + 6]! | i32[i + 7]!;
      }
      return any;
    }),
    row("Float64Array, sum", () => {
      let sum = 0;
      for (let i = 0; i < f64.length; i++) sum += f64[i]!;
      return sum;
    }),
    row("Float64Array, sums of 8", () => {
      let a = 0;
      let b = 0;
      let c = 0;
      let d = 0;
      for (let i = 0; i < f64.length; i += 8) {
        a += f64[i]! + f64[i + 4]!;
        b += f64[i + 1]! + f64[i + 5]!;
        c += f64[i + 2]! + f64[i + 6]!;
        d += f64[i + 3]! + f64[i + 7]!;
      }
      return a + b + c + d;
    }),
    row("BigUint64Array, or", () => {
      let any = 0n;
      for (let i = 0; i < u64.length; i++) any = BigInt.asUintN(64, any | u64[i]!);
      return any;
    }),
    row("BigUint64Array, or of 8", () => {
      for (let i = 0; i < u64.length; i += 8) {
        const any = u64[i]! | u64[i + 1]! | u64[i + 2]! | u64[i + 3]! |
          u64[i + 4]! | u64[i + 5]! | u64[i + 6]! | u64[i + 7]!;
        if (BigInt.asUintN(64, any) !== 0n) return any;
      }
      return 0n;
    }),
    row("BigUint64Array, indexOf", () => u64.indexOf(1n)),
  ];
}

function best(times: readonly number[]): number {
  return Math.min(...times);
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1]!;
}

function shown(time: number): string {
  return time.toFixed(1).padStart(8);
}

// A whole number from 1 on, with a mean.
function geometric(random: number, mean: number): number {
  return 1 + Math.floor(Math.log(1 - random) / Math.log(1 - 1 / mean));
}

// Mulberry32: the same marks in every run of the program.
function generator(seed: number): () => number {
  return () => {
    seed = seed + 0x6d2b_79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}
