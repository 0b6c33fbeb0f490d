/** Which bytes a call may write, and what it should do where that is known. */
import type { Cursor } from "../../mod.ts";
import type { Argument } from "./argument.ts";
import { same } from "./same.ts";
import type { Subject } from "./subject.ts";
import type { Entry } from "./walk.ts";
import { cut, type Span } from "./world.ts";

/** A call that was made. */
export interface Call {
  readonly entry: Entry;
  readonly subject: Subject | undefined;
  readonly args: readonly Argument[];
}

const ADDRESSES = ["addr", "offset", "base", "index"];

/** The argument of a parameter. */
function argument({ entry, args }: Call, ...names: string[]): Argument | undefined {
  const index = entry.slots.findIndex(({ name }) => names.includes(name));
  return index < 0 ? undefined : args[index];
}

function lengthOf(spans: readonly Span[]): number {
  return spans.reduce((sum, { length }) => sum + length, 0);
}

// Bytes at most that a buffer of unknown kind has.
const UNKNOWN = 128;

/** The bytes of the world that a call may write; `undefined` for all of them. */
export function mayWrite(call: Call): readonly Span[] | undefined {
  const { entry, subject, args } = call;
  if (args.some(({ wild }) => wild)) return undefined;
  if (subject?.writes !== undefined) return subject.writes;
  const at = argument(call, ...ADDRESSES)?.value;
  const range = (count: unknown): readonly Span[] => {
    const memory = argument(call, "memory")?.spans;
    if (typeof at !== "number" || !(Number.isSafeInteger(at) && at >= 0)) return [];
    if (typeof count !== "number" || !(count > 0)) return [];
    const bytes = Math.min(Math.ceil(count), 2 ** 20);
    if (memory !== undefined) return memory;
    return subject?.resolve?.(at, bytes) ?? everything(subject);
  };
  switch (entry.method) {
    case "write":
    case "writeSlice":
    case "copyIn":
      return range(argument(call, "buf", "from")?.buffer?.length ?? UNKNOWN);
    case "writeObj":
    case "store":
      if (subject?.resolve === undefined) return subject?.spans;
      return range(argument(call, "codec")?.codec?.size ?? UNKNOWN);
    case "readVolatileFrom":
    case "readExactVolatileFrom":
    case "readFromStream":
      return range(argument(call, "count")?.value);
    case "copyFrom":
    case "fill":
    case "discard":
      return subject?.spans;
    case "advise":
      return argument(call, "advice")?.value === "normal" ? [] : subject?.spans;
    case "copyToVolatileSlice":
    case "readVolatile":
    case "readVectoredVolatile":
    case "readVectoredFrom":
    case "readExactVectoredFrom":
      return args.flatMap(({ spans }) => spans ?? []);
    default:
      return /^(exchange|compareExchange|fetch\w+)$/.test(entry.method) ? subject?.spans : [];
  }
}

function everything(subject: Subject | undefined): readonly Span[] {
  return subject?.spans ?? [];
}

const COUNTS =
  /^(read|write|readVolatileFrom|writeVolatileTo|readVectoredFrom|writeVectoredTo|copyTo|copyFrom)$/;

/** What is wrong with the type of a result, whatever happened meanwhile; or `undefined`. */
export function faultOfType(call: Call, result: unknown): string | undefined {
  const { entry, subject, args } = call;
  if (subject === undefined || args.some(({ wild }) => wild)) return undefined;
  if (entry.receiver === "EventFd") return undefined;
  if (COUNTS.test(entry.method)) {
    const isCount = Number.isSafeInteger(result) && result as number >= 0;
    return isCount ? undefined : `returned ${show(result)}, which is no count`;
  }
  const isValue = /^(readObj|load|exchange|compareExchange|fetch\w+)$/.test(entry.method);
  const codec = argument(call, "codec")?.codec ?? subject.codec;
  if (!isValue || codec === undefined) return undefined;
  const due = codec.takes === "other" ? "object" : codec.takes;
  const kind: string = typeof result;
  return kind === due ? undefined : `returned ${show(result)}, and not a ${due}`;
}

/** What is wrong with the result of a call that returned, or `undefined`. */
export function faultOfResult(call: Call, result: unknown): string | undefined {
  const { entry, subject, args } = call;
  if (subject === undefined || args.some(({ wild }) => wild)) return undefined;
  if (subject.resolve !== undefined) return new Access(call, result).fault();
  const codec = subject.codec;
  if (codec === undefined || subject.spans === undefined || entry.slots.length > 0) {
    return undefined;
  }
  if (entry.method !== "load") return undefined;
  return unequalToOld("value", result, subject.spans, codec.decode);
}

/** An access to a subject that has addresses. */
class Access {
  readonly #call: Call;
  readonly #result: unknown;
  readonly #subject: Subject;
  readonly #at: unknown;

  constructor(call: Call, result: unknown) {
    this.#call = call;
    this.#result = result;
    this.#subject = call.subject!;
    this.#at = call.subject!.at ?? argument(call, ...ADDRESSES)?.value;
  }

  fault(): string | undefined {
    switch (this.#call.entry.method) {
      case "read":
      case "readSlice":
        return this.#bytes("read");
      case "write":
      case "writeSlice":
        return this.#bytes("write");
      case "readObj":
      case "load":
      case "writeObj":
      case "store":
        return this.#value();
      case "readVolatileFrom":
      case "readExactVolatileFrom":
        return this.#stream("read");
      case "writeVolatileTo":
      case "writeAllVolatileTo":
        return this.#stream("write");
      case "getSlice":
      case "subslice":
        return this.#slice();
      case "fill":
        return this.#filled();
      case "isZero":
        return this.#zeros();
      default:
        return undefined;
    }
  }

  // The bytes of the range, or none where the address is none.
  #spans(count: number): readonly Span[] {
    const at = this.#at;
    if (typeof at !== "number" || !(Number.isSafeInteger(at) && at >= 0)) return [];
    return this.#subject.resolve!(at, count);
  }

  #bytes(direction: "read" | "write"): string | undefined {
    const buffer = argument(this.#call, "buf")?.buffer;
    if (buffer === undefined || !buffer.attached) return undefined;
    const spans = this.#spans(buffer.length);
    const count = lengthOf(spans);
    if (buffer.length > 0 && count === 0 && this.#subject.at === undefined) {
      return "returned, but begins in no memory";
    }
    const exact = /Slice$/.test(this.#call.entry.method);
    if (exact && count < buffer.length) return `returned, but only ${count} bytes are there`;
    const fault = unequal("result", this.#result, exact ? undefined : count);
    if (fault !== undefined) return fault;
    return direction === "read"
      ? unequalToOld("buffer", buffer.now.slice(0, count), spans)
      : unequal("memory", now(spans), buffer.old.slice(0, count));
  }

  #value(): string | undefined {
    const { codec } = argument(this.#call, "codec") ?? {};
    if (codec === undefined || codec.size === 0) return undefined;
    const spans = this.#spans(codec.size);
    if (lengthOf(spans) < codec.size) return "returned, but not all of it is in the memory";
    const value = argument(this.#call, "value");
    if (value === undefined) return unequalToOld("value", this.#result, spans, codec.decode);
    const { value: given } = value;
    if (codec.takes !== "other" && typeof given !== codec.takes) return "took a wrong value";
    let encoded;
    try {
      encoded = codec.encode(given as never);
    } catch {
      return undefined;
    }
    return unequal("memory", now(spans), encoded);
  }

  #stream(direction: "read" | "write"): string | undefined {
    const stream = argument(this.#call, "src", "dst");
    const given = argument(this.#call, "count")?.value as number | undefined;
    // A part of a chain reads or writes all that is left.
    const all = this.#subject.at === undefined ? NaN : lengthOf(this.#subject.spans!);
    const count = given ?? all;
    if (stream?.position === undefined || stream.buffer === undefined) return undefined;
    if (!(Number.isInteger(count) && count >= 0)) return "took a wrong count";
    const { buffer, position } = stream;
    const remaining = Math.max(buffer.length - position, 0);
    const available = lengthOf(this.#spans(Math.min(count, 2 ** 20)));
    // At the very end is not outside for a stream, as in the Rust crate.
    const atEnd = this.#subject.spans !== undefined && lengthOf(this.#subject.spans) === this.#at;
    if (count > 0 && available === 0 && !atEnd) return "returned, but begins in no memory";
    const done = Math.min(count, remaining, available) + 0;
    const exact = this.#call.entry.method.includes("Exact") ||
      this.#call.entry.method.includes("All");
    if (exact && done < count) return `returned, but only ${done} of ${count} bytes were there`;
    const spans = cut(this.#spans(done), 0, done);
    const end = unequal("position", (stream.value as Cursor).position, position + done);
    const fault = end ?? unequal("result", zero(this.#result), exact ? undefined : done);
    if (fault !== undefined) return fault;
    return direction === "read"
      ? unequal("memory", now(spans), buffer.old.slice(position, position + done))
      : unequalToOld("buffer", buffer.now.slice(position, position + done), spans);
  }

  // The bytes of a range that has no hole, or undefined.
  #whole(): readonly Span[] | undefined {
    const count = argument(this.#call, "count")?.value;
    if (typeof count !== "number" || !(count > 0 && count <= 2 ** 20)) return undefined;
    const spans = this.#spans(count);
    return lengthOf(spans) === count ? spans : undefined;
  }

  #filled(): string | undefined {
    const spans = this.#whole();
    const value = argument(this.#call, "value")?.value;
    if (spans === undefined || typeof value !== "number") return undefined;
    return unequal("memory", now(spans), new Uint8Array(lengthOf(spans)).fill(value));
  }

  #zeros(): string | undefined {
    const spans = this.#whole();
    if (spans === undefined) return undefined;
    return unequalToOld(
      "result",
      this.#result,
      spans,
      (bytes) => bytes.every((byte) => byte === 0),
    );
  }

  #slice(): string | undefined {
    const count = argument(this.#call, "count")?.value;
    const { len } = (this.#result ?? {}) as { len?: unknown };
    const fault = unequal("length", len, count);
    if (fault !== undefined || count === 0) return fault;
    if (lengthOf(this.#spans(count as number)) !== count) return "returned what is not in memory";
    return undefined;
  }
}

// Nothing is made of negative zero.
function zero(value: unknown): unknown {
  return value === 0 ? 0 : value;
}

function old(spans: readonly Span[]): Uint8Array | undefined {
  return whole(spans.map(({ backing, at, length }) => backing.old(at, length)));
}

function now(spans: readonly Span[]): Uint8Array | undefined {
  return whole(spans.map(({ backing, at, length }) => backing.now(at, length)));
}

function whole(parts: readonly (Uint8Array | undefined)[]): Uint8Array | undefined {
  return parts.includes(undefined) ? undefined : concat(parts as Uint8Array[]);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function unequal(what: string, actual: unknown, expected: unknown): string | undefined {
  // Memory that cannot be seen is not compared.
  if (what === "memory" && actual === undefined) return undefined;
  if (same(actual, expected)) return undefined;
  return `${what} is ${show(actual)}, and should be ${show(expected)}`;
}

// Compares with what is made of what some bytes were, where that is known.
function unequalToOld(
  what: string,
  actual: unknown,
  spans: readonly Span[],
  make: (bytes: Uint8Array) => unknown = (bytes) => bytes,
): string | undefined {
  const bytes = old(spans);
  return bytes && unequal(what, actual, make(bytes));
}

function show(value: unknown): string {
  if (value instanceof Uint8Array) return `[${[...value.subarray(0, 16)].join(" ")}]`;
  return typeof value === "bigint" ? `${value}n` : String(value);
}
