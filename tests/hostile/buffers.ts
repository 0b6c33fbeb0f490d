/** Buffers that lie about themselves, between canaries. */
import type { Argument } from "./argument.ts";
import * as junk from "./junk.ts";
import type { Mischief } from "./mischief.ts";
import type { Random } from "./random.ts";

const CANARY = 24;

/** The bytes that a buffer really has, and those around them. */
export class RealBuffer {
  /** The bytes around and in it. */
  readonly all: Uint8Array;
  /** What they were before the call. */
  readonly before: Uint8Array;
  /** Where it begins. */
  readonly begin: number;
  /** Bytes it has. */
  readonly length: number;

  constructor(all: Uint8Array, begin: number, length: number) {
    this.all = all;
    this.before = all.slice();
    this.begin = begin;
    this.length = length;
  }

  /** Whether its memory is still there. */
  get attached(): boolean {
    return this.all.length === this.before.length;
  }

  /** What it held before the call. */
  get old(): Uint8Array {
    return this.before.subarray(this.begin, this.begin + this.length);
  }

  /** Its content now. */
  get now(): Uint8Array {
    return this.all.subarray(this.begin, this.begin + this.length);
  }

  /** The first byte of all that changed outside of `[from, from + count)` of the buffer. */
  strayByte(from: number, count: number): number | undefined {
    if (!this.attached) return undefined;
    const start = this.begin + from;
    for (let i = 0; i < this.all.length; i++) {
      if (this.all[i] !== this.before[i] && !(i >= start && i < start + count)) {
        return i - this.begin;
      }
    }
    return undefined;
  }
}

/** The types of elements that an array may have. */
const VIEWS = [
  ...[Uint16Array, Int8Array, Float64Array, BigUint64Array, Uint8ClampedArray, Float32Array],
  ...[Int32Array, BigInt64Array],
];

function memoryOf(random: Random, length: number, Buffer: new (n: number) => ArrayBufferLike) {
  const all = new Uint8Array(new Buffer(CANARY + length + CANARY));
  for (let i = 0; i < all.length; i++) all[i] = random.int(256);
  return new RealBuffer(all, CANARY, length);
}

/** A plain `Uint8Array` with random bytes. */
export function plain(random: Random, length: number = random.int(90)): Argument {
  const Buffer = random.chance(0.1) ? SharedArrayBuffer : ArrayBuffer;
  const buffer = memoryOf(random, length, Buffer);
  const value = new Uint8Array(buffer.all.buffer, CANARY, length);
  return { value, label: `Uint8Array(${length})`, buffer };
}

/** A buffer with wrong properties, or none. */
export function hostile(random: Random, mischief: Mischief): Argument {
  return random.pick([subclass, ownProperties, ownProperties, otherView, unusable, unusable])(
    random,
    mischief,
  );
}

const PROPERTIES = [
  ...["length", "byteLength", "byteOffset", "buffer", "subarray", "set", "constructor"],
  ...["BYTES_PER_ELEMENT", "slice", "fill", Symbol.toStringTag, Symbol.iterator],
] as const;

function lie(random: Random, mischief: Mischief, name: PropertyKey): [() => unknown, string] {
  const other = new Uint8Array(8);
  const [value, label] = random.pick<() => [unknown, string]>([
    () => {
      const { value, label } = junk.number(random);
      return [value, label];
    },
    () => [other, "another array"],
    () => [new ArrayBuffer(8), "another buffer"],
    () => [() => other, "() => another array"],
    () => [Float64Array, "Float64Array"],
    () => [undefined, "undefined"],
    () => [{ valueOf: () => 64 }, "{ valueOf: () => 64 }"],
    () => [mischief.then(() => other), `${mischief.last}()`],
  ])();
  if (random.chance(0.5)) return [() => value, `${String(name)}: ${label}`];
  const get = mischief.then(() => value);
  return [get, `get ${String(name)}: ${mischief.last}, then ${label}`];
}

function subclass(random: Random, mischief: Mischief): Argument {
  const length = random.int(90);
  const buffer = memoryOf(random, length, ArrayBuffer);
  class Lying extends Uint8Array {}
  const labels: string[] = [];
  for (let i = random.int(3); i >= 0; i--) {
    const name = random.pick(PROPERTIES);
    const [get, label] = lie(random, mischief, name);
    labels.push(label);
    Object.defineProperty(Lying.prototype, name, { get, configurable: true });
  }
  let value;
  try {
    value = new Lying(buffer.all.buffer as ArrayBuffer, CANARY, length);
  } catch {
    return plain(random);
  }
  return { value, label: `class of Uint8Array(${length}) { ${labels.join(", ")} }`, buffer };
}

function ownProperties(random: Random, mischief: Mischief): Argument {
  const length = random.int(90);
  const buffer = memoryOf(random, length, ArrayBuffer);
  const value = new Uint8Array(buffer.all.buffer, CANARY, length);
  const labels: string[] = [];
  for (let i = random.int(3); i >= 0; i--) {
    const name = random.pick(PROPERTIES);
    const [get, label] = lie(random, mischief, name);
    labels.push(label);
    Object.defineProperty(value, name, { get, configurable: true });
  }
  return { value, label: `Uint8Array(${length}) with { ${labels.join(", ")} }`, buffer };
}

function otherView(random: Random): Argument {
  const View = random.pick(VIEWS);
  const count = random.int(12);
  const length = count * View.BYTES_PER_ELEMENT;
  const buffer = memoryOf(random, length, ArrayBuffer);
  const value = new View(buffer.all.buffer as ArrayBuffer, CANARY, count);
  return { value, label: `${View.name}(${count})`, buffer };
}

// Buffers without bytes, whose bytes come and go, or that are none.
function unusable(random: Random, mischief: Mischief): Argument {
  return random.pick<() => Argument>([
    () => {
      const value = new Uint8Array(64);
      structuredClone(value.buffer, { transfer: [value.buffer] });
      return { value, label: "a detached Uint8Array(64)" };
    },
    () => {
      const buffer = new ArrayBuffer(64, { maxByteLength: 128 });
      const value = new Uint8Array(buffer, 8, 48);
      buffer.resize(16);
      return { value, label: "a Uint8Array(48) out of its shrunk buffer" };
    },
    () => {
      const buffer = new ArrayBuffer(64, { maxByteLength: 128 });
      const value = new Uint8Array(buffer, 8);
      const length = random.pick([0, 16, 48]);
      buffer.resize(8 + length);
      return { value, label: "Uint8Array that follows its buffer", buffer: realOf(value) };
    },
    () => {
      const shared = new SharedArrayBuffer(16, { maxByteLength: 64 });
      const value = new Uint8Array(shared);
      shared.grow(40);
      return { value, label: "a Uint8Array of a SharedArrayBuffer that grew" };
    },
    () => ({ value: new DataView(new ArrayBuffer(16)), label: "a DataView" }),
    () => ({ value: new ArrayBuffer(16), label: "an ArrayBuffer" }),
    () => ({ value: [1, 2, 3, 4], label: "[1, 2, 3, 4]" }),
    () => ({ value: new Proxy(new Uint8Array(16), {}), label: "a proxy of a Uint8Array" }),
    () => ({ value: Object.create(Uint8Array.prototype), label: "an object like a Uint8Array" }),
    () => ({ value: { length: 8, byteLength: 8 }, label: "{ length: 8, byteLength: 8 }" }),
    () => junk.anything(random, mischief),
  ])();
}

function realOf(value: Uint8Array): RealBuffer {
  return new RealBuffer(new Uint8Array(value.buffer), value.byteOffset, value.length);
}
