/**
 * Operations on guest memory, and what the model says of each.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type AtomicAccess,
  bytes,
  type ByteSink,
  type ByteSource,
  type ByteValued,
  type GuestAddress,
  type GuestMemory,
  i32,
  i64,
  struct,
  u16,
  u16be,
  u32,
  u32be,
  u64,
  u64be,
  u8,
} from "../../mod.ts";
import type { Model, Outcome } from "./memory_model.ts";

/** What an operation does to the memory, and what the model makes of it. */
export interface Sides {
  run(memory: GuestMemory, addr: GuestAddress): unknown;
  expect(model: Model): Outcome;
}

/** An operation at an offset from the base of the memory. */
export interface Operation extends Sides {
  at: number;
}

function define<T extends unknown[]>(
  name: string,
  rest: fc.Arbitrary<T>,
  sides: (at: number, ...rest: T) => Sides,
): fc.Arbitrary<Operation> {
  return fc.tuple(fc.nat(70), rest).map(([at, rest]) => ({
    at,
    ...sides(at, ...rest),
    [fc.toStringMethod]: () => `${name}(${[at, ...rest].map((value) => fc.stringify(value))})`,
  }));
}

const partial = (expected: number, completed: number): Outcome => ({
  error: "PartialBuffer",
  expected,
  completed,
});

// Bytes of the largest value.
const IMAGE = 19;

const count = fc.oneof(fc.nat(12), fc.nat(70));
const content = fc.uint8Array({ maxLength: 40 });
const step = fc.integer({ min: 1, max: 24 });
const exact = fc.boolean();

const read = define("read", fc.tuple(count, exact), (at, count, exact) => ({
  run(memory, addr) {
    const buf = new Uint8Array(count);
    if (exact) memory.readSlice(buf, addr);
    const done = exact ? count : memory.read(buf, addr);
    return [done, ...buf];
  },
  expect(model) {
    const done = model.run(at, count);
    if (count > 0 && done === 0) return model.invalid(at);
    if (exact && done < count) return partial(count, done);
    return { value: [done, ...model.get(at, done), ...new Uint8Array(count - done)] };
  },
}));

const write = define("write", fc.tuple(content, exact), (at, content, exact) => ({
  run: (memory, addr) => exact ? memory.writeSlice(content, addr) : memory.write(content, addr),
  expect(model) {
    const done = model.run(at, content.length);
    if (content.length > 0 && done === 0) return model.invalid(at);
    model.put(at, content.subarray(0, done));
    if (exact && done < content.length) return partial(content.length, done);
    return { value: exact ? undefined : done };
  },
}));

// Values are made of bytes by a DataView: an oracle that knows nothing of the codecs.
interface Oracle<C> {
  codec: C;
  decode(view: DataView): ReturnType<C extends ByteValued<infer T> ? () => T : never>;
}

const oracle = <C>(codec: C, decode: Oracle<C>["decode"]): Oracle<C> => ({ codec, decode });

const ATOMICS = [
  oracle(u8, (view) => view.getUint8(0)),
  oracle(u16, (view) => view.getUint16(0, true)),
  oracle(u32, (view) => view.getUint32(0, true)),
  oracle(i64, (view) => view.getBigInt64(0, true)),
] as unknown as Oracle<AtomicAccess<number | bigint>>[];

const CODECS = [
  ...ATOMICS,
  oracle(u16be, (view) => view.getUint16(0)),
  oracle(i32, (view) => view.getInt32(0, true)),
  oracle(u64, (view) => view.getBigUint64(0, true)),
  oracle(u64be, (view) => view.getBigUint64(0)),
  oracle(bytes(0), () => new Uint8Array(0)),
  oracle(bytes(IMAGE), ({ buffer }) => new Uint8Array(buffer)),
  oracle(struct({ kind: u8, size: u32be, tag: u16 }, { packed: true }), (view) => ({
    kind: view.getUint8(0),
    size: view.getUint32(1),
    tag: view.getUint16(5, true),
  })),
] as unknown as Oracle<ByteValued<unknown>>[];

// The bytes of a value to write, or nothing: then it is read.
const image = fc.option(fc.uint8Array({ minLength: IMAGE, maxLength: IMAGE }));
const view = (bytes: Iterable<number>) => new DataView(Uint8Array.from(bytes).buffer);

const object = define(
  "object",
  fc.tuple(fc.constantFrom(...CODECS), image),
  (at, { codec, decode }, image) => {
    const size = codec.byteLength;
    const written = image?.subarray(0, size);
    return {
      run(memory, addr) {
        if (written === undefined) return memory.readObj(codec, addr);
        return memory.writeObj(codec, decode(view(written)), addr);
      },
      expect(model) {
        const done = model.run(at, size);
        if (size > 0 && done === 0) return model.invalid(at);
        if (written !== undefined) model.put(at, written.subarray(0, done));
        if (done < size) return partial(size, done);
        return { value: written ? undefined : decode(view(model.get(at, size))) };
      },
    };
  },
);

const atomic = define(
  "atomic",
  fc.tuple(fc.constantFrom(...ATOMICS), image),
  (at, { codec, decode }, image) => {
    const size = codec.byteLength;
    const written = image?.subarray(0, size);
    return {
      run(memory, addr) {
        if (written === undefined) return memory.load(codec, addr);
        return memory.store(codec, decode(view(written)), addr);
      },
      expect(model) {
        const region = model.region(at);
        if (region === undefined) return model.invalid(at);
        // What is in no region as a whole has no place: the base of all these errors.
        if (model.part(at, size) < size) return { error: "InvalidBackendAddress" };
        const offset = model.base + at - region.start;
        if (offset % size !== 0) return { error: "Misaligned", address: offset, alignment: size };
        if (written === undefined) return { value: decode(view(model.get(at, size))) };
        model.put(at, written);
        return { value: undefined };
      },
    };
  },
);

function source(data: Uint8Array, step: number, known: boolean): ByteSource {
  const next = (limit: number) => {
    const part = data.subarray(0, Math.min(step, limit));
    data = data.subarray(part.length);
    return part;
  };
  if (known) return { readVolatile: (slice) => slice.write(next(slice.len), 0) };
  return {
    readSync(buffer) {
      const part = next(buffer.length);
      buffer.set(part);
      return part.length === 0 ? null : part.length;
    },
  };
}

function sink(taken: number[], room: number, step: number, known: boolean): ByteSink {
  const take = (content: Uint8Array) => {
    const part = content.subarray(0, Math.min(step, room - taken.length));
    taken.push(...part);
    return part.length;
  };
  return known ? { writeVolatile: (slice) => take(slice.readOnlyView()) } : { writeSync: take };
}

interface Transfer {
  count: number;
  /** Bytes that the stream has, or that it has room for. */
  limit: number;
  /** Bytes that it moves at a time. */
  step: number;
  exact: boolean;
  known: boolean;
}

const transfer = fc.record<Transfer>({
  count,
  limit: fc.nat(40),
  step,
  exact,
  known: fc.boolean(),
});

function expectTransfer(
  model: Model,
  at: number,
  { count, limit, step, exact }: Transfer,
  ended: (done: number) => Outcome,
): [done: number, outcome: Outcome] {
  if (count > 0 && !model.has(at)) return [0, model.invalid(at)];
  let done = 0;
  while (done < count && model.has(at + done)) {
    const part = model.part(at + done, count - done);
    const moved = Math.min(part, limit - done, exact ? part : step);
    done += moved;
    if (moved === part) continue;
    return [done, exact ? ended(done) : { value: done }];
  }
  if (exact && done < count) return [done, partial(count, done)];
  return [done, { value: exact ? undefined : done }];
}

const fill = define("fill", fc.tuple(transfer, fc.nat(0xff)), (at, options, first) => {
  const { count, limit, step, exact, known } = options;
  const data = Uint8Array.from({ length: limit }, (_, i) => first + i);
  return {
    run(memory, addr) {
      const stream = source(data, step, known);
      if (exact) return memory.readExactVolatileFrom(addr, stream, count);
      return memory.readVolatileFrom(addr, stream, count);
    },
    expect(model) {
      const [done, outcome] = expectTransfer(model, at, options, (done) => partial(count, done));
      model.put(at, data.subarray(0, done));
      return outcome;
    },
  };
});

const drain = define("drain", fc.tuple(transfer), (at, options) => {
  const { count, limit, step, exact, known } = options;
  let taken: number[] = [];
  return {
    run(memory, addr) {
      const stream = sink(taken = [], limit, step, known);
      if (exact) return memory.writeAllVolatileTo(addr, stream, count);
      return memory.writeVolatileTo(addr, stream, count);
    },
    expect(model) {
      const full = { error: "IOError", kind: "WriteZero" } as const;
      const [done, outcome] = expectTransfer(model, at, options, () => full);
      assertEquals(taken, model.get(at, done));
      return outcome;
    },
  };
});

const slices = define("getSlices", fc.tuple(count, fc.nat(0xff)), (at, count, value) => {
  let lengths: number[] = [];
  return {
    run(memory, addr) {
      lengths = [];
      for (const slice of memory.getSlices(addr, count)) {
        slice.copyFrom(new Uint8Array(slice.len).fill(value));
        lengths.push(slice.len);
      }
    },
    expect(model) {
      const expected: number[] = [];
      let done = 0;
      for (; done < count && model.has(at + done); done += expected.at(-1)!) {
        expected.push(model.part(at + done, count - done));
      }
      assertEquals(lengths, expected);
      model.put(at, new Uint8Array(done).fill(value));
      return done < count ? model.invalid(at + done) : { value: undefined };
    },
  };
});

const slice = define("getSlice", fc.tuple(count), (at, count) => ({
  run: (memory, addr) => [...memory.getSlice(addr, count).readOnlyView()],
  expect(model) {
    if (!model.has(at)) return model.invalid(at);
    if (model.part(at, count) < count) {
      return { error: "OutOfBounds", address: model.base + at - model.region(at)!.start + count };
    }
    return { value: model.get(at, count) };
  },
}));

const question = define("checks", fc.tuple(count), (at, count) => ({
  run: (memory, addr) => [
    memory.checkRange(addr, count),
    memory.checkAddress(addr),
    memory.checkedOffset(addr, count),
    memory.findRegion(addr)?.startAddr,
    memory.toRegionAddr(addr)?.[1],
  ],
  expect(model) {
    const address = model.base + at;
    const region = model.region(at);
    return {
      value: [
        model.run(at, count) === count,
        region && address,
        model.has(at + count) ? address + count : undefined,
        region?.start,
        region && address - region.start,
      ],
    };
  },
}));

/** Any operation. */
export const operation: fc.Arbitrary<Operation> = fc.oneof(
  read,
  write,
  object,
  object,
  atomic,
  fill,
  drain,
  slices,
  slice,
  question,
);
