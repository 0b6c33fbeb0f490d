/**
 * Reading a trace: its lines, and the numbers in them. See FORMAT.md.
 *
 * @module
 */
import { GuestAddress, MemoryRegionAddress } from "@vmm/guest-memory";

/** Any value of a line. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;

/** A JSON object. */
export interface JsonObject {
  readonly [key: string]: Json;
}

/** The first line. */
export interface Header {
  readonly form: "header";
  readonly fields: JsonObject;
}

/** A line that sets up a new state. */
export interface Layout {
  readonly form: "layout";
  readonly kind: string;
  readonly setup: JsonObject;
}

/** A line that closes a layout. */
export interface End {
  readonly form: "end";
  readonly state: JsonObject;
}

/** An operation, or a check. */
export interface Operation {
  readonly form: "operation";
  readonly name: string;
  readonly args: readonly Json[];
  /** What the crate did, without the mark of a quirk. */
  readonly result: JsonObject;
  /** The quirk of the crate that is behind the result, if there is one. */
  readonly quirk: string | undefined;
  /** The number of dirty pages afterwards, where it was recorded. */
  readonly dirty: Json | undefined;
}

/** A line, and where it is in the file. */
export type Line = (Header | Layout | Operation | End) & { readonly number: number };

/**
 * Reads a trace line by line, without holding more of it than that.
 *
 * @param path The file.
 */
export async function* readTrace(path: string | URL): AsyncGenerator<Line, void, void> {
  const file = await Deno.open(path);
  const text = file.readable
    .pipeThrough(new DecompressionStream("gzip"))
    .pipeThrough(new TextDecoderStream());
  let rest = "";
  let number = 0;
  for await (const chunk of text) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield parse(line, ++number);
  }
  if (rest !== "") throw new SyntaxError(`${path}:${number + 1}: the last line is cut short`);
}

function parse(text: string, number: number): Line {
  const json: Json = JSON.parse(text);
  if (isList(json)) {
    const [name, args, recorded, dirty] = json;
    const { q, ...result } = objectOf(recorded);
    const quirk = q === undefined ? undefined : textOf(q);
    return {
      form: "operation",
      number,
      name: textOf(name),
      args: listOf(args),
      result,
      quirk,
      dirty,
    };
  }
  const fields = objectOf(json);
  if ("layout" in fields) {
    return { form: "layout", number, kind: textOf(fields["kind"]), setup: fields };
  }
  if ("end" in fields) {
    const { end: _, ...state } = fields;
    return { form: "end", number, state };
  }
  return { form: "header", number, fields };
}

/** Whether a value is a list. (`Array.isArray` does not narrow readonly arrays.) */
export function isList(json: Json | undefined): json is readonly Json[] {
  return Array.isArray(json);
}

/** A value that is a list. */
export function listOf(json: Json | undefined): readonly Json[] {
  if (isList(json)) return json;
  throw malformed("a list", json);
}

/** A value that is an object. */
export function objectOf(json: Json | undefined): JsonObject {
  if (typeof json === "object" && json !== null && !isList(json)) return json;
  throw malformed("an object", json);
}

/** A value that is a string. */
export function textOf(json: Json | undefined): string {
  if (typeof json === "string") return json;
  throw malformed("a string", json);
}

/** A value that is `true` or `false`. */
export function flagOf(json: Json | undefined): boolean {
  if (typeof json === "boolean") return json;
  throw malformed("a boolean", json);
}

/**
 * An integer as a number. From 2^53 on, where not every integer is one, it is the next above: what
 * is too large must not become less.
 */
export function numberOf(json: Json | undefined): number {
  if (typeof json === "number") return json;
  const exact = bigintOf(json);
  const nearest = Number(exact);
  // Doubles have 53 bits: the next is this much above.
  return BigInt(nearest) >= exact ? nearest : nearest + 2 ** (Math.floor(Math.log2(nearest)) - 52);
}

/** An integer as it was recorded, whatever its size. */
export function bigintOf(json: Json | undefined): bigint {
  if (typeof json === "number") return BigInt(json);
  if (isDigits(json)) return BigInt(json);
  throw malformed("a number", json);
}

/** Whether a value is an integer from 2^53 on, which a trace writes as a string. */
export function isDigits(json: Json | undefined): json is string {
  return typeof json === "string" && /^-?\d+$/.test(json);
}

/** A guest physical address; RangeError from 2^53 on. */
export function guestAddressOf(json: Json | undefined): GuestAddress {
  return GuestAddress(typeof json === "number" ? json : bigintOf(json));
}

/** An offset in a region; RangeError from 2^53 on. */
export function regionAddressOf(json: Json | undefined): MemoryRegionAddress {
  return MemoryRegionAddress(typeof json === "number" ? json : bigintOf(json));
}

/** An integer as a trace writes it. */
export function integer(value: number | bigint): Json {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  const exact = BigInt(value);
  return exact > -(2n ** 53n) && exact < 2n ** 53n ? Number(exact) : exact.toString();
}

function malformed(wanted: string, json: Json | undefined): TypeError {
  return new TypeError(
    `Cannot read the trace: ${wanted} was expected, not ${JSON.stringify(json)}`,
  );
}
