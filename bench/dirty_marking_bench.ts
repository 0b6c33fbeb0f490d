/**
 * What dirty tracking adds to a write: none, to pages that are dirty already, and to clean ones; and
 * what it takes to read the marks.
 *
 * Each write goes to different pages. Where they are to be clean, each iteration begins with clearing
 * the bitmap, which is at most a few KiB long. Nothing is hoisted or folded away: a write is a call with
 * an effect on memory, addresses come out of a table, and counts go into the sink.
 */
import { AtomicBitmap, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { consume } from "./sink.ts";
import {
  addressTable,
  alignedBytes,
  EACH,
  GIB,
  KIB,
  MASK,
  MIB,
  OPERATIONS,
  sizeName,
} from "./workload.ts";

const PAGE = 4 * KIB;

for (const size of [8, 512, 64 * KIB]) {
  const times = size <= PAGE ? OPERATIONS : 100;
  const unit = Math.max(size, PAGE);
  const total = unit * (MASK + 1);
  // Another place in each page: the same one in all would be in a few lines of the cache.
  const addresses = addressTable((i) => i * unit + (size < PAGE ? (i & 7) * 512 : 0));
  const buf = alignedBytes(size).fill(1);
  const options = {
    group: `${sizeName(size)} written (${times === OPERATIONS ? EACH : `${times} an iteration`})`,
  };

  const untracked = GuestMemoryMmap.fromRanges([[GuestAddress(0), total]]);
  Deno.bench(`${sizeName(size)}, not tracked`, { ...options, baseline: true }, () => {
    for (let i = 0; i < times; i++) consume(untracked.write(buf, addresses[i & MASK]!));
  });

  const bitmap = new AtomicBitmap(total, PAGE);
  const tracked = GuestMemoryMmap.fromRanges([[GuestAddress(0), total]], { bitmap: () => bitmap });
  Deno.bench(`${sizeName(size)}, to dirty pages`, options, () => {
    for (let i = 0; i < times; i++) consume(tracked.write(buf, addresses[i & MASK]!));
  });
  Deno.bench(`${sizeName(size)}, to clean pages`, options, () => {
    bitmap.reset();
    for (let i = 0; i < times; i++) consume(tracked.write(buf, addresses[i & MASK]!));
  });
}

const marks = new AtomicBitmap(64 * GIB, PAGE);
const taken = new AtomicBitmap(64 * GIB, PAGE);
const reading = { group: "the marks of 64 GiB in pages of 4 KiB" };
Deno.bench("all clean, as runs", reading, () => consume(runsOf(marks)));
Deno.bench("1,000 pages marked, taken, and read as runs", reading, () => {
  for (let i = 0; i < OPERATIONS; i++) marks.markDirty(i * 64 * MIB, 8);
  taken.reset();
  marks.drainInto(taken);
  consume(runsOf(taken));
});

function runsOf(bitmap: AtomicBitmap): number {
  let count = 0;
  bitmap.forEachDirtyRun((offset, length) => count += offset + length);
  return count;
}
