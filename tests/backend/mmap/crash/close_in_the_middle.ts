/** Closes memory in the middle of every kind of access that calls the caller's code. */
import {
  array,
  type Bitmap,
  bytes,
  type ByteValued,
  f32,
  f64,
  GuestAddress,
  GuestMemoryMmap,
  type GuestRegionMmap,
  MemoryRegionAddress,
  NoBitmap,
  readFromStream,
  struct,
  u128,
  u16,
  u16be,
  u32,
  u64,
  u64be,
  u8,
  VolatileSlice,
  writeToStream,
} from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const SIZE = 0x1000;
const start = GuestAddress(0);
// A range over both regions.
const across = GuestAddress(SIZE - 8);
const eight = () => new Uint8Array(8);

interface Case {
  memory: GuestMemoryMmap;
  region: GuestRegionMmap;
  slice: VolatileSlice;
  view: Uint8Array;
  close: () => void;
}

const outcomes: Record<string, string> = {};

function begin(bitmap: () => Bitmap = () => NoBitmap): Case {
  const memory = GuestMemoryMmap.fromRanges(
    [[start, SIZE], [GuestAddress(SIZE), SIZE]],
    { bitmap },
  );
  const region = memory.findRegion(start)!;
  const slice = region.asVolatileSlice();
  return { memory, region, slice, view: slice.rawView(), close: () => memory.close() };
}

function during(name: string, use: (c: Case) => unknown): void {
  const c = begin();
  const outcome = attempt(() => use(c));
  // It was closed indeed, and what can be seen of it is empty.
  outcomes[name] = c.memory.closed && c.view.length === 0 ? outcome : `not closed: ${outcome}`;
}

// What might run code that closes the memory is never asked.
function unasked(name: string, use: (c: Case) => unknown): void {
  const c = begin();
  const outcome = attempt(() => use(c));
  outcomes[name] = c.memory.closed ? `closed: ${outcome}` : outcome;
}

during("iterating regions", ({ memory, close }) => {
  for (const region of memory) {
    close();
    region.readObj(u8, MemoryRegionAddress(0));
  }
});
during("iterating regions, to the end", ({ memory, close }) => {
  for (const _ of memory) close();
});
during("iterating slices", ({ memory, close }) => {
  for (const slice of memory.getSlices(across, 16)) {
    close();
    slice.write(eight(), 0);
  }
});
during("tryAccess", ({ memory, close }) => {
  memory.tryAccess(16, across, (_total, count, offset, region) => {
    close();
    region.write(new Uint8Array(count), offset);
    return count;
  });
});
during("tryAccess that claims to be done", ({ memory, close }) => {
  memory.tryAccess(16, across, (_total, count) => {
    close();
    return count;
  });
});
during("checkRange of an iterator", ({ memory, close }) => {
  const slices = memory.getSlices(across, 16);
  slices.next();
  close();
  for (const slice of slices) slice.readObj(u8, 0);
});

// Codecs
const codecs: Record<string, ByteValued<never>> = {
  ...{ u8, u16, u32, u64, f32, f64, u128, u16be, u64be },
  ...{ bytes: bytes(8), array: array(u32, 2), struct: struct({ a: u16, b: u64 }) },
} as unknown as Record<string, ByteValued<never>>;
const zeroes: Record<string, unknown> = {
  ...{ u8: 0, u16: 0, u32: 0, u64: 0n, f32: 0, f64: 0, u128: 0n, u16be: 0, u64be: 0n },
  ...{ bytes: eight(), array: [0, 0], struct: { a: 0, b: 0n } },
};
for (const [name, codec] of Object.entries(codecs)) {
  for (const shift of [0, 1]) {
    for (const at of [start, across]) {
      const label = `${name} at ${at} + ${shift}`;
      // A codec that closes the memory and then continues as if nothing had happened.
      const closing = (close: () => void): ByteValued<never> => ({
        byteLength: 16,
        alignment: 1,
        read(memory, offset) {
          close();
          return codec.read(memory, offset + shift);
        },
        write(memory, offset, value) {
          close();
          codec.write(memory, offset + shift, value);
        },
      });
      during(`readObj of ${label}`, ({ memory, close }) => memory.readObj(closing(close), at));
      during(
        `writeObj of ${label}`,
        ({ memory, close }) => memory.writeObj(closing(close), zeroes[name] as never, at),
      );
    }
  }
}
during("array of a codec that closes", ({ slice, close }) => {
  let reads = 0;
  const element: ByteValued<number> = {
    ...u32,
    read(memory, offset) {
      if (++reads === 2) close();
      return u32.read(memory, offset);
    },
  };
  slice.readObj(array(element, 4), 0);
});

// Values that would run code if they were converted: they are refused as they are.
const evil = (close: () => void, value: unknown) => ({
  valueOf() {
    close();
    return value;
  },
});
for (const at of [0, 1]) {
  unasked(
    `writeObj of u32 that converts, at ${at}`,
    ({ slice, close }) => slice.writeObj(u32, evil(close, 7) as unknown as number, at),
  );
  unasked(
    `writeObj of u64 that converts, at ${at}`,
    ({ slice, close }) => slice.writeObj(u64, evil(close, 7n) as unknown as bigint, at),
  );
  unasked(
    `writeObj of f64 that converts, at ${at}`,
    ({ slice, close }) => slice.writeObj(f64, evil(close, 7) as unknown as number, at),
  );
}
unasked(
  "store of a value that converts",
  ({ slice, close }) => slice.store(u32, evil(close, 7) as unknown as number, 0),
);
unasked(
  "store of u64 that converts",
  ({ slice, close }) => slice.store(u64, evil(close, 7n) as unknown as bigint, 0),
);
unasked(
  "exchange of a value that converts",
  ({ slice, close }) => slice.getAtomicRef(u32, 0).exchange(evil(close, 7) as unknown as number),
);
unasked(
  "compareExchange of a value that converts",
  ({ slice, close }) =>
    slice.getAtomicRef(u32, 0).compareExchange(0, evil(close, 7) as unknown as number),
);
unasked(
  "fetchAdd of a value that converts",
  ({ memory, close }) =>
    memory.getAtomicRef(u64, start).fetchAdd(evil(close, 7n) as unknown as bigint),
);

// Arrays that run code when they are read or filled
during(
  "copyFrom of an array with a getter",
  ({ slice, close }) =>
    slice.getArrayRef(u32, 0, 4).copyFrom({
      length: 4,
      get 0() {
        close();
        return 1;
      },
      1: 1,
    }),
);
during(
  "copyTo of an array with a setter",
  ({ slice, close }) =>
    slice.getArrayRef(u32, 0, 4).copyTo({
      length: 4,
      set 0(_: number) {
        close();
      },
    }),
);
class EvilBytes extends Uint8Array {
  onUse: () => void = () => {};
  override set(source: ArrayLike<number>, offset?: number): void {
    this.onUse();
    super.set(source, offset);
  }
  override subarray(begin?: number, end?: number): Uint8Array<ArrayBuffer> {
    this.onUse();
    return new Uint8Array(this).subarray(begin, end);
  }
  override get length(): number {
    this.onUse();
    return 64;
  }
}
class EvilLength extends Uint8Array {
  onUse: () => void = () => {};
  override get length(): number {
    return { valueOf: () => (this.onUse(), 8) } as unknown as number;
  }
}
for (const at of [start, across]) {
  unasked(`read into a buffer whose length closes, at ${at}`, ({ memory, close }) => {
    const buffer = new EvilLength(8);
    buffer.onUse = close;
    memory.read(buffer, at);
  });
  unasked(`write from a buffer whose length closes, at ${at}`, ({ memory, close }) => {
    const buffer = new EvilLength(8);
    buffer.onUse = close;
    memory.write(buffer, at);
  });
}
for (const at of [start, across]) {
  unasked(`read into a buffer that closes, at ${at}`, ({ memory, close }) => {
    const buffer = new EvilBytes(8);
    buffer.onUse = close;
    memory.read(buffer, at);
  });
  unasked(`write from a buffer that closes, at ${at}`, ({ memory, close }) => {
    const buffer = new EvilBytes(8);
    buffer.onUse = close;
    memory.write(buffer, at);
  });
}

// Streams
for (const at of [start, across]) {
  const label = at === start ? "" : " across regions";
  const known = {
    "before it writes": (slice: VolatileSlice, close: () => void) => {
      close();
      return slice.write(eight(), 0);
    },
    "after it has written": (slice: VolatileSlice, close: () => void) => {
      const count = slice.write(new Uint8Array(2), 0);
      close();
      return count;
    },
    "and claims to be done": (slice: VolatileSlice, close: () => void) => {
      close();
      return slice.len;
    },
  };
  for (const [when, stream] of Object.entries(known)) {
    during(
      `readVolatile that closes ${when}${label}`,
      ({ memory, close }) =>
        memory.readVolatileFrom(at, { readVolatile: (slice) => stream(slice, close) }, 16),
    );
    during(
      `exact readVolatile that closes ${when}${label}`,
      ({ memory, close }) =>
        memory.readExactVolatileFrom(at, { readVolatile: (slice) => stream(slice, close) }, 16),
    );
    during(
      `writeVolatile that closes ${when}${label}`,
      ({ memory, close }) =>
        memory.writeVolatileTo(at, { writeVolatile: (slice) => stream(slice, close) }, 16),
    );
    during(
      `exact writeVolatile that closes ${when}${label}`,
      ({ memory, close }) =>
        memory.writeAllVolatileTo(at, { writeVolatile: (slice) => stream(slice, close) }, 16),
    );
    during(
      `readVectoredVolatile that closes ${when}${label}`,
      ({ memory, close }) =>
        memory.readVolatileFrom(at, {
          readVolatile: (slice) => stream(slice, close),
          readVectoredVolatile: (slices) => stream(slices.at(-1)!, close),
        }, 16),
    );
  }
  const deno = (buffer: Uint8Array, close: () => void) => {
    const count = buffer.length;
    close();
    buffer[0] = 1;
    return count;
  };
  during(
    `readSync that closes${label}`,
    ({ memory, close }) =>
      memory.readVolatileFrom(at, { readSync: (buffer) => deno(buffer, close) }, 16),
  );
  during(
    `exact readSync that closes${label}`,
    ({ memory, close }) =>
      memory.readExactVolatileFrom(at, {
        readSync: (buffer) => deno(buffer.subarray(1), close),
      }, 16),
  );
  during(
    `writeSync that closes${label}`,
    ({ memory, close }) =>
      memory.writeVolatileTo(at, { writeSync: (buffer) => deno(buffer, close) }, 16),
  );
}

// Bitmaps
const MARKING: Record<string, (c: Case) => unknown> = {
  write: ({ memory }) => memory.write(new Uint8Array(16), across),
  writeSlice: ({ slice }) => slice.writeSlice(eight(), 0),
  writeObj: ({ memory }) => memory.writeObj(u64, 1n, start),
  "writeObj across regions": ({ memory }) => memory.writeObj(u128, 1n, across),
  store: ({ memory }) => memory.store(u32, 1, start),
  fetchAdd: ({ memory }) => memory.getAtomicRef(u32, start).fetchAdd(1),
  copyFrom: ({ slice }) => slice.copyFrom(eight()),
  "copyFrom of an array": ({ slice }) => slice.getArrayRef(u8, 0, 8).copyFrom([1, 2, 3]),
  copyToVolatileSlice: ({ slice }) => VolatileSlice.from(eight()).copyToVolatileSlice(slice),
  readVolatileFrom: ({ memory }) => memory.readVolatileFrom(across, { readSync: () => 8 }, 16),
  readExactVolatileFrom: ({ memory }) =>
    memory.readExactVolatileFrom(across, { readSync: () => 4 }, 16),
  advise: ({ region }) => region.mmap.advise("dontneed"),
  markDirty: ({ slice }) => slice.markDirty(0, 8),
};
for (const [name, use] of Object.entries(MARKING)) {
  const c = begin(() => ({
    markDirty: () => c.close(),
    dirtyAt: () => false,
    sliceAt: () => NoBitmap,
  }));
  const outcome = attempt(() => use(c));
  outcomes[`markDirty of ${name}`] = c.memory.closed ? outcome : `not closed: ${outcome}`;
}

// Web streams, whose other end works while they wait
async function meanwhile(name: string, use: (c: Case) => Promise<unknown>): Promise<void> {
  const c = begin();
  const error = await use(c).then(() => undefined, (error: unknown) => error);
  outcomes[name] = attempt(() => {
    if (error !== undefined) throw error;
  });
}
await meanwhile("readFromStream", ({ memory, close }) =>
  readFromStream(
    memory,
    across,
    new ReadableStream({
      pull(controller) {
        controller.enqueue(new Uint8Array(4));
        setTimeout(close, 0);
      },
    }),
    SIZE,
  ));
await meanwhile(
  "writeToStream",
  ({ memory, close }) =>
    writeToStream(memory, start, new WritableStream({ write: close }), 2 * SIZE),
);

console.log(JSON.stringify(outcomes));
