/**
 * The same accesses on every kind of memory, beside what a program could use instead: a bare typed
 * array, `Deno.UnsafePointerView`, and the memory of WebAssembly.
 *
 * Each kind has had a turn before the first is measured, so that none profits from code that has seen
 * one kind only. Nothing is hoisted or folded away: addresses come out of a table, results go into
 * the sink.
 */
import { type GuestMemory, u32 } from "@vmm/guest-memory";
import { ANONYMOUS, BACKENDS } from "./backends.ts";
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

const SIZE = 16 * MIB;
const words = addressTable((i) => i * 64 % (64 * KIB));
const small = {
  size: 512,
  buf: alignedBytes(512),
  at: addressTable((i) => (i & 7) * 512),
  times: OPERATIONS,
};
const large = { size: MIB, buf: alignedBytes(MIB, 4 * KIB), at: addressTable(() => 0), times: 1 };

/** What is done, and a function that does it: once if it is large, 1,000 times otherwise. */
type Work = readonly [what: string, run: () => void];

const subjects = new Map<string, readonly Work[]>([
  ["bare typed array", bareArray(new ArrayBuffer(SIZE))],
  ["WebAssembly.Memory", bareArray(new WebAssembly.Memory({ initial: SIZE / (64 * KIB) }).buffer)],
  ["Deno.UnsafePointerView", pointerView()],
]);
for (const { name, make } of BACKENDS) {
  const memory = make(SIZE);
  if (memory !== undefined) subjects.set(name, throughGuestMemory(memory));
}

for (const works of subjects.values()) {
  for (const [, run] of works) {
    for (let i = 0; i < 50; i++) run();
  }
}

for (const [name, works] of subjects) {
  for (const [what, run] of works) {
    const baseline = name === "bare typed array";
    const group = what.startsWith(sizeName(large.size)) ? what : `${what} (${EACH})`;
    Deno.bench(`${what}, ${name}`, { group, baseline }, run);
  }
}

function throughGuestMemory(memory: GuestMemory): Work[] {
  return [
    ["u32 read", () => {
      let sum = 0;
      for (let i = 0; i < OPERATIONS; i++) sum ^= memory.readObj(u32, words[i & MASK]!);
      consume(sum);
    }],
    ["u32 written", () => {
      for (let i = 0; i < OPERATIONS; i++) memory.writeObj(u32, i, words[i & MASK]!);
    }],
    ...[small, large].flatMap(({ size, buf, at, times }): Work[] => [
      [`${sizeName(size)} read`, () => {
        for (let i = 0; i < times; i++) consume(memory.read(buf, at[i & MASK]!));
      }],
      [`${sizeName(size)} written`, () => {
        for (let i = 0; i < times; i++) consume(memory.write(buf, at[i & MASK]!));
      }],
    ]),
  ];
}

// What a program without this library would write; it checks nothing.
function bareArray(buffer: ArrayBufferLike): Work[] {
  const bytes = new Uint8Array(buffer).fill(0xa5);
  const elements = new Uint32Array(buffer);
  return [
    ["u32 read", () => {
      let sum = 0;
      for (let i = 0; i < OPERATIONS; i++) sum ^= elements[words[i & MASK]! / 4]!;
      consume(sum);
    }],
    ["u32 written", () => {
      for (let i = 0; i < OPERATIONS; i++) elements[words[i & MASK]! / 4] = i;
    }],
    ...[small, large].flatMap(({ size, buf, at, times }): Work[] => [
      [`${sizeName(size)} read`, () => {
        for (let i = 0; i < times; i++) {
          const from = at[i & MASK]!;
          buf.set(bytes.subarray(from, from + size));
        }
      }],
      [`${sizeName(size)} written`, () => {
        for (let i = 0; i < times; i++) bytes.set(buf, at[i & MASK]!);
      }],
    ]),
  ];
}

// It reads only.
function pointerView(): Work[] {
  const [region] = ANONYMOUS.make(SIZE)!;
  const pointer = Deno.UnsafePointer.create(
    region!.getHostAddress(region!.toRegionAddr(words[0]!)!),
  )!;
  const view = new Deno.UnsafePointerView(pointer);
  return [
    ["u32 read", () => {
      let sum = 0;
      for (let i = 0; i < OPERATIONS; i++) sum ^= view.getUint32(words[i & MASK]!);
      consume(sum);
    }],
    ...[small, large].map(({ size, buf, at, times }): Work => [`${sizeName(size)} read`, () => {
      for (let i = 0; i < times; i++) view.copyInto(buf, at[i & MASK]!);
    }]),
  ];
}
