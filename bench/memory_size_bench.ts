/**
 * What an access costs as memory grows: one region of 1 GiB to 8 TiB, and 1 to 4,096 regions. Both
 * should be flat.
 *
 * So that it is the access that is measured and not the host's page tables, as many pages are used in
 * each memory, spread over all of it, and they are present. Nothing is hoisted or folded away:
 * addresses come out of a table, and what is read goes into the sink.
 */
import { GuestAddress, GuestMemoryMmap, SystemError, u32 } from "@vmm/guest-memory";
import { consume } from "./sink.ts";
import {
  addressTable,
  alignedBytes,
  EACH,
  GIB,
  MASK,
  MIB,
  OPERATIONS,
  sizeName,
} from "./workload.ts";

const PAGES = 32;
const buf = alignedBytes(64);

for (const count of [1, 8, 64, 512, 4096]) {
  benchAccesses(`${count} region${count === 1 ? "" : "s"} of 1 MiB`, count, MIB);
}
// These come last: each mapping tells V8 of so much more memory to collect, and after terabytes it
// would collect at every other one.
for (const size of [1, 16, 128, 1024, 2048, 4096, 8192].map((count) => count * GIB)) {
  benchAccesses(`one region of ${sizeName(size)}`, 1, size);
}

function benchAccesses(name: string, count: number, regionSize: number): void {
  const memory = mapRegions(count, regionSize);
  const spread = count * regionSize / PAGES;
  // Another offset in each page: pages far apart would otherwise compete for the same cache lines.
  const addresses = addressTable((i) => (i % PAGES) * spread + (i % PAGES) * 64);
  if (memory !== undefined) { for (const address of addresses) memory.writeObj(u32, 1, address); }

  const kind = count === 1 && regionSize >= GIB ? "size of memory" : "number of regions";
  const options = { group: `u32 read, by ${kind} (${EACH})`, ignore: memory === undefined };
  Deno.bench(`readObj, ${name}`, options, () => {
    let sum = 0;
    for (let i = 0; i < OPERATIONS; i++) sum ^= memory!.readObj(u32, addresses[i & MASK]!);
    consume(sum);
  });
  Deno.bench(
    `write 64 bytes, ${name}`,
    { ...options, group: `64 bytes written, by ${kind} (${EACH})` },
    () => {
      for (let i = 0; i < OPERATIONS; i++) consume(memory!.write(buf, addresses[i & MASK]!));
    },
  );
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
