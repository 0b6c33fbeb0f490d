/**
 * Throughput over 64 MiB in 4,096 regions: one after the other, in strides, at random, and always over
 * the boundary of two regions.
 *
 * Nothing is hoisted or folded away: addresses come out of long tables, which every iteration continues
 * through, so that it is not the same few cache lines that are read; results go into the sink.
 */
import { GuestAddress, GuestMemoryMmap, u64 } from "@vmm/guest-memory";
import { consume } from "./sink.ts";
import { alignedBytes, EACH, KIB, OPERATIONS, randomIntegers, sizeName } from "./workload.ts";

const REGIONS = 4096;
const REGION_SIZE = 16 * KIB;
const TOTAL = REGIONS * REGION_SIZE;
const TABLE_LENGTH = 2 ** 18;
const TABLE_MASK = TABLE_LENGTH - 1;

const memory = GuestMemoryMmap.fromRanges(
  Array.from({ length: REGIONS }, (_, i) => [GuestAddress(i * REGION_SIZE), REGION_SIZE] as const),
);
for (const region of memory) region.asVolatileSlice().rawView().fill(1);

// A step that visits every place before it visits one again, never two in one page.
const STRIDE = 9 * KIB + 64;
const random = randomIntegers();
const PATTERNS: Readonly<Record<string, (index: number, size: number) => number>> = {
  sequential: (index, size) => index * size % TOTAL,
  strided: (index, size) => index * STRIDE % (TOTAL - size) & ~7,
  random: (_, size) => random(TOTAL / size) * size,
  crossing: (index, size) => (index * 5 % (REGIONS - 1) + 1) * REGION_SIZE - size / 2,
};

for (const [pattern, addressOf] of Object.entries(PATTERNS)) {
  let next = 0;
  const table = (size: number) =>
    Array.from({ length: TABLE_LENGTH }, (_, i) => GuestAddress(addressOf(i, size)));

  const words = table(8);
  Deno.bench(`u64, ${pattern}`, { group: `a u64 read (${EACH})` }, () => {
    let sum = 0;
    for (let i = 0; i < OPERATIONS; i++) {
      // The low half: a comparison of bigints would cost more than the access.
      sum ^= Number(memory.readObj(u64, words[next++ & TABLE_MASK]!));
    }
    consume(sum);
  });

  for (const size of [64, 4 * KIB]) {
    const addresses = table(size);
    const buf = alignedBytes(size);
    const name = sizeName(size);
    Deno.bench(`${name}, ${pattern}, read`, { group: `${name} read (${EACH})` }, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.read(buf, addresses[next++ & TABLE_MASK]!));
      }
    });
    Deno.bench(`${name}, ${pattern}, written`, { group: `${name} written (${EACH})` }, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.write(buf, addresses[next++ & TABLE_MASK]!));
      }
    });
  }
}
