/**
 * The accesses of `src/bench/suite.ts` on every kind of memory, beside a bare typed array; and what
 * else a program could use: `Deno.UnsafePointerView` and the memory of WebAssembly.
 *
 * Each kind has a turn before the first is measured, so that none profits from code that has seen one
 * kind only.
 */
import { type Access, type Addresses, bareArrays, type Run } from "../src/bench/access.ts";
import { ANONYMOUS, BUILT_IN } from "../src/bench/built_in.ts";
import { consume } from "../src/bench/sink.ts";
import { accesses, boundaryOf } from "../src/bench/suite.ts";
import { bench, rival, row, type Subject } from "./measure.ts";
import { MASK, MIB } from "./workload.ts";

const SIZE = 16 * MIB;

const bare = bareArrays(new ArrayBuffer(SIZE));
const ofWebAssembly = bareArrays(new WebAssembly.Memory({ initial: 256 }).buffer);
const view = pointerView();
const kinds = BUILT_IN.flatMap(({ name, make }) => {
  const memory = make(SIZE);
  return memory === undefined ? [] : { name, memory, boundary: boundaryOf(memory, SIZE) };
});

for (const access of accesses(SIZE)) {
  const at = access.addresses(SIZE / 2)!;
  const beside = rival("bare typed array", access.bare(bare, at));
  const rows: Subject[] = [];
  for (const { name, memory, boundary } of kinds) {
    const at = access.addresses(boundary);
    if (at !== undefined) rows.push(row(name, beside, access.through(memory, at)));
  }
  const run = throughView(access, at);
  if (run !== undefined) rows.push(row("Deno.UnsafePointerView", beside, run));
  rows.push(row("WebAssembly.Memory, bare", beside, access.bare(ofWebAssembly, at)));
  await bench(access.name, rows);
}

function pointerView(): Deno.UnsafePointerView {
  const [region] = ANONYMOUS.make(SIZE)!;
  const address = region!.getHostAddress(region!.toRegionAddr(region!.startAddr)!);
  return new Deno.UnsafePointerView(Deno.UnsafePointer.create(address)!);
}

// It reads only: values, and copies.
function throughView({ name, length, direction }: Access, at: Addresses): Run | undefined {
  if (direction !== "read") return undefined;
  if (name.startsWith("u32")) {
    return (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= view.getUint32(at[i & MASK]!);
      consume(sum);
    };
  }
  if (name.startsWith("u64") || name.startsWith("struct")) return undefined;
  const buffer = new Uint8Array(length);
  return (n) => {
    for (let i = 0; i < n; i++) view.copyInto(buffer, at[i & MASK]!);
  };
}
