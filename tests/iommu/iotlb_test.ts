import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type GuestAddress,
  IommuError,
  IommuMisconfigured,
  Iotlb,
  IotlbFails,
  type IovaRange,
  type MappedRange,
  Permissions,
} from "../../mod.ts";
import { gpa } from "../support/values.ts";

const { No, Read, ReadWrite, Write } = Permissions;
const END = 2 ** 53;

function range(base: number, length: number): MappedRange {
  return { base: gpa(base), length };
}

/** What a lookup fails with: the misses and the ranges without the permission. */
function fails(tlb: Iotlb, iova: number, length: number, permissions: Permissions): IovaRange[][] {
  const error = assertThrows(() => tlb.lookup(gpa(iova), length, permissions), IotlbFails);
  return [[...error.misses], [...error.accessFails]];
}

Deno.test("Iotlb.lookup() translates what is mapped, from any byte of it", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0x1000), gpa(0x8000), 0x1000, ReadWrite);
  assertEquals(tlb.lookup(gpa(0x1000), 0x1000, ReadWrite), [range(0x8000, 0x1000)]);
  assertEquals(tlb.lookup(gpa(0x1001), 1, Read), [range(0x8001, 1)]);
  assertEquals(tlb.lookup(gpa(0x1fff), 1, Write), [range(0x8fff, 1)]);
});

Deno.test("Iotlb.lookup() gives a range for each mapping, in order", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(8), gpa(100), 8, ReadWrite);
  tlb.setMapping(gpa(0), gpa(200), 8, Read);
  tlb.setMapping(gpa(16), gpa(0), 8, Read);
  assertEquals(tlb.lookup(gpa(5), 13, Read), [range(205, 3), range(100, 8), range(0, 2)]);
});

Deno.test("Iotlb.lookup() lists all that is not mapped or not allowed, clipped to the range", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(10), gpa(100), 10, Read);
  tlb.setMapping(gpa(25), gpa(200), 5, ReadWrite);
  tlb.setMapping(gpa(30), gpa(300), 10, Write);
  assertEquals(fails(tlb, 5, 40, Read), [
    [{ base: 5, length: 5 }, { base: 20, length: 5 }, { base: 40, length: 5 }],
    [{ base: 30, length: 10 }],
  ]);
  assertEquals(fails(tlb, 12, 20, ReadWrite), [
    [{ base: 20, length: 5 }],
    [{ base: 12, length: 8 }, { base: 30, length: 2 }],
  ]);
  assertEquals(fails(tlb, 50, 3, No), [[{ base: 50, length: 3 }], []]);
  assertEquals(fails(new Iotlb(), 0, 1, Read), [[{ base: 0, length: 1 }], []]);
});

Deno.test("IotlbFails says what is wrong with which range", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0x1000), gpa(0), 0x10, Read);
  const error = assertThrows(() => tlb.lookup(gpa(0x1000), 0x20, Write), IommuError);
  assertEquals(error.name, "IotlbFails");
  assert(error.message.includes("16 bytes at IOVA 0x1000"), error.message);
  assert(error.message.includes("16 bytes at IOVA 0x1010"), error.message);
});

Deno.test("Iotlb gives a permission with every set of rights that includes it", () => {
  const all = [No, Read, Write, ReadWrite] as const;
  for (const granted of all) {
    const tlb = new Iotlb();
    tlb.setMapping(gpa(0), gpa(64), 8, granted);
    for (const wanted of all) {
      if ((granted & wanted) === wanted) {
        assertEquals(tlb.lookup(gpa(2), 4, wanted), [range(66, 4)]);
      } else {
        assertEquals(fails(tlb, 2, 4, wanted), [[], [{ base: 2, length: 4 }]]);
      }
    }
  }
});

Deno.test("Iotlb mappings that continue each other are one", () => {
  for (const order of [[0, 1, 2], [2, 1, 0], [0, 2, 1], [2, 0, 1]]) {
    const tlb = new Iotlb();
    for (const page of order) tlb.setMapping(gpa(page * 16), gpa(256 + page * 16), 16, Read);
    assertEquals(tlb.lookup(gpa(1), 46, Read), [range(257, 46)]);
    assertEquals(fails(tlb, 1, 46, Write), [[], [{ base: 1, length: 46 }]]);
  }
});

Deno.test("Iotlb mappings that are adjacent but differ stay apart", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0), gpa(256), 16, Read);
  tlb.setMapping(gpa(16), gpa(272), 16, ReadWrite);
  tlb.setMapping(gpa(32), gpa(289), 16, ReadWrite);
  assertEquals(tlb.lookup(gpa(0), 48, Read), [range(256, 16), range(272, 16), range(289, 16)]);
});

Deno.test("Iotlb.setMapping() replaces what was mapped there, and nothing beside it", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0), gpa(100), 30, Read);
  tlb.setMapping(gpa(10), gpa(200), 10, ReadWrite);
  assertEquals(tlb.lookup(gpa(0), 30, Read), [range(100, 10), range(200, 10), range(120, 10)]);
  assertEquals(fails(tlb, 0, 30, Write), [[], [{ base: 0, length: 10 }, { base: 20, length: 10 }]]);
  // The same as before in the middle: one mapping again.
  tlb.setMapping(gpa(10), gpa(110), 10, Read);
  assertEquals(tlb.lookup(gpa(0), 30, Read), [range(100, 30)]);
});

Deno.test("Iotlb.invalidateMapping() forgets a range, and nothing beside it", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0), gpa(100), 10, Read);
  tlb.setMapping(gpa(10), gpa(200), 10, Read);
  tlb.setMapping(gpa(20), gpa(300), 10, Read);
  tlb.invalidateMapping(gpa(5), 18);
  assertEquals(fails(tlb, 0, 30, Read), [[{ base: 5, length: 18 }], []]);
  assertEquals(tlb.lookup(gpa(0), 5, Read), [range(100, 5)]);
  assertEquals(tlb.lookup(gpa(23), 7, Read), [range(303, 7)]);
  tlb.invalidateMapping(gpa(1), 1);
  assertEquals(tlb.lookup(gpa(2), 3, Read), [range(102, 3)]);
  tlb.invalidateMapping(gpa(500), 10);
  assertEquals(tlb.lookup(gpa(2), 3, Read), [range(102, 3)]);
});

Deno.test("Iotlb.invalidateAll() forgets everything", () => {
  const tlb = new Iotlb();
  for (let page = 0; page < 10; page++) {
    tlb.setMapping(gpa(page * 32), gpa(page * 16), 16, ReadWrite);
  }
  tlb.invalidateAll();
  assertEquals(fails(tlb, 0, 320, No), [[{ base: 0, length: 320 }], []]);
  tlb.setMapping(gpa(0), gpa(7), 1, Read);
  assertEquals(tlb.lookup(gpa(0), 1, Read), [range(7, 1)]);
});

Deno.test("Iotlb.lookup() of zero bytes is nothing, wherever it is", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0), gpa(0), 8, No);
  for (const iova of [0, 4, 8, 1000, END - 1]) {
    assertEquals(tlb.lookup(gpa(iova), 0, ReadWrite), []);
  }
});

Deno.test("Iotlb refuses to map and to forget zero bytes", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0), gpa(64), 16, Read);
  for (const at of [0, 4, 16, END - 1]) {
    assertThrows(() => tlb.setMapping(gpa(at), gpa(0), 0, Write), IommuMisconfigured);
    assertThrows(() => tlb.invalidateMapping(gpa(at), 0), IommuMisconfigured);
  }
  assertEquals(tlb.lookup(gpa(0), 16, Read), [range(64, 16)]);
});

Deno.test("Iotlb maps up to the last address, on both sides", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(END - 16), gpa(0), 16, Read);
  tlb.setMapping(gpa(0), gpa(END - 16), 16, Read);
  assertEquals(tlb.lookup(gpa(END - 1), 1, Read), [range(15, 1)]);
  assertEquals(tlb.lookup(gpa(END - 16), 16, Read), [range(0, 16)]);
  assertEquals(tlb.lookup(gpa(15), 1, Read), [range(END - 1, 1)]);
  assertEquals(fails(tlb, END - 20, 20, Read), [[{ base: END - 20, length: 4 }], []]);
  tlb.invalidateMapping(gpa(END - 2), 1);
  assertEquals(tlb.lookup(gpa(END - 1), 1, Read), [range(15, 1)]);
  tlb.invalidateMapping(gpa(1), END - 1);
  assertEquals(tlb.lookup(gpa(0), 1, Read), [range(END - 16, 1)]);
  assertEquals(fails(tlb, END - 1, 1, No), [[{ base: END - 1, length: 1 }], []]);
});

Deno.test("Iotlb is exact to the byte where address and target together are beyond 2^53", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(END - 64), gpa(101), 64, Read);
  for (let i = 0; i < 64; i++) {
    assertEquals(tlb.lookup(gpa(END - 64 + i), 1, Read), [range(101 + i, 1)]);
  }
  tlb.invalidateMapping(gpa(END - 40), 3);
  assertEquals(tlb.lookup(gpa(END - 37), 37, Read), [range(128, 37)]);
});

Deno.test("Iotlb maps the whole address space in one mapping", () => {
  const tlb = new Iotlb();
  tlb.setMapping(gpa(0), gpa(0), END, ReadWrite);
  assertEquals(tlb.lookup(gpa(0), END, ReadWrite), [range(0, END)]);
  tlb.setMapping(gpa(2 ** 40), gpa(0), 2 ** 30, Read);
  assertEquals(tlb.lookup(gpa(2 ** 40 + 2 ** 30), 1, Write), [range(2 ** 40 + 2 ** 30, 1)]);
  assertEquals(fails(tlb, 0, END, Write), [[], [{ base: 2 ** 40, length: 2 ** 30 }]]);
});

// The end of each is beyond the last address, also where the sum is rounded to 2^53 exactly.
const BEYOND: readonly (readonly [number, number])[] = [
  [END - 1, 2],
  [END - 16, 17],
  [END - 16, 18],
  [1, END],
  [3, END - 2],
  [0, 2 * END],
  [END - 1, END],
  [16, Infinity],
];

for (const [base, length] of BEYOND) {
  Deno.test(`Iotlb refuses ${length} bytes at 2^53 - ${END - base}, and changes nothing`, () => {
    const tlb = new Iotlb();
    tlb.setMapping(gpa(0), gpa(END - 32), 32, Read);
    tlb.setMapping(gpa(END - 32), gpa(0), 32, Read);
    assertThrows(() => tlb.setMapping(gpa(base), gpa(0), length, Read), IommuMisconfigured);
    assertThrows(() => tlb.setMapping(gpa(0), gpa(base), length, Read), IommuMisconfigured);
    assertThrows(() => tlb.invalidateMapping(gpa(base), length), IommuMisconfigured);
    assertThrows(() => tlb.lookup(gpa(base), length, Read), IommuMisconfigured);
    assertEquals(tlb.lookup(gpa(0), 32, Read), [range(END - 32, 32)]);
    assertEquals(tlb.lookup(gpa(END - 32), 32, Read), [range(0, 32)]);
  });
}

for (const length of [-1, 0.5, 1.5, NaN, -Infinity]) {
  Deno.test(`Iotlb refuses ${length} bytes, and changes nothing`, () => {
    const tlb = new Iotlb();
    tlb.setMapping(gpa(0), gpa(64), 16, Read);
    assertThrows(() => tlb.setMapping(gpa(4), gpa(0), length, Read), IommuMisconfigured);
    assertThrows(() => tlb.invalidateMapping(gpa(4), length), IommuMisconfigured);
    assertThrows(() => tlb.lookup(gpa(4), length, Read), IommuMisconfigured);
    assertEquals(tlb.lookup(gpa(0), 16, Read), [range(64, 16)]);
  });
}

Deno.test("Iotlb has many pages that are mapped in any order", () => {
  const tlb = new Iotlb();
  const pages = 4096;
  // 1723 and 4096 have no common divisor, so every page comes once.
  for (let i = 0; i < pages; i++) {
    const page = i * 1723 % pages;
    tlb.setMapping(gpa(page * 4096), gpa((pages - page) * 4096), 4096, ReadWrite);
  }
  for (const page of [0, 1, 2047, 4095]) {
    assertEquals(tlb.lookup(gpa(page * 4096 + 5), 8, Read), [range((pages - page) * 4096 + 5, 8)]);
  }
  assertEquals(tlb.lookup(gpa(0), pages * 4096, Write).length, pages);
});

// The model: what each byte of a small space is translated to, with which rights.
interface Byte {
  readonly target: number;
  readonly permissions: Permissions;
}

type Outcome = MappedRange[] | { misses: IovaRange[]; accessFails: IovaRange[] };

class Model {
  readonly bytes: Map<number, Byte> = new Map();

  set(iova: number, target: number, length: number, permissions: Permissions): void {
    for (let i = 0; i < length; i++) this.bytes.set(iova + i, { target: target + i, permissions });
  }

  invalidate(iova: number, length: number): void {
    for (let i = 0; i < length; i++) this.bytes.delete(iova + i);
  }

  lookup(iova: number, length: number, permissions: Permissions): Outcome {
    const found: { base: GuestAddress; length: number }[] = [];
    const misses: { base: number; length: number }[] = [];
    const accessFails: { base: number; length: number }[] = [];
    let previous: Byte | undefined;
    for (let at = iova; at < iova + length; at++) {
      const byte = this.bytes.get(at);
      const goesOn = at > iova &&
        (byte === undefined || previous === undefined
          ? byte === previous
          : byte.target === previous.target + 1 && byte.permissions === previous.permissions);
      const list = byte === undefined
        ? misses
        : Permissions.allow(byte.permissions, permissions)
        ? found
        : accessFails;
      if (goesOn) list.at(-1)!.length++;
      else list.push({ base: gpa(list === found ? byte!.target : at), length: 1 });
      previous = byte;
    }
    return misses.length + accessFails.length > 0 ? { misses, accessFails } : found;
  }
}

const SPACE = 24;

type Step = (tlb: Iotlb, model: Model, base: number) => void;

/** A step that fast-check shows as text. */
function named(name: string, step: Step): Step {
  return Object.assign(step, { [fc.toStringMethod]: () => name });
}

const place = fc.tuple(fc.nat(SPACE - 1), fc.integer({ min: 1, max: SPACE }))
  .map(([at, length]) => ({ at, length: Math.min(length, SPACE - at) }));
const rights = fc.constantFrom<Permissions[]>(No, Read, Write, ReadWrite);
// Targets that are often in step with the address, so that neighbours merge.
const target = fc.record({ inStep: fc.boolean(), number: fc.constantFrom(0, 100, 7) });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(place, target, rights).map(([{ at, length }, target, rights]) => {
      const mapTo = target.inStep ? target.number + at : target.number;
      return named(`map ${length} at ${at} to ${mapTo} for ${rights}`, (tlb, model, base) => {
        tlb.setMapping(gpa(base + at), gpa(mapTo), length, rights);
        model.set(base + at, mapTo, length, rights);
      });
    }),
  },
  {
    weight: 2,
    arbitrary: place.map(({ at, length }) =>
      named(`forget ${length} at ${at}`, (tlb, model, base) => {
        tlb.invalidateMapping(gpa(base + at), length);
        model.invalidate(base + at, length);
      })
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(place, rights).map(([{ at, length }, rights]) =>
      named(`look up ${length} at ${at} for ${rights}`, (tlb, model, base) => {
        const expected = model.lookup(base + at, length, rights);
        assertEquals(lookUp(tlb, base + at, length, rights), expected);
      })
    ),
  },
);

function lookUp(tlb: Iotlb, iova: number, length: number, permissions: Permissions): Outcome {
  try {
    return tlb.lookup(gpa(iova), length, permissions);
  } catch (error) {
    if (!(error instanceof IotlbFails)) throw error;
    return { misses: [...error.misses], accessFails: [...error.accessFails] };
  }
}

for (const [where, base] of [["0", 0], ["2^32", 2 ** 32 - 12], ["2^53", END - SPACE]] as const) {
  Deno.test(`Iotlb does what a table of bytes does, near ${where}`, () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30, size: "max" }), (steps) => {
        const tlb = new Iotlb();
        const model = new Model();
        for (const step of steps) step(tlb, model, base);
        for (const permissions of [No, Read, Write, ReadWrite] as const) {
          assertEquals(
            lookUp(tlb, base, SPACE, permissions),
            model.lookup(base, SPACE, permissions),
          );
        }
      }),
      { numRuns: 3000 },
    );
  });
}
