/**
 * Streams into guest memory and out of it, in one region and over the boundary of two: a buffer
 * (`Cursor`), a descriptor by FFI (`Fd`) and a `Deno.FsFile`.
 *
 * `/dev/zero` and `/dev/null` are the files, so that the cost of the call is measured and no disk.
 * Nothing is hoisted or folded away: addresses come out of a table, and the counts that are returned
 * go into the sink.
 */
import { Cursor, Fd, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { openSync } from "node:fs";
import { consume } from "./sink.ts";
import {
  addressTable,
  alignedBytes,
  EACH,
  isGranted,
  KIB,
  MASK,
  MIB,
  OPERATIONS,
  sizeName,
} from "./workload.ts";

const memory = GuestMemoryMmap.fromRanges([
  [GuestAddress(0), 2 * MIB],
  [GuestAddress(2 * MIB), 2 * MIB],
]);
const zero = Deno.openSync("/dev/zero");
const mayWrite = isGranted("write");
const nowhere = mayWrite ? Deno.openSync("/dev/null", { write: true }) : undefined;
const zeroFd = new Fd(openSync("/dev/zero", "r"));
const nowhereFd = mayWrite ? new Fd(openSync("/dev/null", "w")) : undefined;

for (const size of [512, 64 * KIB]) {
  const buffer = alignedBytes(size).fill(1);
  const inOne = addressTable((i) => (i & 7) * size);
  const overTwo = addressTable((i) => 2 * MIB - size / 2 + (i & 7) * 8);

  for (const [place, addresses] of [["in one region", inOne], ["over two", overTwo]] as const) {
    const reading = { group: `${sizeName(size)} from a stream, ${place} (${EACH})` };
    Deno.bench(`Cursor, ${place}`, { ...reading, baseline: true }, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.readVolatileFrom(addresses[i & MASK]!, new Cursor(buffer), size));
      }
    });
    Deno.bench(`Fd, ${place}`, reading, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.readVolatileFrom(addresses[i & MASK]!, zeroFd, size));
      }
    });
    Deno.bench(`Deno.FsFile, ${place}`, reading, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.readVolatileFrom(addresses[i & MASK]!, zero, size));
      }
    });

    const writing = {
      group: `${sizeName(size)} to a stream, ${place} (${EACH})`,
      ignore: !mayWrite,
    };
    Deno.bench(`Cursor, ${place}`, { ...writing, baseline: true }, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.writeVolatileTo(addresses[i & MASK]!, new Cursor(buffer), size));
      }
    });
    Deno.bench(`Fd, ${place}`, writing, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.writeVolatileTo(addresses[i & MASK]!, nowhereFd!, size));
      }
    });
    Deno.bench(`Deno.FsFile, ${place}`, writing, () => {
      for (let i = 0; i < OPERATIONS; i++) {
        consume(memory.writeVolatileTo(addresses[i & MASK]!, nowhere!, size));
      }
    });
  }
}

// The segments of a block device's request, by one call and by one for each.
for (const segments of [2, 32]) {
  const ranges = Array.from(
    { length: segments },
    (_, i) => [GuestAddress((i % 2) * 2 * MIB + i * 12 * KIB), 4 * KIB] as const,
  );
  const group = { group: `${segments} segments of 4 KiB from a file (${EACH})` };
  Deno.bench("readVectoredFrom", { ...group, baseline: true }, () => {
    for (let i = 0; i < OPERATIONS; i++) {
      consume(memory.readVectoredFrom(ranges, zeroFd.at((i & MASK) * 512)));
    }
  });
  Deno.bench("readVolatileFrom for each", group, () => {
    for (let i = 0; i < OPERATIONS; i++) {
      const file = zeroFd.at((i & MASK) * 512);
      for (const [addr, length] of ranges) consume(memory.readVolatileFrom(addr, file, length));
    }
  });
}
