/**
 * Codecs made of codecs: arrays, byte strings and structures.
 *
 * @module
 */
import { byteLength, bytesOf, copyBytes } from "../host/bytes.ts";
import type { ByteValued } from "./byte_valued.ts";
import { shown, wrongKind } from "../text/argument.ts";
import { checkObject, compile, quoted, setLayout, UNROLLED_LENGTH } from "./compile.ts";

/** The value type of a structure with the given fields. */
export type StructValue<F extends Record<string, ByteValued<unknown>>> = {
  -readonly [K in keyof F]: F[K] extends ByteValued<infer T> ? T : never;
};

/** A structure's codec, with the offset of each field. */
export interface Struct<F extends Record<string, ByteValued<unknown>>>
  extends ByteValued<StructValue<F>> {
  /** The fields' codecs, in order. */
  readonly fields: F;
  /** Each field's offset from the start of the structure, in bytes. */
  readonly offsets: { readonly [K in keyof F]: number };
}

/** The layout of a structure. */
export interface StructOptions {
  /**
   * Whether fields follow each other without padding, as with `__attribute__((packed))`. Otherwise
   * each is at a multiple of its alignment, as in C.
   */
  readonly packed?: boolean;
}

/**
 * A structure, laid out as C lays it out. Mirrors a `repr(C)` type that is `ByteValued`.
 *
 * The content of the padding after a write is not specified. Reading or writing a structure takes
 * several accesses: a vCPU may change it in between (rule 4).
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
    checkCodec(name, codec);
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
  const parts = names.map((name, i) => ({
    key: quoted(name),
    codec: codecs[i]!,
    start: starts[i]!,
  }));
  const literal = (sources: readonly string[]) =>
    `{ ${names.map((name, i) => `${quoted(name)}: ${sources[i]}`).join(", ")} }`;
  const compiled = compile<StructValue<F>>(parts, alignment, literal);
  const codec: Struct<F> = {
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
      checkObject(value);
      for (const [i, name] of names.entries()) {
        codecs[i]!.write(memory, offset + starts[i]!, value[name]);
      }
    }),
  };
  setLayout(codec, parts, literal);
  return codec;
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
  checkCodec("codec", codec);
  const { byteLength: stride, alignment } = codec;
  const isUnrolled = length <= UNROLLED_LENGTH;
  const parts = Array.from(
    { length: isUnrolled ? length : 0 },
    (_, i) => ({ key: `${i}`, codec, start: i * stride }),
  );
  const literal = (sources: readonly string[]) => `[${sources.join(", ")}]`;
  const compiled = isUnrolled ? compile<T[]>(parts, alignment, literal) : undefined;
  const writeAll = compiled?.write ?? ((memory, offset, value) => {
    for (let i = 0; i < length; i++) codec.write(memory, offset + i * stride, value[i]!);
  });
  const all: ByteValued<T[]> = {
    byteLength: stride * length,
    alignment,
    read: compiled?.read ?? ((memory, offset) => {
      const value: T[] = [];
      for (let i = 0; i < length; i++) value.push(codec.read(memory, offset + i * stride));
      return value;
    }),
    write(memory, offset, value) {
      if (value?.length !== length) {
        throw new RangeError(
          `Cannot write a value of ${shown(value?.length)} elements as an array of ${length}`,
        );
      }
      writeAll(memory, offset, value);
    },
  };
  if (isUnrolled) setLayout(all, parts, literal);
  return all;
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
      if (!ArrayBuffer.isView(value)) throw wrongKind("value", value, "a Uint8Array");
      const given = byteLength(value);
      if (given !== length) throw new RangeError(`Cannot write ${given} bytes as ${length}`);
      copyBytes(memory.u8, bytesOf(value, 0, length), offset);
    },
  };
}

function checkCodec(name: string, codec: ByteValued<unknown>): void {
  if (typeof codec?.byteLength !== "number") throw wrongKind(name, codec, "a codec");
}

function checkLength(what: string, length: number): void {
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new RangeError(`Cannot make a codec of ${what} with length ${shown(length)}`);
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
