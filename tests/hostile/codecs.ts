/** Codecs: those of the library with their models, and hostile ones. */
import * as library from "../../mod.ts";
import type { AtomicAccess, ByteValued } from "../../mod.ts";
import type { Argument } from "./argument.ts";
import * as junk from "./junk.ts";
import type { Mischief } from "./mischief.ts";
import type { Random } from "./random.ts";

/** A codec whose values are known without asking it. */
export interface KnownCodec {
  readonly name: string;
  readonly codec: ByteValued<unknown>;
  readonly size: number;
  /** Whether it has atomic accesses. */
  readonly atomic: boolean;
  /** A value that it takes. */
  value(random: Random): unknown;
  decode(bytes: Uint8Array): unknown;
  encode(value: never): Uint8Array;
  /** Whether a value of this type of primitive is due. */
  readonly takes: "number" | "bigint" | "other";
}

type Getter = "getUint8" | "getInt8" | "getUint16" | "getInt16" | "getUint32" | "getInt32";
type BigGetter = "getBigUint64" | "getBigInt64";
type FloatGetter = "getFloat32" | "getFloat64";

function scalar(
  name: string,
  size: number,
  getter: Getter | BigGetter | FloatGetter,
  littleEndian: boolean = true,
): KnownCodec {
  const codec = (library as unknown as Record<string, ByteValued<unknown>>)[name]!;
  const big = getter.startsWith("getBig");
  const setter = getter.replace("get", "set") as "setUint16";
  return {
    name,
    codec,
    size,
    atomic: "elements" in codec,
    takes: big ? "bigint" : "number",
    value(random) {
      const n = random.pick([0, 1, -1, 127, 0xbeef, 2 ** 31, 2 ** 32 + 5, 0.5]);
      return big ? BigInt(Math.floor(n)) * random.pick([1n, 2n ** 40n]) : n;
    },
    decode: (bytes) => view(bytes)[getter](0, littleEndian),
    encode(value) {
      const bytes = new Uint8Array(size);
      view(bytes)[setter](0, value, littleEndian);
      return bytes;
    },
  };
}

function view({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

/** Scalars, with what `DataView` makes of their bytes. */
const SCALARS: readonly KnownCodec[] = [
  ...[scalar("u8", 1, "getUint8"), scalar("i8", 1, "getInt8"), scalar("u16", 2, "getUint16")],
  ...[scalar("i16", 2, "getInt16"), scalar("u32", 4, "getUint32"), scalar("i32", 4, "getInt32")],
  ...[scalar("u64", 8, "getBigUint64"), scalar("i64", 8, "getBigInt64")],
  ...[scalar("usize", 8, "getBigUint64"), scalar("isize", 8, "getBigInt64")],
  ...[scalar("usizele", 8, "getBigUint64"), scalar("usizebe", 8, "getBigUint64", false)],
  ...[scalar("f32", 4, "getFloat32"), scalar("f64", 8, "getFloat64")],
  ...[scalar("u16le", 2, "getUint16"), scalar("u32le", 4, "getUint32")],
  ...[scalar("u64le", 8, "getBigUint64"), scalar("u64be", 8, "getBigUint64", false)],
  ...[scalar("u16be", 2, "getUint16", false), scalar("u32be", 4, "getUint32", false)],
];

const COMPOUND: readonly KnownCodec[] = [
  {
    name: "bytes(40)",
    codec: library.bytes(40) as ByteValued<unknown>,
    size: 40,
    atomic: false,
    takes: "other",
    value: (random) => new Uint8Array(40).fill(random.int(256)),
    decode: (bytes) => bytes.slice(),
    encode: (value: Uint8Array) => value,
  },
  {
    name: "bytes(0)",
    codec: library.bytes(0) as ByteValued<unknown>,
    size: 0,
    atomic: false,
    takes: "other",
    value: () => new Uint8Array(0),
    decode: () => new Uint8Array(0),
    encode: () => new Uint8Array(0),
  },
  {
    name: "array(u16, 5)",
    codec: library.array(library.u16, 5) as ByteValued<unknown>,
    size: 10,
    atomic: false,
    takes: "other",
    value: (random) => Array.from({ length: 5 }, () => random.int(65_536)),
    decode: (bytes) => Array.from({ length: 5 }, (_, i) => view(bytes).getUint16(i * 2, true)),
    encode(value: number[]) {
      const bytes = new Uint8Array(10);
      value.forEach((n, i) => view(bytes).setUint16(i * 2, n, true));
      return bytes;
    },
  },
  {
    name: "struct({ a: u32, b: u64be, c: u8 }, packed)",
    codec: library.struct(
      { a: library.u32, b: library.u64be, c: library.u8 },
      { packed: true },
    ) as ByteValued<unknown>,
    size: 13,
    atomic: false,
    takes: "other",
    value: (random) => ({ a: random.int(2 ** 32), b: BigInt(random.int(2 ** 32)), c: 200 }),
    decode: (bytes) => ({
      a: view(bytes).getUint32(0, true),
      b: view(bytes).getBigUint64(4),
      c: bytes[12],
    }),
    encode({ a, b, c }: { a: number; b: bigint; c: number }) {
      const bytes = new Uint8Array(13);
      view(bytes).setUint32(0, a, true);
      view(bytes).setBigUint64(4, b);
      bytes[12] = c;
      return bytes;
    },
  },
];

const KNOWN: readonly KnownCodec[] = [...SCALARS, ...COMPOUND];
const ATOMIC: readonly KnownCodec[] = SCALARS.filter(({ atomic }) => atomic);

/** A codec by its name in the library. */
export function named(name: string): KnownCodec | undefined {
  return SCALARS.find((codec) => codec.name === name);
}

/** A codec of the library. */
export function known(random: Random, atomic: boolean = false): Argument {
  const codec = random.pick(atomic ? ATOMIC : KNOWN);
  return { value: codec.codec, label: codec.name, codec };
}

/** A codec with wrong properties or harmful code, or none. */
export function hostile(random: Random, mischief: Mischief): Argument {
  const kind = random.int(4);
  if (kind === 0) return junk.anything(random, mischief);
  if (kind === 1) return meddling(random, mischief);
  return lying(random, mischief);
}

// Does something bad, then continues as it should.
function meddling(random: Random, mischief: Mischief): Argument {
  const { codec, name, size } = random.pick(KNOWN);
  const atomic = codec as AtomicAccess<number>;
  const value = {
    byteLength: size,
    alignment: 1,
    read: mischief.then(codec.read),
    write: codec.write,
    elements: atomic.elements,
  };
  let label = `${name} whose read does ${mischief.last}`;
  value.write = mischief.then(codec.write);
  label += `, write ${mischief.last}`;
  if (atomic.elements !== undefined) {
    value.elements = mischief.then(atomic.elements);
    label += `, elements ${mischief.last}`;
  }
  return { value, label };
}

const LENGTHS = [0, 1, 3, 4, 8, 16, 100, 5000, NaN, -1, 0.5, 2 ** 53, 2 ** 53 - 1, Infinity];

// Says another length, or another one each time, or returns what it should not.
function lying(random: Random, mischief: Mischief): Argument {
  const { codec, name } = random.pick(KNOWN);
  const { codec: other, name: otherName } = random.pick(ATOMIC);
  const lengths = [random.pick<unknown>(LENGTHS), random.pick<unknown>([...LENGTHS, "4", 4n, {}])];
  if (random.chance(0.1)) lengths[0] = junk.wrongPrimitive(random).value;
  const shown = lengths.map((length) => String(length));
  let asked = 0;
  const changing = random.chance(0.5);
  const answer = random.pick<unknown>([undefined, null, NaN, "8", 8n, {}]);
  const elements = random.pick<[(memory: never) => unknown, string]>([
    [(memory) => (other as AtomicAccess<number>).elements(memory), otherName],
    [() => [1, 2, 3], "an array"],
    [() => undefined, "nothing"],
    [() => new Float64Array(8), "Float64Array"],
    [() => new Int32Array(8), "another array"],
  ]);
  const reads = random.chance(0.5);
  const value = {
    get byteLength() {
      return changing ? lengths[asked++ % 2] : lengths[0];
    },
    alignment: random.pick([1, 3, 8, NaN, 0]),
    read: reads ? mischief.then(codec.read) : () => answer,
    write: codec.write,
    elements: elements[0],
  };
  const label = `${name} of byteLength ${changing ? shown.join(" or ") : shown[0]}, reads ` +
    `${reads ? mischief.last : String(answer)}, elements ${elements[1]}`;
  return { value, label, wild: true };
}
