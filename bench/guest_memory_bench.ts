/**
 * Objects and slices through guest memory, at the four places of the crate's suite: in the first and
 * in the last of eight regions of 2 GiB, and over the boundary after the first and before the last.
 *
 * Nothing is hoisted or folded away: addresses come out of a table, several different ones where the
 * place allows; what is read goes into the sink, objects as a whole; what is written differs from
 * one iteration to the next.
 */
import { array, type GuestAddress, GuestMemoryMmap, struct, u32, u64 } from "@vmm/guest-memory";
import { consume, keep } from "./sink.ts";
import { addressTable, alignedBytes, EACH, GIB, MASK, OPERATIONS } from "./workload.ts";

const REGION_SIZE = 2 * GIB;
const memory = GuestMemoryMmap.fromRanges(
  Array.from({ length: 8 }, (_, i) => [i * REGION_SIZE as GuestAddress, REGION_SIZE] as const),
);

const Small = struct({ a: u32, b: u32 });
const Big = struct({ elements: array(u64, 12) });
const small = { a: 1, b: 2 };
const big = { elements: Array.from({ length: 12 }, (_, i) => BigInt(i)) };
const buf = alignedBytes(512);

for (
  const [place, addresses] of [
    ["in region 0", inRegion(0)],
    ["over regions 0 and 1", overEndOf(0)],
    ["over regions 6 and 7", overEndOf(6)],
    ["in region 7", inRegion(7)],
  ] as const
) {
  const at512 = addresses(512);
  const at96 = addresses(96);
  const at8 = addresses(8);
  const bench = (what: string, fn: () => void) => {
    Deno.bench(`${what}, ${place}`, { group: `${what} (${EACH})` }, fn);
  };

  bench("read 512 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) consume(memory.read(buf, at512[i & MASK]!));
  });
  bench("readSlice 512 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) {
      memory.readSlice(buf, at512[i & MASK]!);
      consume(buf[i & 511]!);
    }
  });
  bench("write 512 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) {
      buf[i & 511] = i;
      consume(memory.write(buf, at512[i & MASK]!));
    }
  });
  bench("writeSlice 512 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) {
      buf[i & 511] = i;
      memory.writeSlice(buf, at512[i & MASK]!);
    }
  });
  bench("readObj 8 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const { a, b } = memory.readObj(Small, at8[i & MASK]!);
      consume(a ^ b);
    }
  });
  bench("writeObj 8 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) {
      small.a = i;
      memory.writeObj(Small, small, at8[i & MASK]!);
    }
  });
  bench("readObj 96 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) keep(memory.readObj(Big, at96[i & MASK]!));
  });
  bench("writeObj 96 bytes", () => {
    for (let i = 0; i < OPERATIONS; i++) memory.writeObj(Big, big, at96[i & MASK]!);
  });
}

// Eight cache lines or more in one page, so that it is not the cache that is measured.
function inRegion(index: number) {
  return (size: number) => addressTable((i) => index * REGION_SIZE + (i & 7) * Math.min(size, 512));
}

// Half of the bytes on each side, as the crate has it: there is one such place.
function overEndOf(index: number) {
  return (size: number) => addressTable(() => (index + 1) * REGION_SIZE - size / 2);
}
