/**
 * One process of `bench/snapshot_bench.ts`: does what its first argument says, and prints nanoseconds
 * as JSON.
 *
 *     process.ts probe                     says which trackers the kernel has, 1 or 0
 *     process.ts take BYTES DIRTY ROUNDS   tracks, writes DIRTY pages of 1000, takes them: the best
 *
 * @module
 */
import {
  AtomicBitmap,
  capabilities,
  GuestAddress,
  GuestMemoryMmap,
  pageSize,
} from "@vmm/guest-memory";
import { WriteTracker } from "@vmm/guest-memory/snapshot";

const [what, ...numbers] = Deno.args;
console.log(JSON.stringify(measured(...numbers.map(Number))));

function measured(size = 0, dirty = 0, rounds = 1): Record<string, number> {
  switch (what) {
    case "probe":
      return { writeTracker: Number(capabilities().trackers.writeTracker.available) };
    case "take":
      return take(size, dirty, rounds);
    default:
      throw new TypeError(`Cannot measure ${what}: it is not known`);
  }
}

function take(size: number, dirty: number, rounds: number): Record<string, number> {
  const page = pageSize();
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], {
    bitmap: (length) => new AtomicBitmap(length, page),
  });
  memory.fill(GuestAddress(0), size, 1);
  const { bitmap } = memory.findRegion(GuestAddress(0))!;
  const view = memory.getSlice(GuestAddress(0), size).rawView();
  const begin = performance.now();
  using tracker = WriteTracker.start(memory);
  const arm = 1e6 * (performance.now() - begin);
  let best = Infinity;
  for (let round = 0; round < rounds; round++) {
    let pages = 0;
    if (dirty > 0) {
      for (let at = 0; at < size; at += Math.floor(page * 1000 / dirty)) view[at]!++, pages++;
    }
    bitmap.reset();
    const begin = performance.now();
    const found = tracker.collect();
    best = Math.min(best, 1e6 * (performance.now() - begin));
    if (found !== pages * page) throw new Error(`${found} bytes were found of ${pages} pages`);
  }
  return { arm, take: best };
}
