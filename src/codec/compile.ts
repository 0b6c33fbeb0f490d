/**
 * Codecs whose code is generated for one layout.
 *
 * @module
 */
import { wrongKind } from "../text/argument.ts";
import type { ByteValued } from "./byte_valued.ts";
import { f32, f64, i16, i32, i64, i8, u16, u32, u64, u8 } from "./scalar.ts";

/** What a layout consists of. */
export interface Part {
  /** Its key in the value, as source text. */
  readonly key: string;
  /** Its codec. */
  readonly codec: ByteValued<unknown>;
  /** Where it begins in the layout, in bytes. */
  readonly start: number;
}

/**
 * Makes code for one layout. Where a content security policy forbids this, shared loops take its
 * place. V8 gives each piece of code its own inline caches, so code made for one layout is 3 to 8
 * times as fast as code that has served seven of them (`bench/codecs.ts`).
 *
 * The scalars of an aligned layout are elements of the typed arrays, at indexes that are calculated
 * once: calling each scalar's codec would take a third of the time of a structure.
 *
 * @param parts What it consists of.
 * @param alignment What its address is a multiple of in C.
 * @param literal The source of the value that has the given sources as its parts.
 * @returns The functions, or `undefined` where making code is forbidden.
 */
export function compile<T>(
  parts: readonly Part[],
  alignment: number,
  literal: (sources: readonly string[]) => string,
): Pick<ByteValued<T>, "read" | "write"> | undefined {
  // Structures and arrays in it are read as part of it: calling their codecs would take a tenth of
  // the time.
  const leaves = leavesOf(parts);
  const isUnrolled = leaves.length <= UNROLLED_LENGTH;
  const readParts = isUnrolled ? leaves : parts;
  const codecs = [...new Set([...parts, ...readParts].map(({ codec }) => codec))];
  const name = (codec: ByteValued<unknown>) => `c${codecs.indexOf(codec)}`;
  const isElement = ({ codec, start }: Part) =>
    ARRAYS.has(codec) && codec.byteLength <= alignment && start % codec.byteLength === 0;
  const element = ({ codec, start }: Part) => {
    const size = codec.byteLength;
    return `memory.${ARRAYS.get(codec)}[i${size} + ${start / size}]`;
  };
  const readPart = (part: Part) => `${name(part.codec)}.read(memory, offset + ${part.start})`;
  const writePart = (part: Part) =>
    `${name(part.codec)}.write(memory, offset + ${part.start}, value[${part.key}]);`;
  const writeElement = (part: Part) => {
    if (!isElement(part)) return writePart(part);
    const target = element(part);
    // A typed array converts "1" to 1 and undefined to 0. Combining a value with a bigint throws
    // unless it is a bigint, and V8 checks that in the step that stores: comparing types takes
    // longer.
    if (BIGINTS.has(part.codec)) return `${target} = value[${part.key}] ^ 0n;`;
    return `{ const v = value[${part.key}];
      if (typeof v !== "number") refuse(${quoted(part.key)}, v, "number");
      ${target} = v; }`;
  };
  const explain = (error: unknown, value: Record<string, unknown>) => {
    checkObject(value);
    for (const { key, codec } of error instanceof TypeError ? parts : []) {
      const field = value[JSON.parse(key)];
      if (BIGINTS.has(codec) && typeof field !== "bigint") refuse(key, field, "bigint");
    }
    throw error;
  };
  const make = (parameters: string, body: string, general?: unknown) =>
    new Function(
      ...["general", "refuse", "explain", ...codecs.map(name)],
      `return (${parameters}) => { ${body} }`,
    )(general, refuse, explain, ...codecs);
  const reading = indexesOf(readParts.filter(isElement));
  const writing = indexesOf(parts.filter(isElement));
  // A custom codec may have any alignment.
  const aligned = Number.isInteger(Math.log2(alignment))
    ? `(offset & ${alignment - 1}) === 0`
    : "false";
  const source = (part: Part): string => {
    const layout = isUnrolled ? LAYOUTS.get(part.codec) : undefined;
    if (layout !== undefined) return layout.literal(within(part, layout).map(source));
    return isElement(part) ? element(part) : readPart(part);
  };
  const readAll = `return ${literal(parts.map(source))};`;
  const writeAll = parts.map(writeElement).join("\n");
  // What is rarer has functions of its own: V8 inlines small functions into their callers.
  try {
    const read = make(
      "memory, offset",
      `if (${aligned}) { ${reading.far} ${readAll} }
      return ${literal(parts.map(readPart))};`,
    );
    const write = make(
      "memory, offset, value",
      `if (${aligned}) { ${writing.far} ${writeAll} } else { ${parts.map(writePart).join("\n")} }`,
    );
    return {
      read: make(
        "memory, offset",
        `if (${aligned}) { ${reading.near("return general(memory, offset);")} ${readAll} }
        return general(memory, offset);`,
        read,
      ),
      write: make(
        "memory, offset, value",
        `try {
          if (${aligned}) { ${writing.near("return general(memory, offset, value);")} ${writeAll} }
          else general(memory, offset, value);
        } catch (error) { explain(error, value); }`,
        write,
      ),
    };
  } catch (error) {
    if (error instanceof EvalError) return undefined;
    throw error;
  }
}

// What codecs consist of that were made here.
const LAYOUTS = new WeakMap<ByteValued<unknown>, Layout>();

/** What a codec reads. */
interface Layout {
  readonly parts: readonly Part[];
  readonly literal: (sources: readonly string[]) => string;
}

/** Says what a codec consists of, so that codecs with it as a part read its parts. */
export function setLayout<T>(
  codec: ByteValued<T>,
  parts: readonly Part[],
  literal: (sources: readonly string[]) => string,
): void {
  LAYOUTS.set(codec as ByteValued<unknown>, { parts, literal });
}

/** The longest array, or structure of arrays, whose code is written out. */
export const UNROLLED_LENGTH = 64;

// The parts of a part, where they are in the whole.
function within({ start }: Part, { parts }: Layout): Part[] {
  return parts.map((part) => ({ ...part, start: start + part.start }));
}

function leavesOf(parts: readonly Part[]): Part[] {
  return parts.flatMap((part) => {
    const layout = LAYOUTS.get(part.codec);
    return layout === undefined ? [part] : leavesOf(within(part, layout));
  });
}

// The source that calculates the index of each size of element, up to a limit of the offset and
// beyond.
function indexesOf(elements: readonly Part[]) {
  const sizes = [...new Set(elements.map(({ codec }) => codec.byteLength))];
  const indexes = (source: (size: number) => string) =>
    sizes.map((size) => `i${size} = ${source(size)};`).join(" ");
  const declared = sizes.map((size) => `let i${size};`).join(" ");
  // V8 calculates with offsets from 2^32 on in floating point, and converts an index to an integer
  // at each element, unless it is known to have 32 bits. Up to this limit all of them do.
  const limit = INDEX_LIMIT * Math.min(...sizes, 8);
  return {
    near: (beyond: string) =>
      `${declared}
      if (offset < ${INDEX_LIMIT}) {
        ${indexes((size) => `offset >>> ${Math.log2(size)}`)}
      } else {
        if (offset >= ${limit}) ${beyond}
        ${indexes((size) => `offset * ${1 / size} >>> 0`)}
      }`,
    far: `${declared} ${indexes((size) => `offset * ${1 / size}`)}`,
  };
}

// A shift divides offsets below this.
const INDEX_LIMIT = 2 ** 32;

// The typed arrays of HostMemory whose elements are the values of these codecs.
const ARRAYS: ReadonlyMap<ByteValued<unknown>, string> = new Map<ByteValued<never>, string>([
  ...[[u8, "u8"], [i8, "i8"], [u16, "u16"], [i16, "i16"], [u32, "u32"], [i32, "i32"]] as const,
  ...[[u64, "u64"], [i64, "i64"], [f32, "f32"], [f64, "f64"]] as const,
] as never) as never;

const BIGINTS: ReadonlySet<ByteValued<unknown>> = new Set([u64, i64]) as never;

/** A string as source text. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

/**
 * Refuses a value that has no parts.
 *
 * @throws {TypeError} It is no object.
 */
export function checkObject(value: unknown): void {
  if (typeof value !== "object" || value === null) throw wrongKind("value", value, "an object");
}

function refuse(key: string, value: unknown, kind: string): never {
  throw wrongKind(`value[${key}]`, value, `a ${kind}`);
}
