/**
 * Copies by size, by the way they are made, and by their pattern. What C's memcpy takes is measured by
 * `deno task compare`.
 *
 * Nothing is hoisted or folded away: copies have an effect on memory, their addresses come out of
 * tables, and their counts go into the sink. The pages of both sides are present.
 */
import { GuestAddress, GuestMemoryMmap, MmapRegion, VolatileSlice } from "@vmm/guest-memory";
import { copyFromMapping } from "../ffi/memory.ts";
import { ANONYMOUS } from "../src/bench/built_in.ts";
import { bench, rival, row, type Subject } from "./measure.ts";
import { consume } from "../src/bench/sink.ts";
import {
  addressTable,
  alignedBytes,
  byteSize,
  KIB,
  MASK,
  MIB,
  randomIntegers,
} from "./workload.ts";

await benchSizes();
await benchSlices();
await benchWays();
await benchPatterns();

// The bare `set` has to make a subarray for reading, as it does not know the address before.
async function benchSizes(): Promise<void> {
  const largest = 64 * MIB;
  const memory = ANONYMOUS.make(largest)!;
  const bytes = memory.getSlice(GuestAddress(0), largest).rawView();
  const buffer = alignedBytes(largest, 4 * KIB).fill(0x5a);
  const rows: [Subject[], Subject[]] = [[], []];
  for (const size of [8, 64, 512, 4 * KIB, 64 * KIB, MIB, 16 * MIB, largest]) {
    const buf = buffer.subarray(0, size);
    // Small copies at eight places, as one is never alone; large ones at one: two would be another load
    // on the caches than a copy is.
    const at = addressTable((i) => size <= 4 * KIB ? (i & 7) * size : 0);
    const reading = rival("set of a subarray", (n) => {
      for (let i = 0; i < n; i++) {
        const start = at[i & MASK]!;
        buf.set(bytes.subarray(start, start + size));
      }
    });
    rows[0].push(row(`GuestMemory.read, ${byteSize(size)}`, reading, (n) => {
      for (let i = 0; i < n; i++) consume(memory.read(buf, at[i & MASK]!));
    }));
    const writing = rival("set", (n) => {
      for (let i = 0; i < n; i++) bytes.set(buf, at[i & MASK]!);
    });
    rows[1].push(row(`GuestMemory.write, ${byteSize(size)}`, writing, (n) => {
      for (let i = 0; i < n; i++) consume(memory.write(buf, at[i & MASK]!));
    }));
  }
  await bench("A copy, mapped memory", rows.flat());
}

async function benchSlices(): Promise<void> {
  const rows: Subject[] = [];
  for (const size of [512, 10 * KIB]) {
    const bytes = alignedBytes(size).fill(1);
    const slice = VolatileSlice.from(bytes);
    const other = alignedBytes(size);
    const target = VolatileSlice.from(alignedBytes(size));
    const out = rival("set of an existing view", (n) => {
      for (let i = 0; i < n; i++) other.set(bytes);
    });
    const into = rival("set of an existing view", (n) => {
      for (let i = 0; i < n; i++) bytes.set(other);
    });
    rows.push(
      row(`copyTo, ${byteSize(size)}`, out, (n) => {
        for (let i = 0; i < n; i++) consume(slice.copyTo(other));
      }),
      row(`read, ${byteSize(size)}`, out, (n) => {
        for (let i = 0; i < n; i++) consume(slice.read(other, 0));
      }),
      row(`copyToVolatileSlice, ${byteSize(size)}`, out, (n) => {
        for (let i = 0; i < n; i++) slice.copyToVolatileSlice(target);
      }),
      row(`copyFrom, ${byteSize(size)}`, into, (n) => {
        for (let i = 0; i < n; i++) consume(slice.copyFrom(other));
      }),
      row(`write, ${byteSize(size)}`, into, (n) => {
        for (let i = 0; i < n; i++) consume(slice.write(other, 0));
      }),
    );
  }
  await bench("A VolatileSlice on the heap", rows);
}

// The reason for `copyFromMapping` in `ffi/memory.ts`. `set` takes a source that is just as long as the
// copy, so it takes a view for each; a loop costs by the element.
async function benchWays(): Promise<void> {
  const mapping = new MmapRegion(16 * KIB);
  const from = mapping.asVolatileSlice().rawView().fill(1);
  const address = Number(mapping.hostAddress());
  const { buffer } = from;
  const rows: Subject[] = [];
  for (const size of [8, 32, 128, 512, 4 * KIB]) {
    const at = addressTable((i) => (i & 3) * size);
    const whole = from.subarray(0, size);
    const to = alignedBytes(size);
    const name = byteSize(size);
    const subarray = rival("set of a new subarray", (n) => {
      for (let i = 0; i < n; i++) {
        const offset = at[i & MASK]!;
        to.set(from.subarray(offset, offset + size));
      }
    });
    rows.push(
      row(`memmove of the C library, ${name}`, subarray, (n) => {
        for (let i = 0; i < n; i++) copyFromMapping(to, address + at[i & MASK]!, size);
      }),
      row(`set of a new view, ${name}`, subarray, (n) => {
        for (let i = 0; i < n; i++) to.set(new Uint8Array(buffer, at[i & MASK]!, size));
      }),
      row(`set of an existing view, ${name}`, subarray, (n) => {
        for (let i = 0; i < n; i++) to.set(whole);
      }),
    );
    if (size <= 512) {
      rows.push(row(`loop over bytes, ${name}`, subarray, (n) => {
        for (let i = 0; i < n; i++) {
          const first = at[i & MASK]! | 0;
          for (let byte = 0; byte < size; byte++) to[byte] = from[first + byte]!;
        }
      }));
    }
  }
  await bench("A way out of a mapping", rows);
}

// The tables are long, so that it is not the same few cache lines that are accessed.
async function benchPatterns(): Promise<void> {
  const regions = 4096;
  const regionSize = 16 * KIB;
  const total = regions * regionSize;
  const mask = 2 ** 18 - 1;
  const memory = GuestMemoryMmap.fromRanges(
    Array.from({ length: regions }, (_, i) => [GuestAddress(i * regionSize), regionSize] as const),
  );
  for (const region of memory) region.asVolatileSlice().rawView().fill(1);
  // A step that visits every place before it visits one again, never two in one page.
  const stride = 9 * KIB + 64;
  const random = randomIntegers();
  const patterns: Readonly<Record<string, (index: number, size: number) => number>> = {
    "in sequence": (index, size) => index * size % total,
    "in strides": (index, size) => index * stride % (total - size) & ~7,
    "at random": (_, size) => random(total / size) * size,
    "over boundaries": (index, size) => (index * 5 % (regions - 1) + 1) * regionSize - size / 2,
  };
  const rows: Subject[] = [];
  for (const size of [64, 4 * KIB]) {
    const buf = alignedBytes(size);
    const [reads, writes]: [Subject[], Subject[]] = [[], []];
    for (const [pattern, addressOf] of Object.entries(patterns)) {
      const at = Array.from({ length: mask + 1 }, (_, i) => GuestAddress(addressOf(i, size)));
      // Each batch continues where the last ended.
      let next = 0;
      reads.push(row(`${byteSize(size)} read ${pattern}`, reads[0], (n) => {
        for (let i = 0; i < n; i++) consume(memory.read(buf, at[next++ & mask]!));
      }));
      writes.push(row(`${byteSize(size)} written ${pattern}`, writes[0], (n) => {
        for (let i = 0; i < n; i++) consume(memory.write(buf, at[next++ & mask]!));
      }));
    }
    rows.push(...reads, ...writes);
  }
  await bench("64 MiB in 4,096 regions", rows);
}
