/**
 * Streams into guest memory and out of it, in one region and over the boundary of two: a buffer
 * (`Cursor`) beside a bare `set`, a descriptor by FFI (`Fd`) and a `Deno.FsFile` beside that file's own
 * calls with a buffer.
 *
 * `/dev/zero` and `/dev/null` are the files, so that the cost of the call is measured and no disk.
 * Nothing is hoisted or folded away: addresses come out of a table, and the counts that are returned
 * go into the sink.
 */
import { Cursor, Fd, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { openSync } from "node:fs";
import { bench, rival, row } from "./measure.ts";
import { consume } from "../src/bench/sink.ts";
import { addressTable, alignedBytes, byteSize, isGranted, KIB, MASK, MIB } from "./workload.ts";

const memory = GuestMemoryMmap.fromRanges([
  [GuestAddress(0), 2 * MIB],
  [GuestAddress(2 * MIB), 2 * MIB],
]);
for (const region of memory) region.asVolatileSlice().rawView().fill(1);

for (const size of [512, 64 * KIB]) {
  const inOne = addressTable((i) => (i & 7) * size);
  const overTwo = addressTable((i) => 2 * MIB - size / 2 + (i & 7) * 8);
  await benchReading(size, { "in a region": inOne, "over two": overTwo });
  if (isGranted("write")) await benchWriting(size, { "in a region": inOne, "over two": overTwo });
}

for (const segments of [2, 32]) await benchSegments(segments);

type Places = Readonly<Record<string, readonly GuestAddress[]>>;

async function benchReading(size: number, places: Places): Promise<void> {
  const source = alignedBytes(size).fill(1);
  const buf = alignedBytes(size);
  using file = Deno.openSync("/dev/zero");
  const fd = new Fd(openSync("/dev/zero", "r"));
  const set = rival("set of the same bytes", (n) => {
    for (let i = 0; i < n; i++) buf.set(source);
  });
  const readSync = rival("Deno.FsFile.readSync", (n) => {
    for (let i = 0; i < n; i++) consume(file.readSync(buf)!);
  });
  await bench(
    `${byteSize(size)} from a stream`,
    Object.entries(places).flatMap(([place, at]) => [
      row(`Cursor, ${place}`, set, (n) => {
        for (let i = 0; i < n; i++) {
          consume(memory.readVolatileFrom(at[i & MASK]!, new Cursor(source), size));
        }
      }),
      row(`Fd, ${place}`, readSync, (n) => {
        for (let i = 0; i < n; i++) consume(memory.readVolatileFrom(at[i & MASK]!, fd, size));
      }),
      row(`Deno.FsFile, ${place}`, readSync, (n) => {
        for (let i = 0; i < n; i++) consume(memory.readVolatileFrom(at[i & MASK]!, file, size));
      }),
    ]),
  );
}

async function benchWriting(size: number, places: Places): Promise<void> {
  const buf = alignedBytes(size).fill(1);
  const target = alignedBytes(size);
  using file = Deno.openSync("/dev/null", { write: true });
  const fd = new Fd(openSync("/dev/null", "w"));
  const set = rival("set of the same bytes", (n) => {
    for (let i = 0; i < n; i++) target.set(buf);
  });
  const writeSync = rival("Deno.FsFile.writeSync", (n) => {
    for (let i = 0; i < n; i++) consume(file.writeSync(buf));
  });
  await bench(
    `${byteSize(size)} to a stream`,
    Object.entries(places).flatMap(([place, at]) => [
      row(`Cursor, ${place}`, set, (n) => {
        for (let i = 0; i < n; i++) {
          consume(memory.writeVolatileTo(at[i & MASK]!, new Cursor(target), size));
        }
      }),
      row(`Fd, ${place}`, writeSync, (n) => {
        for (let i = 0; i < n; i++) consume(memory.writeVolatileTo(at[i & MASK]!, fd, size));
      }),
      row(`Deno.FsFile, ${place}`, writeSync, (n) => {
        for (let i = 0; i < n; i++) consume(memory.writeVolatileTo(at[i & MASK]!, file, size));
      }),
    ]),
  );
}

// The segments of a block device's request, by one call and by one for each.
async function benchSegments(segments: number): Promise<void> {
  const fd = new Fd(openSync("/dev/zero", "r"));
  const ranges = Array.from(
    { length: segments },
    (_, i) => [GuestAddress((i % 2) * 2 * MIB + i * 12 * KIB), 4 * KIB] as const,
  );
  const each = rival("readVolatileFrom for each", (n) => {
    for (let i = 0; i < n; i++) {
      const file = fd.at((i & MASK) * 512);
      for (const [addr, length] of ranges) consume(memory.readVolatileFrom(addr, file, length));
    }
  });
  await bench(`${segments} segments of 4 KiB from a file`, [
    row("readVectoredFrom", each, (n) => {
      for (let i = 0; i < n; i++) {
        consume(memory.readVectoredFrom(ranges, fd.at((i & MASK) * 512)));
      }
    }),
  ]);
}
