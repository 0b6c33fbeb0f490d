/**
 * Copies of 8 B to 64 MiB through guest memory, beside a bare `set` of the same bytes. What C's memcpy
 * takes for them is measured by `deno task compare`.
 *
 * Nothing is hoisted or folded away: copies are calls with an effect on memory, their addresses come
 * out of a table, and their counts go into the sink. The pages of both sides are present. The bare
 * `set` has to make a subarray, as it does not know the address before.
 */
import { GuestAddress } from "@vmm/guest-memory";
import { ANONYMOUS } from "./backends.ts";
import { consume } from "./sink.ts";
import {
  addressTable,
  alignedBytes,
  EACH,
  KIB,
  MASK,
  MIB,
  OPERATIONS,
  sizeName,
} from "./workload.ts";

const LARGEST = 64 * MIB;
const memory = ANONYMOUS.make(LARGEST)!;
const bytes = memory.getSlice(GuestAddress(0), LARGEST).rawView();
const buffer = alignedBytes(LARGEST, 4 * KIB).fill(0x5a);

for (const size of [8, 64, 512, 4 * KIB, 64 * KIB, MIB, 16 * MIB, LARGEST]) {
  const times = size <= 4 * KIB ? OPERATIONS : Math.max(1, MIB / size);
  const buf = buffer.subarray(0, size);
  // Small copies at eight places, as one is never alone; large ones at one: two would be another load
  // on the caches than a copy is.
  const addresses = addressTable((i) => size <= 4 * KIB ? (i & 7) * size : 0);
  const name = sizeName(size);
  const each = times === OPERATIONS ? EACH : `${times} an iteration`;

  const reading = { group: `${name} read (${each})` };
  Deno.bench(`bare set, ${name} read`, { ...reading, baseline: true }, () => {
    for (let i = 0; i < times; i++) {
      const at = addresses[i & MASK]!;
      buf.set(bytes.subarray(at, at + size));
    }
  });
  Deno.bench(`GuestMemory.read, ${name}`, reading, () => {
    for (let i = 0; i < times; i++) consume(memory.read(buf, addresses[i & MASK]!));
  });

  const writing = { group: `${name} written (${each})` };
  Deno.bench(`bare set, ${name} written`, { ...writing, baseline: true }, () => {
    for (let i = 0; i < times; i++) bytes.set(buf, addresses[i & MASK]!);
  });
  Deno.bench(`GuestMemory.write, ${name}`, writing, () => {
    for (let i = 0; i < times; i++) consume(memory.write(buf, addresses[i & MASK]!));
  });
}
