/**
 * What dirty tracking adds to a write, to pages that are dirty already and to clean ones; and what it
 * takes to read the marks.
 *
 * Nothing is hoisted or folded away: a write is a call with an effect on memory, addresses come out of
 * tables, counts go into the sink, and a scan has to find as many pages as were marked.
 */
import { AtomicBitmap, GuestAddress, GuestMemoryMmap, u32 } from "@vmm/guest-memory";
import { bench, rival, row, type Subject } from "./measure.ts";
import { consume } from "../src/bench/sink.ts";
import {
  addressTable,
  alignedBytes,
  byteSize,
  KIB,
  MASK,
  randomIntegers,
  TIB,
} from "./workload.ts";

const PAGE = 4 * KIB;
// Dirty bytes that a scan found. In an array, where adding to a number allocates none.
const found = new Float64Array(1);

await benchWrites();
await benchScans();

async function benchWrites(): Promise<void> {
  const rows: Subject[] = [];
  for (const size of [4, 512, 64 * KIB]) {
    const unit = Math.max(size, PAGE);
    const total = unit * (MASK + 1);
    // Another place in each page: the same one in all would be in a few lines of the cache.
    const at = addressTable((i) => i * unit + (size < PAGE ? (i & 7) * 512 : 0));
    const buf = alignedBytes(size).fill(1);
    const name = byteSize(size);
    const bitmap = new AtomicBitmap(total, PAGE);
    const ranges = [[GuestAddress(0), total]] as const;
    const untracked = GuestMemoryMmap.fromRanges(ranges);
    const tracked = GuestMemoryMmap.fromRanges(ranges, { bitmap: () => bitmap });
    if (size === 4) {
      const value = rival("not tracked", (n) => {
        for (let i = 0; i < n; i++) untracked.writeObj(u32, i, at[i & MASK]!);
      });
      rows.push(row("u32 written, page dirty", value, (n) => {
        for (let i = 0; i < n; i++) tracked.writeObj(u32, i, at[i & MASK]!);
      }));
    }
    const bytes = rival("not tracked", (n) => {
      for (let i = 0; i < n; i++) consume(untracked.write(buf, at[i & MASK]!));
    });
    rows.push(
      row(`${name} written, pages dirty`, bytes, (n) => {
        for (let i = 0; i < n; i++) consume(tracked.write(buf, at[i & MASK]!));
      }),
      row(`${name} written, pages clean`, bytes, (n) => {
        for (let i = 0; i < n; i++) {
          // Once for all pages of the table. The bitmap is at most a few KiB long.
          if ((i & MASK) === 0) bitmap.reset();
          consume(tracked.write(buf, at[i & MASK]!));
        }
      }),
    );
  }
  const half = 512 * KIB;
  const ranges = [[GuestAddress(0), half], [GuestAddress(half), half]] as const;
  const bitmap = (length: number) => new AtomicBitmap(length, PAGE);
  const untracked = GuestMemoryMmap.fromRanges(ranges);
  const tracked = GuestMemoryMmap.fromRanges(ranges, { bitmap });
  const at = addressTable((i) => half - 256 + (i & 7) * 8);
  const buf = alignedBytes(512).fill(1);
  const bytes = rival("not tracked", (n) => {
    for (let i = 0; i < n; i++) consume(untracked.write(buf, at[i & MASK]!));
  });
  rows.push(row("512 B written over a boundary, pages dirty", bytes, (n) => {
    for (let i = 0; i < n; i++) consume(tracked.write(buf, at[i & MASK]!));
  }));
  await bench("A tracked write", rows);
}

async function benchScans(): Promise<void> {
  const size = 12 * TIB;
  const clean = touched(new AtomicBitmap(size, PAGE));
  const dirty = touched(new AtomicBitmap(size, PAGE));
  const pages = markRandomRuns(dirty);
  const longs = new BigUint64Array(clean.buffer);

  const scanClean = row(
    "all clean",
    rival("indexOf of the same bytes", (n) => {
      for (let i = 0; i < n; i++) consume(longs.indexOf(1n));
    }),
    (n) => {
      for (let i = 0; i < n; i++) expectPages(clean, 0);
    },
  );
  const small = new AtomicBitmap(TIB / 16, PAGE);
  const taken = new AtomicBitmap(TIB / 16, PAGE);
  await bench("The marks of 12 TiB as runs", [
    scanClean,
    row("1 % dirty, in runs of 8 pages", scanClean, (n) => {
      for (let i = 0; i < n; i++) expectPages(dirty, pages);
    }),
  ]);
  await bench("The marks of 64 GiB as runs", [
    row(
      "1,000 pages marked, taken, and read",
      rival("all clean", (n) => {
        for (let i = 0; i < n; i++) expectPages(small, 0);
      }),
      (n) => {
        for (let i = 0; i < n; i++) {
          for (let page = 0; page < 1000; page++) small.markDirty(page * 16_384 * PAGE, 8);
          taken.reset();
          small.drainInto(taken);
          expectPages(taken, 1000);
        }
      },
    ),
  ]);
}

// Pages that were never written are all one page of zeros, which is in the cache.
function touched(bitmap: AtomicBitmap): AtomicBitmap {
  new Uint8Array(bitmap.buffer).fill(0);
  return bitmap;
}

// Runs of 1 to 15 pages, and 99 times as much between them, in the mean. Returns the number of pages.
function markRandomRuns(bitmap: AtomicBitmap): number {
  const random = randomIntegers();
  let pages = 0;
  for (let page = random(1584);;) {
    const length = 1 + random(15);
    if (page + length > bitmap.len) return pages;
    bitmap.setAddrRange(page * PAGE, length * PAGE);
    pages += length;
    page += length + 1 + random(1583);
  }
}

function addRun(_offset: number, length: number): void {
  found[0]! += length;
}

function expectPages(bitmap: AtomicBitmap, pages: number): void {
  found[0] = 0;
  bitmap.forEachDirtyRun(addRun);
  if (found[0] !== pages * PAGE) {
    throw new Error(`Found ${found[0]} dirty bytes where ${pages} pages were marked`);
  }
}
