/**
 * What an access costs as memory grows: from 1 GiB to 8 TiB in one region, and 4 GiB in 1 to 4,096
 * regions, with locality and at random. All should be flat.
 *
 * So that it is the access that is measured and not the host's page tables, as many pages are used in
 * each memory, and they are present. Nothing is hoisted or folded away: addresses come out of a table,
 * and what is read goes into the sink.
 */
import { GuestAddress, GuestMemoryMmap, SystemError, u32 } from "@vmm/guest-memory";
import { consume } from "./sink.ts";
import {
  addressTable,
  alignedBytes,
  EACH,
  GIB,
  KIB,
  MASK,
  OPERATIONS,
  randomIntegers,
  sizeName,
} from "./workload.ts";

const PAGES = 32;
const buf = alignedBytes(64);

for (const count of [1, 8, 64, 512, 4096]) {
  const memory = mapRegions(count, 4 * GIB / count);
  const name = `${count} region${count === 1 ? "" : "s"}`;
  // The pages one after the other, which are in one region each time; and as many as the table has,
  // each in a separate region if there are as many.
  benchAccesses("by number of regions, in one of them", name, memory, PAGES, 4 * KIB);
  benchAccesses(
    "by number of regions, all over them",
    name,
    memory,
    MASK + 1,
    4 * GIB / (MASK + 1),
  );
}
// These come last: each mapping adds as much to the memory that V8 counts, and after terabytes it
// would collect at every other one.
for (const size of [1, 16, 128, 1024, 2048, 4096, 8192].map((count) => count * GIB)) {
  benchAccesses("by size of memory", sizeName(size), mapRegions(1, size), PAGES, size / PAGES);
}

function benchAccesses(
  by: string,
  name: string,
  memory: GuestMemoryMmap | undefined,
  pages: number,
  distance: number,
): void {
  // Another offset in each page: pages far apart would otherwise compete for the same cache lines. An
  // order that no processor foresees, for all the same.
  const random = randomIntegers();
  const addresses = addressTable(() => {
    const page = random(pages);
    return page * distance + page % PAGES * 64;
  });
  if (memory !== undefined) { for (const address of addresses) memory.writeObj(u32, 1, address); }
  const options = { ignore: memory === undefined };
  Deno.bench(`u32 read, ${name}, ${by}`, { ...options, group: `u32 read ${by} (${EACH})` }, () => {
    let sum = 0;
    for (let i = 0; i < OPERATIONS; i++) sum ^= memory!.readObj(u32, addresses[i & MASK]!);
    consume(sum);
  });
  const group = `64 bytes written ${by} (${EACH})`;
  Deno.bench(`64 bytes written, ${name}, ${by}`, { ...options, group }, () => {
    for (let i = 0; i < OPERATIONS; i++) consume(memory!.write(buf, addresses[i & MASK]!));
  });
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
