/** Tries to get at more of a mapping than its protection allows. */
import { type ByteValued, type HostMemory, MmapRegion, Permissions, u32 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const ARRAYS = [
  ...["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64"] as const,
];

// A codec that writes when it is asked to read.
const writing: ByteValued<number> = {
  byteLength: 4,
  alignment: 4,
  read(memory: HostMemory, offset) {
    fill(memory);
    attempt(() => memory.dataView.setUint8(offset, 1));
    return memory.u8.length;
  },
  write: (memory) => void memory.u8[0],
};

const found: unknown[] = [];
for (const protection of [Permissions.No, Permissions.Read, Permissions.Write]) {
  using region = new MmapRegion(0x2000, { protection });
  const slice = region.asVolatileSlice();
  const { memory } = slice;
  const lengths = ARRAYS.map((name) => memory[name].length);
  const { byteLength } = memory.buffer;
  fill(memory);
  // What is reachable by reflection.
  const reflected = Reflect.ownKeys(memory).concat(
    ...prototypes(memory).map((prototype) => Reflect.ownKeys(prototype)),
  );
  for (const key of reflected) {
    for (const args of [[], [0], [0x1000, 0x1000], [memory], [Permissions.ReadWrite]]) {
      if (["close", "release", "protect", "retain"].includes(String(key))) continue;
      attempt(() => {
        const value = Reflect.get(memory, key);
        const result = typeof value === "function" && key !== "constructor"
          ? value.apply(memory, args)
          : value;
        if (ArrayBuffer.isView(result)) new Uint8Array(result.buffer).fill(1);
        if (result instanceof ArrayBuffer) new Uint8Array(result).fill(1);
        return result;
      });
    }
  }
  found.push([
    Math.max(...lengths),
    byteLength,
    attempt(() => slice.rawView()),
    attempt(() => slice.readObj(writing, 0)),
    attempt(() => slice.writeObj(u32, 1, 0)),
    attempt(() => slice.readObj(u32, 0)),
    attempt(() => slice.load(u32, 0)),
    attempt(() => slice.getAtomicRef(u32, 0).fetchAdd(1)),
    attempt(() => slice.copyTo(new Uint16Array(8))),
    attempt(() => slice.copyFrom(new Uint16Array(8))),
    attempt(() => slice.readOnlyView().fill(1)),
    construct(memory),
  ]);
}
console.log(JSON.stringify(found));

function fill(memory: HostMemory): void {
  for (const name of ARRAYS) {
    memory[name][0] = (name.endsWith("64") && name !== "f64" ? 1n : 1) as never;
  }
}

function prototypes(value: object): object[] {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype ? [] : [prototype, ...prototypes(prototype)];
}

// The class of the memory, with what its constructor might take.
function construct(memory: HostMemory): string {
  // deno-lint-ignore no-explicit-any
  const Class = memory.constructor as any;
  const shape = { address: 0x1000, length: 0x1000, owned: false };
  return [
    ...new Set([shape, { shape }, memory, {}].map((given) => attempt(() => new Class(given)))),
  ]
    .join();
}
