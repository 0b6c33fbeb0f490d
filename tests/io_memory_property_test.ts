/**
 * Any sequence of operations on translated memory does what a table of bytes does, whatever is
 * mapped where: pages out of order, one physical page at two addresses, pages over two regions or
 * over a hole, pages without rights, while mappings come and go and translation is switched off and
 * on.
 */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  ADDRESS_SPACE_END,
  array,
  type AtomicAccess,
  AtomicBitmap,
  type BitmapSlice,
  bytes,
  type ByteValued,
  GuestAddress,
  GuestMemoryError,
  GuestMemoryHeap,
  type IoMemory,
  IommuMemory,
  Iotlb,
  Permissions,
  type ReadSource,
  stopOnError,
  struct,
  u16,
  u16be,
  u32,
  u64,
  u8,
  VolatileSlice,
  type WriteSink,
} from "../mod.ts";

const { No, Read, ReadWrite, Write } = Permissions;
const PAGE = 8;
const PAGES = 6;
const SPACE = PAGE * PAGES;

interface Region {
  readonly start: number;
  readonly end: number;
}

/** Where memory lies: regions from a base, and the I/O virtual space from another. */
interface Layout {
  readonly regions: readonly Region[];
  readonly physicalBase: number;
  readonly iovaBase: number;
}

/** What a byte of the I/O virtual space is translated to. */
interface Translation {
  readonly physical: number;
  readonly rights: Permissions;
}

/** How an operation ended: a value, or an error's name and numbers. */
type Outcome = Readonly<Record<string, unknown>>;

/** The accessible part of a range: where its bytes are, and the sizes of the pieces they lie in. */
interface Located {
  readonly physical: readonly number[];
  readonly pieces: readonly number[];
}

class Model {
  readonly layout: Layout;
  readonly content: Map<number, number> = new Map();
  readonly translations: Map<number, Translation> = new Map();
  readonly dirtyVirtual: Set<number> = new Set();
  readonly dirtyPhysical: Set<number> = new Set();
  enabled = true;

  constructor(layout: Layout) {
    this.layout = layout;
    for (const { start, end } of layout.regions) {
      for (let at = start; at < end; at++) this.content.set(at, 0);
    }
  }

  get base(): number {
    return this.enabled ? this.layout.iovaBase : this.layout.physicalBase;
  }

  /** The bytes of a range up to a hole, or why nothing of it may be accessed. */
  locate(at: number, count: number, needs: Permissions): Located | Outcome {
    if (count === 0) return { physical: [], pieces: [] };
    const range = Array.from({ length: count }, (_, i) => this.#translate(at + i));
    if (this.enabled) {
      if (count > ADDRESS_SPACE_END - this.base - at) return { error: "IommuMisconfigured" };
      const allowed = (byte?: Translation) => byte && Permissions.allow(byte.rights, needs);
      if (!range.every(allowed)) return { error: "IotlbFails" };
    }
    const physical: number[] = [];
    const pieces: number[] = [];
    let previous: Translation | undefined;
    for (const byte of range as Translation[]) {
      const region = this.#region(byte.physical);
      if (region === undefined) break;
      const goesOn = previous !== undefined && byte.physical === previous.physical + 1 &&
        byte.rights === previous.rights && this.#region(previous.physical) === region;
      if (goesOn) pieces[pieces.length - 1]!++;
      else pieces.push(1);
      physical.push(byte.physical);
      previous = byte;
    }
    if (physical.length > 0) return { physical, pieces };
    return { error: "InvalidGuestAddress", address: range[0]!.physical };
  }

  /** Does something with the located bytes, or gives the error. */
  with(
    at: number,
    count: number,
    needs: Permissions,
    use: (located: Located) => Outcome,
  ): Outcome {
    const located = this.locate(at, count, needs);
    return "error" in located ? located : use(located as Located);
  }

  get(physical: readonly number[]): number[] {
    return physical.map((address) => this.content.get(address)!);
  }

  put(at: number, physical: readonly number[], content: readonly number[]): void {
    for (const [i, byte] of content.entries()) {
      this.content.set(physical[i]!, byte);
      if (this.enabled) this.dirtyVirtual.add(at + i);
      else this.dirtyPhysical.add(physical[i]!);
    }
  }

  /** Where an integer lies in its region, if it may be accessed atomically there. */
  atomic(
    at: number,
    size: number,
    needs: Permissions,
    use: (located: Located) => Outcome,
  ): Outcome {
    return this.with(at, size, needs, (located) => {
      const { start } = this.#region(located.physical[0]!)!;
      const aligned = (located.physical[0]! - start) % size === 0;
      if (located.pieces[0] !== size || !aligned) return { error: "InvalidBackendAddress" };
      return use(located);
    });
  }

  #translate(at: number): Translation | undefined {
    if (this.enabled) return this.translations.get(at);
    return { physical: this.base + at, rights: ReadWrite };
  }

  #region(address: number): Region | undefined {
    return this.layout.regions.find(({ start, end }) => address >= start && address < end);
  }
}

/** The memory under test. */
interface Subject {
  readonly memory: IommuMemory;
  readonly tlb: Iotlb;
}

/** An operation on both, with what it gave in each. */
interface Operation {
  readonly at: number;
  run(memory: IoMemory, addr: GuestAddress, subject: Subject): Outcome;
  expect(model: Model): Outcome;
}

/** An operation that fast-check shows as text. */
function named(name: string, operation: Operation): Operation {
  return { ...operation, [fc.toStringMethod]: () => `${name} at ${operation.at}` } as Operation;
}

/** A stream that moves so many bytes at each call, and then no more. */
class Pieces {
  readonly moved: number[] = [];
  readonly #steps: number[];

  constructor(steps: readonly number[]) {
    this.#steps = [...steps];
  }

  take(limit: number): number[] {
    const count = Math.min(this.#steps.shift() ?? 0, limit);
    const taken = Array.from({ length: count }, (_, i) => (this.moved.length + i + 1) & 0xff);
    this.moved.push(...taken);
    return taken;
  }

  accept(content: readonly number[]): number {
    const count = Math.min(this.#steps.shift() ?? 0, content.length);
    this.moved.push(...content.slice(0, count));
    return count;
  }
}

const KINDS = ["readVolatile", "readSync", "readVectoredVolatile"] as const;
type Kind = typeof KINDS[number];

function source(kind: Kind, pieces: Pieces): ReadSource {
  const readVolatile = (slice: VolatileSlice) =>
    slice.write(Uint8Array.from(pieces.take(slice.len)), 0);
  switch (kind) {
    case "readVolatile":
      return { readVolatile };
    case "readSync":
      return {
        readSync(view) {
          const taken = pieces.take(view.length);
          view.set(taken);
          return taken.length === 0 ? null : taken.length;
        },
      };
    case "readVectoredVolatile":
      return {
        readVolatile,
        readVectoredVolatile(slices) {
          const taken = pieces.take(slices.reduce((sum, { len }) => sum + len, 0));
          let done = 0;
          for (const slice of slices) {
            done += slice.write(Uint8Array.from(taken.slice(done, done + slice.len)), 0);
          }
          return done;
        },
      };
  }
}

function sink(kind: Kind, pieces: Pieces): WriteSink {
  const writeVolatile = (slice: VolatileSlice) => pieces.accept([...slice.readOnlyView()]);
  switch (kind) {
    case "readVolatile":
      return { writeVolatile };
    case "readSync":
      return { writeSync: (view) => pieces.accept([...view]) };
    case "readVectoredVolatile":
      return {
        writeVolatile,
        writeVectoredVolatile: (slices) =>
          pieces.accept(slices.flatMap((slice) => [...slice.readOnlyView()])),
      };
  }
}

// One transfer of a stream, in the model: an operation for each piece of memory, or one for all.
function transferOnce(
  model: Model,
  kind: Kind,
  at: number,
  count: number,
  needs: Permissions,
  move: (at: number, physical: readonly number[]) => number,
): number | Outcome {
  const located = model.locate(at, count, needs);
  if ("error" in located) return located;
  const { physical, pieces } = located as Located;
  let done = 0;
  for (const length of kind === "readVectoredVolatile" ? [physical.length] : pieces) {
    const moved = move(at + done, physical.slice(done, done + length));
    done += moved;
    if (moved < length) break;
  }
  return done;
}

// As many as it takes.
function transferAll(
  model: Model,
  count: number,
  at: number,
  needs: Permissions,
  once: (at: number, rest: number) => number | Outcome,
  whenNothing: string,
): Outcome {
  let completed = 0;
  while (completed < count) {
    if (completed > 0 && "error" in model.locate(at + completed, 1, needs)) break;
    const done = once(at + completed, count - completed);
    if (typeof done !== "number") return done;
    if (done === 0) return { error: whenNothing };
    completed += done;
  }
  return completed === count ? {} : { error: "PartialBuffer", expected: count, completed };
}

// Where the data ends before the range, that it ended is what counts here.
function withoutEnd(outcome: Outcome, ended: boolean): Outcome {
  const { error, kind } = outcome;
  const says = error === "PartialBuffer" || error === "IOError" && kind === "UnexpectedEof";
  return ended && says ? { error: "ended" } : outcome;
}

const at = fc.nat(SPACE + 2);
const count = fc.nat(SPACE);
const rights = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Permissions>(ReadWrite) },
  { weight: 1, arbitrary: fc.constantFrom<Permissions[]>(No, Read, Write) },
);
const content = fc.uint8Array({ maxLength: SPACE });
const kind = fc.constantFrom(...KINDS);
const steps = fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 8 });

interface Codec<T> {
  readonly name: string;
  readonly codec: ByteValued<T>;
  readonly value: fc.Arbitrary<T>;
}

function codec<T>(name: string, codec: ByteValued<T>, value: fc.Arbitrary<T>): Codec<unknown> {
  return { name, codec, value } as Codec<unknown>;
}

const small = fc.integer({ min: 0, max: 0xff });
const CODECS: readonly Codec<unknown>[] = [
  codec("u8", u8, small),
  codec("u16", u16, fc.integer({ min: 0, max: 0xffff })),
  codec("u16be", u16be, fc.integer({ min: 0, max: 0xffff })),
  codec("u32", u32, fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  codec("u64", u64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
  codec("bytes(5)", bytes(5), fc.uint8Array({ minLength: 5, maxLength: 5 })),
  codec("array(u16, 3)", array(u16, 3), fc.array(small, { minLength: 3, maxLength: 3 })),
  codec(
    "structure",
    struct({ a: u8, b: u64, c: u16 }),
    fc.record({ a: small, b: fc.bigInt({ min: 0n, max: 2n ** 63n }), c: small }),
  ),
];

function encode<T>(codec: ByteValued<T>, value: T): number[] {
  const encoded = new Uint8Array(codec.byteLength);
  VolatileSlice.from(encoded).writeObj(codec, value, 0);
  return [...encoded];
}

function decode<T>(codec: ByteValued<T>, content: readonly number[]): T {
  return VolatileSlice.from(Uint8Array.from(content)).readObj(codec, 0);
}

const reads = fc.tuple(at, count, fc.boolean()).map(([at, count, exactly]): Operation =>
  named(`${exactly ? "readSlice" : "read"} of ${count}`, {
    at,
    run(memory, addr) {
      const buf = new Uint8Array(count);
      if (!exactly) return { value: memory.read(buf, addr), read: [...buf] };
      memory.readSlice(buf, addr);
      return { read: [...buf] };
    },
    expect: (model) =>
      model.with(at, count, Read, ({ physical }) => {
        const completed = physical.length;
        const read = Object.assign(Array(count).fill(0), model.get(physical));
        if (!exactly) return { value: completed, read };
        return completed === count
          ? { read }
          : { error: "PartialBuffer", expected: count, completed };
      }),
  })
);

const writes = fc.tuple(at, content, fc.boolean()).map(([at, content, exactly]): Operation =>
  named(`${exactly ? "writeSlice" : "write"} of ${content.length}`, {
    at,
    run(memory, addr) {
      if (!exactly) return { value: memory.write(content, addr) };
      memory.writeSlice(content, addr);
      return {};
    },
    expect: (model) =>
      model.with(at, content.length, Write, ({ physical }) => {
        const completed = physical.length;
        model.put(at, physical, [...content.subarray(0, completed)]);
        if (!exactly) return { value: completed };
        return completed === content.length
          ? {}
          : { error: "PartialBuffer", expected: content.length, completed };
      }),
  })
);

const readObjs = fc.tuple(at, fc.constantFrom(...CODECS)).map(([at, { name, codec }]): Operation =>
  named(`readObj ${name}`, {
    at,
    run: (memory, addr) => ({ value: memory.readObj(codec, addr) }),
    expect: (model) =>
      model.with(at, codec.byteLength, Read, ({ physical }) => {
        const { length: completed } = physical;
        const expected = codec.byteLength;
        if (completed < expected) return { error: "PartialBuffer", expected, completed };
        return { value: decode(codec, model.get(physical)) };
      }),
  })
);

const writeObjs = fc.tuple(
  at,
  fc.constantFrom(...CODECS).chain(({ name, codec, value }) =>
    value.map((value) => ({ name, codec, value }))
  ),
).map(([at, { name, codec, value }]): Operation =>
  named(`writeObj ${name}`, {
    at,
    run(memory, addr) {
      memory.writeObj(codec, value, addr);
      return {};
    },
    expect: (model) =>
      model.with(at, codec.byteLength, Write, ({ physical }) => {
        const { length: completed } = physical;
        const expected = codec.byteLength;
        model.put(at, physical, encode(codec, value).slice(0, completed));
        return completed < expected ? { error: "PartialBuffer", expected, completed } : {};
      }),
  })
);

type Integer = AtomicAccess<number>;

const ATOMICS: Readonly<
  Record<
    string,
    readonly [
      needs: Permissions,
      run: (memory: IoMemory, codec: Integer, operand: number, addr: GuestAddress) => number | void,
      result: (old: number, operand: number) => number | undefined,
    ]
  >
> = {
  load: [Read, (memory, codec, _, addr) => memory.load(codec, addr), () => undefined],
  store: [Write, (memory, codec, n, addr) => memory.store(codec, n, addr), (_, n) => n],
  exchange: [ReadWrite, (memory, codec, n, addr) => memory.exchange(codec, n, addr), (_, n) => n],
  compareExchange: [
    ReadWrite,
    (memory, codec, n, addr) => memory.compareExchange(codec, 0, n, addr),
    (old, n) => old === 0 ? n : old,
  ],
  fetchAdd: [
    ReadWrite,
    (memory, codec, n, addr) => memory.fetchAdd(codec, n, addr),
    (old, n) => old + n,
  ],
  fetchSub: [
    ReadWrite,
    (memory, codec, n, addr) => memory.fetchSub(codec, n, addr),
    (old, n) => old - n,
  ],
  fetchAnd: [
    ReadWrite,
    (memory, codec, n, addr) => memory.fetchAnd(codec, n, addr),
    (old, n) => old & n,
  ],
  fetchOr: [
    ReadWrite,
    (memory, codec, n, addr) => memory.fetchOr(codec, n, addr),
    (old, n) => old | n,
  ],
  fetchXor: [
    ReadWrite,
    (memory, codec, n, addr) => memory.fetchXor(codec, n, addr),
    (old, n) => old ^ n,
  ],
};

const atomics = fc.tuple(
  at,
  fc.constantFrom(...Object.keys(ATOMICS)),
  fc.constantFrom<Integer[]>(u8, u16, u32),
  fc.integer({ min: 0, max: 0xff }),
).map(([at, name, codec, operand]): Operation => {
  const [needs, run, result] = ATOMICS[name]!;
  return named(`${name} of ${codec.byteLength} bytes and ${operand}`, {
    at,
    run: (memory, addr) => ({ value: run(memory, codec, operand, addr) }),
    expect: (model) =>
      model.atomic(at, codec.byteLength, needs, ({ physical }) => {
        const old = decode(codec, model.get(physical));
        const replacement = result(old, operand);
        if (replacement !== undefined) {
          const wrapped = replacement >>> 0 & 2 ** (8 * codec.byteLength) - 1;
          model.put(at, physical, encode(codec, wrapped >>> 0));
        }
        return { value: name === "store" ? undefined : old };
      }),
  });
});

const streamsIn = fc.tuple(at, count, kind, steps, fc.boolean()).map(
  ([at, count, kind, steps, exactly]): Operation =>
    named(
      `${exactly ? "readExactVolatileFrom" : "readVolatileFrom"} of ${count} by ${kind}: ${steps}`,
      {
        at,
        run(memory, addr) {
          const pieces = new Pieces(steps);
          const from = source(kind, pieces);
          if (!exactly) {
            return { value: memory.readVolatileFrom(addr, from, count), moved: pieces.moved };
          }
          const outcome = attempt(() => {
            memory.readExactVolatileFrom(addr, from, count);
            return {};
          });
          return { ...withoutEnd(outcome, pieces.take(1).length === 0), moved: pieces.moved };
        },
        expect(model) {
          const pieces = new Pieces(steps);
          const once = (at: number, count: number) =>
            transferOnce(model, kind, at, count, Write, (at, physical) => {
              const taken = pieces.take(physical.length);
              model.put(at, physical, taken);
              return taken.length;
            });
          if (!exactly) {
            const value = once(at, count);
            return typeof value === "number" ? { value, moved: pieces.moved } : value;
          }
          const outcome = transferAll(model, count, at, Write, once, "ended");
          return { ...withoutEnd(outcome, pieces.take(1).length === 0), moved: pieces.moved };
        },
      },
    ),
);

const streamsOut = fc.tuple(at, count, kind, steps, fc.boolean()).map(
  ([at, count, kind, steps, exactly]): Operation =>
    named(
      `${exactly ? "writeAllVolatileTo" : "writeVolatileTo"} of ${count} by ${kind}: ${steps}`,
      {
        at,
        run(memory, addr) {
          const pieces = new Pieces(steps);
          const to = sink(kind, pieces);
          const outcome = attempt(() => {
            if (!exactly) return { value: memory.writeVolatileTo(addr, to, count) };
            memory.writeAllVolatileTo(addr, to, count);
            return {};
          });
          return { ...outcome, moved: pieces.moved };
        },
        expect(model) {
          const pieces = new Pieces(steps);
          const once = (at: number, count: number) =>
            transferOnce(
              model,
              kind,
              at,
              count,
              Read,
              (_at, physical) => pieces.accept(model.get(physical)),
            );
          if (exactly) {
            const outcome = transferAll(model, count, at, Read, once, "IOError");
            const full = outcome.error === "IOError" ? { kind: "WriteZero" } : {};
            return { ...outcome, ...full, moved: pieces.moved };
          }
          const value = once(at, count);
          return { ...(typeof value === "number" ? { value } : value), moved: pieces.moved };
        },
      },
    ),
);

const slices = fc.tuple(at, count, rights).map(([at, count, needs]): Operation =>
  named(`getSlices of ${count} for ${needs}`, {
    at,
    run: (memory, addr) => ({
      value: [...stopOnError(memory.getSlices(addr, count, needs))].map(({ len }) => len),
    }),
    expect: (model) => model.with(at, count, needs, ({ pieces }) => ({ value: [...pieces] })),
  })
);

const checks = fc.tuple(at, count, rights).map(([at, count, needs]): Operation =>
  named(`checkRange of ${count} for ${needs}`, {
    at,
    run: (memory, addr) => ({ value: memory.checkRange(addr, count, needs) }),
    expect(model) {
      const located = model.locate(at, count, needs);
      return { value: !("error" in located) && (located as Located).physical.length === count };
    },
  })
);

const mappings = fc.tuple(
  fc.nat(SPACE - 1),
  fc.integer({ min: 1, max: SPACE }),
  fc.option(fc.tuple(fc.nat(SPACE + PAGE), rights), { nil: undefined, freq: 4 }),
).map(([at, count, target]): Operation => {
  const length = Math.min(count, SPACE - at);
  return named(target === undefined ? `forget ${length}` : `map ${length} to ${target}`, {
    at,
    run(_memory, _addr, { tlb, memory }) {
      const { iovaBase, physicalBase } = layoutOf(memory);
      const iova = GuestAddress(iovaBase + at);
      if (target === undefined) tlb.invalidateMapping(iova, length);
      else tlb.setMapping(iova, GuestAddress(physicalBase + target[0]), length, target[1]);
      return {};
    },
    expect(model) {
      for (let i = 0; i < length; i++) {
        if (target === undefined) {
          model.translations.delete(at + i);
        } else {
          const physical = model.layout.physicalBase + target[0] + i;
          model.translations.set(at + i, { physical, rights: target[1] });
        }
      }
      return {};
    },
  });
});

const switches = fc.boolean().map((enabled): Operation =>
  named(`translation ${enabled ? "on" : "off"}`, {
    at: 0,
    run(_memory, _addr, { memory }) {
      memory.enabled = enabled;
      return {};
    },
    expect(model) {
      model.enabled = enabled;
      return {};
    },
  })
);

const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 2, arbitrary: reads },
  { weight: 3, arbitrary: writes },
  { weight: 2, arbitrary: readObjs },
  { weight: 2, arbitrary: writeObjs },
  { weight: 3, arbitrary: atomics },
  { weight: 3, arbitrary: streamsIn },
  { weight: 3, arbitrary: streamsOut },
  { weight: 1, arbitrary: slices },
  { weight: 1, arbitrary: checks },
  { weight: 3, arbitrary: mappings },
  { weight: 1, arbitrary: switches },
);

const layout: fc.Arbitrary<Layout> = fc.record({
  regions: fc.array(fc.tuple(fc.constantFrom(0, 0, 0, 3, 8), fc.integer({ min: 1, max: 24 })), {
    minLength: 1,
    maxLength: 4,
  }),
  physicalBase: fc.constantFrom(0, 2 ** 32 - 16, 2 ** 40, ADDRESS_SPACE_END - 4 * SPACE),
  iovaBase: fc.constantFrom(0, 2 ** 31 - 20, 2 ** 45, ADDRESS_SPACE_END - SPACE),
}).map(({ regions, physicalBase, iovaBase }) => {
  let end = physicalBase;
  const placed = regions.map(([gap, length]): Region => {
    const start = end + gap;
    end = start + length;
    return { start, end };
  });
  return { regions: placed, physicalBase, iovaBase };
});

const layouts = new WeakMap<IommuMemory, Layout>();

function layoutOf(memory: IommuMemory): Layout {
  return layouts.get(memory)!;
}

// Pages as they are mapped at first: as they lie, or anywhere.
const firstPages: fc.Arbitrary<Operation[]> = fc.oneof(
  fc.constant(Array.from({ length: PAGES }, (_, page) => page * PAGE)),
  fc.array(fc.nat(SPACE), { minLength: PAGES, maxLength: PAGES }),
  fc.shuffledSubarray(Array.from({ length: PAGES }, (_, page) => page * PAGE)),
).map((targets) =>
  targets.map((target, page): Operation =>
    named(`map page ${page} to ${target}`, {
      at: page * PAGE,
      run(_memory, _addr, { tlb, memory }) {
        const { iovaBase, physicalBase } = layoutOf(memory);
        const iova = GuestAddress(iovaBase + page * PAGE);
        tlb.setMapping(iova, GuestAddress(physicalBase + target), PAGE, ReadWrite);
        return {};
      },
      expect(model) {
        for (let i = 0; i < PAGE; i++) {
          const physical = model.layout.physicalBase + target + i;
          model.translations.set(page * PAGE + i, { physical, rights: ReadWrite });
        }
        return {};
      },
    })
  )
);

function attempt(run: () => Outcome): Outcome {
  try {
    return run();
  } catch (caught) {
    if (!(caught instanceof GuestMemoryError)) throw caught;
    const { name, ...fields } = caught as unknown as Record<string, unknown> & { name: string };
    const { address, expected, completed, kind } = fields;
    const shown = Object.entries({ address, expected, completed, kind });
    return { error: name, ...Object.fromEntries(shown.filter(([, value]) => value !== undefined)) };
  }
}

function takeDirty(bitmap: BitmapSlice): number[] {
  const dirty: number[] = [];
  bitmap.forEachDirtyRun(
    (offset, length) => {
      for (let i = 0; i < length; i++) dirty.push(offset + i);
    },
    -bitmap.offset,
    bitmap.bitmap.byteSize,
  );
  bitmap.bitmap.reset();
  return dirty;
}

function check(layout: Layout, operations: readonly Operation[]): void {
  const model = new Model(layout);
  const physicalDirty = new AtomicBitmap(4 * SPACE, 1).sliceAt(-layout.physicalBase);
  const virtualDirty = new AtomicBitmap(2 * SPACE, 1).sliceAt(-layout.iovaBase);
  const ranges = layout.regions.map(({ start, end }) =>
    [GuestAddress(start), end - start] as const
  );
  const backend = GuestMemoryHeap.fromRanges(ranges, {
    bitmap: (_length, start) => physicalDirty.sliceAt(start),
  });
  const tlb = new Iotlb();
  const memory = new IommuMemory(
    backend,
    { translate: (iova, length, permissions) => tlb.lookup(iova, length, permissions) },
    { bitmap: virtualDirty },
  );
  layouts.set(memory, layout);
  for (const { at, run, expect } of operations) {
    const address = model.base + at;
    if (address >= ADDRESS_SPACE_END) continue;
    const { enabled } = model;
    const outcome = attempt(() => run(memory, GuestAddress(address), { memory, tlb }));
    assertEquals(outcome, expect(model));
    const { iovaBase } = layout;
    const virtual = [...model.dirtyVirtual].map((at) => iovaBase + at).sort((a, b) => a - b);
    const physical = [...model.dirtyPhysical].sort((a, b) => a - b);
    assertEquals([takeDirty(virtualDirty), takeDirty(physicalDirty)], [virtual, physical]);
    assertEquals((enabled ? physical : virtual).length, 0);
    model.dirtyVirtual.clear();
    model.dirtyPhysical.clear();
  }
  for (const [start, length] of ranges) {
    const actual = new Uint8Array(length);
    backend.readSlice(actual, start);
    assertEquals([...actual], Array.from({ length }, (_, i) => model.content.get(start + i)!));
  }
}

Deno.test("IommuMemory does what a table of bytes does, whatever is mapped where", () => {
  fc.assert(
    fc.property(
      layout,
      firstPages,
      fc.array(operation, { maxLength: 25, size: "max" }),
      (layout, pages, operations) => check(layout, [...pages, ...operations]),
    ),
    { numRuns: 3000 },
  );
});
