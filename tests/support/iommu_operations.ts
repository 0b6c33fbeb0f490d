/**
 * Operations on translated memory, and what the model says of each.
 *
 * @module
 */
import fc from "fast-check";
import {
  ADDRESS_SPACE_END,
  array,
  type AtomicAccess,
  type AtomicRef,
  bytes,
  type ByteValued,
  GuestAddress,
  type IoMemory,
  type IommuMemory,
  Permissions,
  stopOnError,
  struct,
  u16,
  u16be,
  u32,
  u64,
  u8,
  VolatileSlice,
} from "../../mod.ts";
import {
  attempt,
  type Layout,
  layoutOf,
  type Located,
  named,
  type Operation,
  PAGE,
  PAGES,
  type Region,
  SPACE,
} from "./iommu_model.ts";
import {
  KINDS,
  Pieces,
  sink,
  source,
  transferAll,
  transferOnce,
  withoutEnd,
} from "./iommu_streams.ts";

const { No, Read, ReadWrite, Write } = Permissions;

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
  // What is in padding after a write is not specified: these have none.
  codec(
    "structure",
    struct({ a: u64, b: u32, c: u16, d: u16 }),
    fc.record({ a: fc.bigInt({ min: 0n, max: 2n ** 63n }), b: small, c: small, d: small }),
  ),
  codec(
    "packed structure",
    struct({ a: u8, b: u64, c: u16 }, { packed: true }),
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
  exchange: [
    ReadWrite,
    (memory, codec, n, addr) => memory.getAtomicRef(codec, addr).exchange(n),
    (_, n) => n,
  ],
  compareExchange: [
    ReadWrite,
    (memory, codec, n, addr) => memory.getAtomicRef(codec, addr).compareExchange(0, n),
    (old, n) => old === 0 ? n : old,
  ],
  fetchAdd: [
    ReadWrite,
    (memory, codec, n, addr) => memory.getAtomicRef(codec, addr).fetchAdd(n),
    (old, n) => old + n,
  ],
  fetchSub: [
    ReadWrite,
    (memory, codec, n, addr) => memory.getAtomicRef(codec, addr).fetchSub(n),
    (old, n) => old - n,
  ],
  fetchAnd: [
    ReadWrite,
    (memory, codec, n, addr) => memory.getAtomicRef(codec, addr).fetchAnd(n),
    (old, n) => old & n,
  ],
  fetchOr: [
    ReadWrite,
    (memory, codec, n, addr) => memory.getAtomicRef(codec, addr).fetchOr(n),
    (old, n) => old | n,
  ],
  fetchXor: [
    ReadWrite,
    (memory, codec, n, addr) => memory.getAtomicRef(codec, addr).fetchXor(n),
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

// The references of a memory, by their address and size: made when they are first used, and kept.
const references = new WeakMap<IommuMemory, Map<string, AtomicRef<number>>>();

/** A reference that may have been made long ago adds to an integer. */
export const keptReference: fc.Arbitrary<Operation> = fc.tuple(
  at,
  fc.constantFrom<Integer[]>(u8, u16, u32),
).map(([at, codec]): Operation =>
  named(`fetchAdd by a kept reference of ${codec.byteLength} bytes`, {
    at,
    run(_memory, addr, { memory }) {
      const known = references.get(memory) ?? new Map<string, AtomicRef<number>>();
      references.set(memory, known);
      const key = `${codec.byteLength} at ${addr}`;
      const reference = known.get(key) ?? memory.getAtomicRef(codec, addr);
      known.set(key, reference);
      return { value: reference.fetchAdd(5) };
    },
    expect: (model) =>
      model.atomic(at, codec.byteLength, ReadWrite, ({ physical }) => {
        const old = decode(codec, model.get(physical));
        const sum = old + 5 & 2 ** (8 * codec.byteLength) - 1;
        model.put(at, physical, encode(codec, sum >>> 0));
        return { value: old };
      }),
  })
);

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

export const operation: fc.Arbitrary<Operation> = fc.oneof(
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

export const layout: fc.Arbitrary<Layout> = fc.record({
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

// Pages as they are mapped at first: in order, or anywhere.
export const firstPages: fc.Arbitrary<Operation[]> = fc.oneof(
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
