/**
 * Codecs made of codecs: arrays, byte strings and structures.
 *
 * @module
 */
import type { ByteValued } from "./byte_valued.ts";
import { f32, f64, i16, i32, i64, i8, u16, u32, u64, u8 } from "./scalar.ts";

/** The value type of a structure with the given fields. */
export type StructValue<F extends Record<string, ByteValued<unknown>>> = {
  -readonly [K in keyof F]: F[K] extends ByteValued<infer T> ? T : never;
};

/** A structure's codec, which also knows where each field lies. */
export interface Struct<F extends Record<string, ByteValued<unknown>>>
  extends ByteValued<StructValue<F>> {
  /** The fields' codecs, in order. */
  readonly fields: F;
  /** Each field's offset from the start of the structure, in bytes. */
  readonly offsets: { readonly [K in keyof F]: number };
}

/** How a structure is laid out. */
export interface StructOptions {
  /**
   * Whether fields follow each other without padding, as with `__attribute__((packed))`. Otherwise
   * each lies at a multiple of its alignment, as in C.
   */
  readonly packed?: boolean;
}

/**
 * A structure, laid out as C lays it out. Mirrors a `repr(C)` type that is `ByteValued`.
 *
 * What is in the padding after a write is not specified. A structure is not read or written in one access: a
 * vCPU may change it in between (rule 4).
 *
 * @typeParam F The fields.
 * @param fields Each field's codec, in the order of the structure.
 * @param options How it is laid out.
 * @returns The codec of an object with the same keys.
 * @throws {TypeError} A key is a number or `__proto__`, which JavaScript treats in a special way.
 *
 * @example A virtqueue descriptor (virtio 1.2, 2.7.5)
 * ```ts
 * import { GuestAddress, GuestMemoryHeap, struct, u16le, u32le, u64le } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const Descriptor = struct({ addr: u64le, len: u32le, flags: u16le, next: u16le });
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const descriptor = { addr: 0x2000n, len: 512, flags: 1, next: 3 };
 * memory.writeObj(Descriptor, descriptor, GuestAddress(0x10));
 * assertEquals(memory.readObj(Descriptor, GuestAddress(0x10)), descriptor);
 * assertEquals(Descriptor.offsets.flags, 12);
 * ```
 */
export function struct<const F extends Record<string, ByteValued<unknown>>>(
  fields: F,
  options: StructOptions = {},
): Struct<F> {
  const names: string[] = [];
  const codecs: ByteValued<unknown>[] = [];
  const starts: number[] = [];
  let end = 0;
  let alignment = 1;
  for (const [name, codec] of Object.entries(fields)) {
    if (/^\d+$/.test(name) || name === "__proto__") {
      throw new TypeError(
        `Cannot make a structure with field ${name}: it is special to JavaScript`,
      );
    }
    const unit = options.packed ? 1 : codec.alignment;
    names.push(name);
    codecs.push(codec);
    starts.push(roundUp(end, unit));
    end = roundUp(end, unit) + codec.byteLength;
    alignment = Math.max(alignment, unit);
  }
  const offsets = Object.fromEntries(names.map((name, i) => [name, starts[i]])) as {
    [K in keyof F]: number;
  };
  const byteLength = roundUp(end, alignment);
  const compiled = compile<StructValue<F>>(
    names.map((name, i) => ({ key: quoted(name), codec: codecs[i]!, start: starts[i]! })),
    alignment,
    (parts) => `{ ${names.map((name, i) => `${quoted(name)}: ${parts[i]}`).join(", ")} }`,
  );
  return {
    fields,
    offsets,
    byteLength,
    alignment,
    read: compiled?.read ?? ((memory, offset) => {
      const value: Record<string, unknown> = {};
      for (const [i, name] of names.entries()) {
        value[name] = codecs[i]!.read(memory, offset + starts[i]!);
      }
      return value as StructValue<F>;
    }),
    write: compiled?.write ?? ((memory, offset, value) => {
      for (const [i, name] of names.entries()) {
        codecs[i]!.write(memory, offset + starts[i]!, value[name]);
      }
    }),
  };
}

/**
 * An array of a fixed number of values. Mirrors `[T; N]`.
 *
 * @typeParam T The type of an element.
 * @param codec The element's codec.
 * @param length The number of elements.
 * @returns The codec. Writing an array of another length throws RangeError.
 *
 * @example
 * ```ts
 * import { array, asSlice, u16 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(asSlice(array(u16, 2), [1, 2]), Uint8Array.of(1, 0, 2, 0));
 * ```
 */
export function array<T>(codec: ByteValued<T>, length: number): ByteValued<T[]> {
  checkLength("array", length);
  const { byteLength: stride, alignment } = codec;
  const compiled = length <= UNROLLED_LENGTH
    ? compile<T[]>(
      Array.from({ length }, (_, i) => ({ key: `${i}`, codec, start: i * stride })),
      alignment,
      (parts) => `[${parts.join(", ")}]`,
    )
    : undefined;
  const writeAll = compiled?.write ?? ((memory, offset, value) => {
    for (let i = 0; i < length; i++) codec.write(memory, offset + i * stride, value[i]!);
  });
  return {
    byteLength: stride * length,
    alignment,
    read: compiled?.read ?? ((memory, offset) => {
      const value: T[] = [];
      for (let i = 0; i < length; i++) value.push(codec.read(memory, offset + i * stride));
      return value;
    }),
    write(memory, offset, value) {
      if (value.length !== length) {
        throw new RangeError(`Cannot write ${value.length} elements as an array of ${length}`);
      }
      writeAll(memory, offset, value);
    },
  };
}

/**
 * A fixed number of bytes. Mirrors `[u8; N]`.
 *
 * @param length The number of bytes.
 * @returns The codec of a `Uint8Array`, a copy each time. Writing another length throws RangeError.
 *
 * @example
 * ```ts
 * import { bytes, struct, u16be, zeroed } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const Ethernet = struct({ destination: bytes(6), source: bytes(6), type: u16be });
 * assertEquals(Ethernet.byteLength, 14);
 * assertEquals(zeroed(Ethernet).source, new Uint8Array(6));
 * ```
 */
export function bytes(length: number): ByteValued<Uint8Array> {
  checkLength("byte string", length);
  return {
    byteLength: length,
    alignment: 1,
    read: (memory, offset) => memory.u8.slice(offset, offset + length),
    write(memory, offset, value) {
      if (value.length !== length) {
        throw new RangeError(`Cannot write ${value.length} bytes as ${length}`);
      }
      memory.u8.set(value, offset);
    },
  };
}

function checkLength(what: string, length: number): void {
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new RangeError(`Cannot make a codec of ${what} with length ${length}`);
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

// Elements up to which an array's code is written out.
const UNROLLED_LENGTH = 64;

/** What a layout consists of. */
interface Part {
  /** Its key in the value, as source text. */
  readonly key: string;
  /** Its codec. */
  readonly codec: ByteValued<unknown>;
  /** Where it begins in the layout, in bytes. */
  readonly start: number;
}

/**
 * Makes code for one layout. Shared loops would do, and do where a content security policy forbids
 * this; but V8 gives each piece of code inline caches of its own, so that code made for one layout is
 * 3 to 8 times as fast as code that has served seven of them (`bench/codec_bench.ts`).
 *
 * Where the layout lies aligned, its scalars are elements of the typed arrays at indexes that are
 * calculated once: a third of the time of a structure is in asking each scalar's codec.
 *
 * @param parts What it consists of.
 * @param alignment What its address is a multiple of in C.
 * @param literal The source of the value that has the given sources as its parts.
 * @returns The functions, or `undefined` where making code is forbidden.
 */
function compile<T>(
  parts: readonly Part[],
  alignment: number,
  literal: (sources: readonly string[]) => string,
): Pick<ByteValued<T>, "read" | "write"> | undefined {
  const codecs = [...new Set(parts.map(({ codec }) => codec))];
  const name = (codec: ByteValued<unknown>) => `c${codecs.indexOf(codec)}`;
  const element = ({ codec, start }: Part) => {
    const array = ARRAYS.get(codec);
    const size = codec.byteLength;
    if (array === undefined || size > alignment || start % size !== 0) return undefined;
    return `memory.${array}[(offset >>> ${Math.log2(size)}) + ${start / size}]`;
  };
  const readPart = (part: Part) => `${name(part.codec)}.read(memory, offset + ${part.start})`;
  const writePart = (part: Part) =>
    `${name(part.codec)}.write(memory, offset + ${part.start}, value[${part.key}]);`;
  const writeElement = (part: Part) => {
    const target = element(part);
    return target === undefined ? writePart(part) : `${target} = value[${part.key}];`;
  };
  const make = (parameters: string, body: string, general?: unknown) =>
    new Function("general", ...codecs.map(name), `return (${parameters}) => { ${body} }`)(
      general,
      ...codecs,
    );
  // A codec of one's own may have any alignment.
  const aligned = Number.isInteger(Math.log2(alignment))
    ? `offset < ${INDEX_LIMIT} && (offset & ${alignment - 1}) === 0`
    : "false";
  // What is not aligned has functions of its own, as small functions become part of their callers.
  const value = (source: (part: Part) => string) => `return ${literal(parts.map(source))};`;
  const statements = (source: (part: Part) => string) => parts.map(source).join("\n");
  try {
    const read = make("memory, offset", value(readPart));
    const write = make("memory, offset, value", statements(writePart));
    return {
      read: make(
        "memory, offset",
        `if (${aligned}) ${value((part) => element(part) ?? readPart(part))}
        return general(memory, offset);`,
        read,
      ),
      write: make(
        "memory, offset, value",
        `if (${aligned}) { ${statements(writeElement)} } else general(memory, offset, value);`,
        write,
      ),
    };
  } catch (error) {
    if (error instanceof EvalError) return undefined;
    throw error;
  }
}

// Offsets that a shift divides; V8 calculates with larger ones in floating point.
const INDEX_LIMIT = 2 ** 32;

// The typed arrays of HostMemory whose elements are the values of these codecs.
const ARRAYS: ReadonlyMap<ByteValued<unknown>, string> = new Map<ByteValued<never>, string>([
  ...[[u8, "u8"], [i8, "i8"], [u16, "u16"], [i16, "i16"], [u32, "u32"], [i32, "i32"]] as const,
  ...[[u64, "u64"], [i64, "i64"], [f32, "f32"], [f64, "f64"]] as const,
] as never) as never;

function quoted(name: string): string {
  return JSON.stringify(name);
}
