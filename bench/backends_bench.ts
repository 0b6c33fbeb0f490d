/**
 * The same accesses on every kind of memory, beside a bare typed array; and what else a program could
 * use: `Deno.UnsafePointerView` and the memory of WebAssembly.
 *
 * Each kind has a turn before the first is measured, so that none profits from code that has seen one
 * kind only. Nothing is hoisted or folded away: addresses come out of tables, results go into the sink.
 */
import { type GuestMemory, u32 } from "@vmm/guest-memory";
import { ANONYMOUS, BACKENDS } from "./backends.ts";
import { bench, rival, row, type Subject } from "./measure.ts";
import { consume } from "./sink.ts";
import { addressTable, alignedBytes, KIB, MASK, MIB, sizeName } from "./workload.ts";

const SIZE = 16 * MIB;
const words = addressTable((i) => i * 64 % (64 * KIB));
const COPIES = [
  { size: 512, buf: alignedBytes(512), at: addressTable((i) => (i & 7) * 512) },
  { size: MIB, buf: alignedBytes(MIB, 4 * KIB), at: addressTable(() => 0) },
];

/** What runs so many times, by what it does. */
type Works = Readonly<Record<string, Subject["run"]>>;

const bare = bareArray(new ArrayBuffer(SIZE));
const kinds = new Map<string, Works>();
for (const { name, make } of BACKENDS) {
  const memory = make(SIZE);
  if (memory !== undefined) kinds.set(name, throughGuestMemory(memory));
}
kinds.set("Deno.UnsafePointerView", pointerView());
kinds.set("WebAssembly.Memory, bare", bareArray(new WebAssembly.Memory({ initial: 256 }).buffer));

for (const [what, run] of Object.entries(bare)) {
  const beside = rival("bare typed array", run);
  await bench(
    what,
    [...kinds].flatMap(([name, works]) => {
      const run = works[what];
      return run === undefined ? [] : row(name, beside, run);
    }),
  );
}

function throughGuestMemory(memory: GuestMemory): Works {
  return {
    "A u32 read": (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= memory.readObj(u32, words[i & MASK]!);
      consume(sum);
    },
    "A u32 written": (n) => {
      for (let i = 0; i < n; i++) memory.writeObj(u32, i, words[i & MASK]!);
    },
    ...worksOfCopies(({ buf, at }) => (n) => {
      for (let i = 0; i < n; i++) consume(memory.read(buf, at[i & MASK]!));
    }, ({ buf, at }) => (n) => {
      for (let i = 0; i < n; i++) consume(memory.write(buf, at[i & MASK]!));
    }),
  };
}

// What a program without this library would write; it checks nothing.
function bareArray(buffer: ArrayBufferLike): Works {
  const bytes = new Uint8Array(buffer).fill(0xa5);
  const elements = new Uint32Array(buffer);
  return {
    "A u32 read": (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= elements[words[i & MASK]! / 4]!;
      consume(sum);
    },
    "A u32 written": (n) => {
      for (let i = 0; i < n; i++) elements[words[i & MASK]! / 4] = i;
    },
    ...worksOfCopies(({ buf, at, size }) => (n) => {
      for (let i = 0; i < n; i++) {
        const from = at[i & MASK]!;
        buf.set(bytes.subarray(from, from + size));
      }
    }, ({ buf, at }) => (n) => {
      for (let i = 0; i < n; i++) bytes.set(buf, at[i & MASK]!);
    }),
  };
}

// It reads only.
function pointerView(): Works {
  const [region] = ANONYMOUS.make(SIZE)!;
  const pointer = Deno.UnsafePointer.create(
    region!.getHostAddress(region!.toRegionAddr(words[0]!)!),
  )!;
  const view = new Deno.UnsafePointerView(pointer);
  return {
    "A u32 read": (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= view.getUint32(words[i & MASK]!);
      consume(sum);
    },
    ...worksOfCopies(({ buf, at }) => (n) => {
      for (let i = 0; i < n; i++) view.copyInto(buf, at[i & MASK]!);
    }),
  };
}

type MakeWork = (copy: (typeof COPIES)[number]) => Subject["run"];

function worksOfCopies(read: MakeWork, write?: MakeWork): Works {
  return Object.fromEntries(COPIES.flatMap((copy) => [
    [`${sizeName(copy.size)} read`, read(copy)],
    ...(write === undefined ? [] : [[`${sizeName(copy.size)} written`, write(copy)]]),
  ]));
}
