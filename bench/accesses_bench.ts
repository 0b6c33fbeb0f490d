/**
 * Single accesses: values and atomics, finding a region, codecs of structures, and what an access
 * costs as memory grows.
 *
 * Nothing is hoisted or folded away: addresses come out of tables; what is read goes into the sink,
 * structures as a whole; V8 neither moves nor drops an atomic access.
 */
import {
  array,
  type Bitmap,
  GuestAddress,
  GuestMemoryMmap,
  GuestMemoryRegion,
  GuestRegionCollection,
  NoBitmap,
  struct,
  SystemError,
  u32,
  u64,
} from "@vmm/guest-memory";
import { benchCodecs } from "./codecs.ts";
import { bench, rival, row, type Subject } from "./measure.ts";
import { consume, keep } from "../src/bench/sink.ts";
import {
  addressTable,
  alignedBytes,
  byteSize,
  GIB,
  KIB,
  MASK,
  MIB,
  randomIntegers,
} from "./workload.ts";

// Used in each memory of another size, and present: it is the access that is measured, and not the
// host's page tables.
const PAGES = 32;

await benchValues();
await benchAtomics();
await benchLookups();
await benchRegions();
await benchSizes();
// Last: after it, V8 inlines less of an access.
await benchCodecs();

async function benchValues(): Promise<void> {
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), MIB], [GuestAddress(MIB), MIB]]);
  const slice = memory.getSlice(GuestAddress(0), MIB);
  const { buffer, byteOffset } = slice.rawView().fill(1);
  const words = new Uint32Array(buffer, byteOffset, MIB / 4);
  const longs = new BigUint64Array(buffer, byteOffset, MIB / 8);
  const at = addressTable((i) => (i & 63) * 128);
  const refs = Array.from(at, (address) => slice.getRef(u32, address));

  const read = rival("element of a Uint32Array", (n) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum ^= words[at[i & MASK]! / 4]!;
    consume(sum);
  });
  const written = rival("element of a Uint32Array", (n) => {
    for (let i = 0; i < n; i++) words[at[i & MASK]! / 4] = i;
  });
  await bench("A u32 in a region", [
    row("nothing but the loop, the table, the sink", undefined, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= at[i & MASK]!;
      consume(sum);
    }),
    row("GuestMemory.readObj", read, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= memory.readObj(u32, at[i & MASK]!);
      consume(sum);
    }),
    row("GuestMemory.writeObj", written, (n) => {
      for (let i = 0; i < n; i++) memory.writeObj(u32, i, at[i & MASK]!);
    }),
    row("VolatileSlice.readObj", read, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= slice.readObj(u32, at[i & MASK]!);
      consume(sum);
    }),
    row("VolatileSlice.writeObj", written, (n) => {
      for (let i = 0; i < n; i++) slice.writeObj(u32, i, at[i & MASK]!);
    }),
    row("VolatileRef.load, of a reference that is kept", read, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= refs[i & MASK]!.load();
      consume(sum);
    }),
    row("VolatileRef.store, of a reference that is kept", written, (n) => {
      for (let i = 0; i < n; i++) refs[i & MASK]!.store(i);
    }),
  ]);

  const Pair = struct({ a: u32, b: u32 });
  const Dozen = struct({ elements: array(u64, 12) });
  const pair = { a: 1, b: 2 };
  const dozen = { elements: Array.from({ length: 12 }, (_, i) => BigInt(i)) };
  // Half of the bytes on each side of the boundary of the two regions.
  const over8 = addressTable(() => MIB - 4);
  const over96 = addressTable(() => MIB - 48);
  await bench("A structure", [
    row(
      "two u32 read",
      rival("elements, one by one", (n) => {
        for (let i = 0; i < n; i++) {
          const index = at[i & MASK]! / 4;
          keep({ a: words[index]!, b: words[index + 1]! });
        }
      }),
      (n) => {
        for (let i = 0; i < n; i++) keep(memory.readObj(Pair, at[i & MASK]!));
      },
    ),
    row(
      "two u32 written",
      rival("elements, one by one", (n) => {
        for (let i = 0; i < n; i++) {
          const index = at[i & MASK]! / 4;
          words[index] = i;
          words[index + 1] = pair.b;
        }
      }),
      (n) => {
        for (let i = 0; i < n; i++) {
          pair.a = i;
          memory.writeObj(Pair, pair, at[i & MASK]!);
        }
      },
    ),
    row(
      "twelve u64 read",
      rival("elements, one by one", (n) => {
        for (let i = 0; i < n; i++) {
          const elements: bigint[] = [];
          const index = at[i & MASK]! / 8;
          for (let j = 0; j < 12; j++) elements.push(longs[index + j]!);
          keep({ elements });
        }
      }),
      (n) => {
        for (let i = 0; i < n; i++) keep(memory.readObj(Dozen, at[i & MASK]!));
      },
    ),
    row(
      "twelve u64 written",
      rival("elements, one by one", (n) => {
        for (let i = 0; i < n; i++) {
          const index = at[i & MASK]! / 8;
          for (let j = 0; j < 12; j++) longs[index + j] = dozen.elements[j]!;
        }
      }),
      (n) => {
        for (let i = 0; i < n; i++) memory.writeObj(Dozen, dozen, at[i & MASK]!);
      },
    ),
    row(
      "two u32 read over a boundary",
      rival("in a region", (n) => {
        for (let i = 0; i < n; i++) keep(memory.readObj(Pair, at[i & MASK]!));
      }),
      (n) => {
        for (let i = 0; i < n; i++) keep(memory.readObj(Pair, over8[i & MASK]!));
      },
    ),
    row(
      "twelve u64 written over a boundary",
      rival("in a region", (n) => {
        for (let i = 0; i < n; i++) memory.writeObj(Dozen, dozen, at[i & MASK]!);
      }),
      (n) => {
        for (let i = 0; i < n; i++) memory.writeObj(Dozen, dozen, over96[i & MASK]!);
      },
    ),
  ]);
}

// Nobody else accesses the memory meanwhile.
async function benchAtomics(): Promise<void> {
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), MIB]]);
  const { buffer, byteOffset } = memory.getSlice(GuestAddress(0), MIB).rawView().fill(1);
  const words = new Uint32Array(buffer, byteOffset, MIB / 4);
  const longs = new BigUint64Array(buffer, byteOffset, MIB / 8);
  const at = addressTable((i) => (i & 63) * 64);
  const refs = Array.from(at, (address) => memory.getAtomicRef(u32, address));

  const load = rival("Atomics.load", (n) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum ^= Atomics.load(words, at[i & MASK]! / 4);
    consume(sum);
  });
  const store = rival("Atomics.store", (n) => {
    for (let i = 0; i < n; i++) Atomics.store(words, at[i & MASK]! / 4, i);
  });
  const add = rival("Atomics.add", (n) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum ^= Atomics.add(words, at[i & MASK]! / 4, i);
    consume(sum);
  });
  await bench("An atomic access", [
    row("GuestMemory.load, u32", load, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= memory.load(u32, at[i & MASK]!);
      consume(sum);
    }),
    row("GuestMemory.store, u32", store, (n) => {
      for (let i = 0; i < n; i++) memory.store(u32, i, at[i & MASK]!);
    }),
    row(
      "GuestMemory.load, u64",
      rival("Atomics.load", (n) => {
        let sum = 0n;
        for (let i = 0; i < n; i++) sum ^= Atomics.load(longs, at[i & MASK]! / 8);
        consume(Number(sum));
      }),
      (n) => {
        let sum = 0n;
        for (let i = 0; i < n; i++) sum ^= memory.load(u64, at[i & MASK]!);
        consume(Number(sum));
      },
    ),
    row(
      "GuestMemory.store, u64",
      rival("Atomics.store", (n) => {
        for (let i = 0; i < n; i++) Atomics.store(longs, at[i & MASK]! / 8, 7n);
      }),
      (n) => {
        for (let i = 0; i < n; i++) memory.store(u64, 7n, at[i & MASK]!);
      },
    ),
    row("AtomicRef.load, kept, u32", load, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= refs[i & MASK]!.load();
      consume(sum);
    }),
    row("AtomicRef.store, kept, u32", store, (n) => {
      for (let i = 0; i < n; i++) refs[i & MASK]!.store(i);
    }),
    row("AtomicRef.fetchAdd, kept, u32", add, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= refs[i & MASK]!.fetchAdd(i);
      consume(sum);
    }),
    row("getAtomicRef and fetchAdd, u32", add, (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= memory.getAtomicRef(u32, at[i & MASK]!).fetchAdd(i);
      consume(sum);
    }),
  ]);
}

async function benchLookups(): Promise<void> {
  // A region without memory: it is the look-up alone that is measured.
  class BareRegion extends GuestMemoryRegion {
    readonly startAddr: GuestAddress;
    readonly len: number;
    readonly bitmap: Bitmap = NoBitmap;

    constructor(startAddr: number, len: number) {
      super();
      this.startAddr = GuestAddress(startAddr);
      this.len = len;
    }
  }

  const mebibytes = { name: "", sizeOf: () => MIB, hole: 0 };
  const apart = { name: " with holes", sizeOf: () => MIB, hole: MIB };
  // As with device memory beside RAM: a few huge ones, and many that are small.
  const sizeOf = (index: number) => index % 64 === 0 ? 64 * GIB : 4 * KIB;
  const uneven = { name: " of uneven sizes", sizeOf, hole: 0 };
  const rows: Subject[] = [];
  for (
    const [count, layout] of [
      [1, mebibytes],
      [8, mebibytes],
      [64, mebibytes],
      [512, mebibytes],
      [4096, mebibytes],
      [4096, apart],
      [4096, uneven],
    ] as const
  ) {
    let start = 0;
    const regions = Array.from({ length: count }, (_, index) => {
      const region = new BareRegion(start, layout.sizeOf(index));
      start += region.len + layout.hole;
      return region;
    });
    const memory = GuestRegionCollection.fromRegions(regions);
    const random = randomIntegers();
    const within = ({ startAddr, len }: BareRegion) => startAddr + random(len);
    const patterns: Record<string, (i: number) => number> = {
      "at random": () => within(regions[random(count)]!),
      ...(count > 1 && { "always one": () => within(regions[count >> 1]!) }),
      ...(layout.hole > 0 && { "in holes": () => regions[random(count)]!.lastAddr + 1 }),
    };
    for (const [pattern, addressOf] of Object.entries(patterns)) {
      const at = addressTable(addressOf);
      const binary = rival("binary search", (n) => {
        let found = 0;
        for (let i = 0; i < n; i++) found += binarySearch(regions, at[i & MASK]!)?.len ?? 0;
        consume(found);
      });
      rows.push(row(`${regionsName(count)}${layout.name}, ${pattern}`, binary, (n) => {
        let found = 0;
        for (let i = 0; i < n; i++) found += memory.findRegion(at[i & MASK]!)?.len ?? 0;
        consume(found);
      }));
    }
  }
  await bench("Finding a region", rows);
}

// As the crate finds it.
function binarySearch(regions: readonly GuestMemoryRegion[], address: number) {
  let [low, high] = [0, regions.length];
  while (low < high) {
    const middle = low + high >> 1;
    if (regions[middle]!.startAddr <= address) low = middle + 1;
    else high = middle;
  }
  const region = regions[low - 1];
  return region !== undefined && address <= region.lastAddr ? region : undefined;
}

async function benchRegions(): Promise<void> {
  const memories = [1, 8, 64, 512, 4096].map((count) => {
    return { name: regionsName(count), memory: mapRegions(count, 4 * GIB / count) };
  });
  // The pages one after the other, which are in one region each time; and as many as the table has,
  // each in another region if there are as many.
  await benchMemories("4 GiB, in one of", memories, PAGES, () => 4 * KIB);
  await benchMemories("4 GiB, all over", memories, MASK + 1, () => 4 * GIB / (MASK + 1));
}

async function benchSizes(): Promise<void> {
  const memories = [1, 16, 128, 1024, 2048, 4096, 8192].map((gib) => {
    return { name: byteSize(gib * GIB), memory: mapRegions(1, gib * GIB), size: gib * GIB };
  });
  await benchMemories("One region of", memories, PAGES, ({ size }) => size / PAGES);
  // V8 counts what is mapped: with terabytes of it, garbage is collected at every other allocation.
  for (const { memory } of memories) memory?.close();
}

async function benchMemories<M extends { name: string; memory: GuestMemoryMmap | undefined }>(
  title: string,
  memories: readonly M[],
  pages: number,
  distanceIn: (memory: M) => number,
): Promise<void> {
  const buf = alignedBytes(64);
  const rows: [Subject[], Subject[]] = [[], []];
  for (const each of memories) {
    const { name, memory } = each;
    if (memory === undefined) continue;
    // Another offset in each page: pages far apart would otherwise compete for the same cache lines. An
    // order that no processor foresees, for all the same.
    const random = randomIntegers();
    const at = addressTable(() => {
      const page = random(pages);
      return page * distanceIn(each) + page % PAGES * 64;
    });
    for (const address of at) memory.writeObj(u32, 1, address);
    rows[0].push(row(`${name}: u32 read`, rows[0][0], (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= memory.readObj(u32, at[i & MASK]!);
      consume(sum);
    }));
    rows[1].push(row(`${name}: 64 B written`, rows[1][0], (n) => {
      for (let i = 0; i < n; i++) consume(memory.write(buf, at[i & MASK]!));
    }));
  }
  await bench(title, rows.flat());
}

function regionsName(count: number): string {
  return count === 1 ? "1 region" : `${count.toLocaleString("en-US")} regions`;
}

function mapRegions(count: number, size: number): GuestMemoryMmap | undefined {
  try {
    return GuestMemoryMmap.fromRanges(
      Array.from({ length: count }, (_, i) => [GuestAddress(i * size), size] as const),
    );
  } catch (error) {
    // A host that promises no more memory than it has does not map as much.
    if (error instanceof SystemError && error.code === "ENOMEM") return undefined;
    throw error;
  }
}
