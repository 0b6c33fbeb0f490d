import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import {
  GuestMemoryHeap,
  InvalidGuestAddress,
  type IoMemory,
  IommuError,
  IommuMemory,
  u16,
  u32,
  u64,
} from "../../mod.ts";
import { InvalidChain, Virtqueue } from "../../src/virtio/mod.ts";
import { TableIommu } from "../support/iommu.ts";
import { gpa } from "../support/values.ts";

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const TABLE = 0x200;
const STATE = {
  ...{ size: 4, descTable: gpa(0), availRing: gpa(64), usedRing: gpa(80) },
  indirect: true,
} as const;

type Descriptor = readonly [addr: bigint, len: number, flags: number, next?: number];

/** What a chain is taken as: its ranges, or its refusal. */
function take(
  memory: IoMemory,
  descriptors: readonly Descriptor[],
  options: { indirect?: boolean; table?: readonly Descriptor[] } = {},
) {
  const { indirect = true, table = [] } = options;
  const write = (at: number, [addr, len, flags, next = 0]: Descriptor) => {
    memory.writeObj(u64, addr, gpa(at));
    memory.writeObj(u32, len, gpa(at + 8));
    memory.writeObj(u16, flags, gpa(at + 12));
    memory.writeObj(u16, next, gpa(at + 14));
  };
  for (const [i, descriptor] of descriptors.entries()) write(i * 16, descriptor);
  for (const [i, descriptor] of table.entries()) write(TABLE + i * 16, descriptor);
  memory.writeObj(u16, 1, gpa(STATE.availRing + 2));
  using queue = new Virtqueue(memory, { ...STATE, indirect });
  try {
    const { readable, writable } = queue.pop()!;
    return { readable: readable.ranges(), writable: writable.ranges() };
  } catch (error) {
    assertInstanceOf(error, InvalidChain);
    assertEquals(error.head, 0);
    return [error.descriptor, error.problem] as const;
  }
}

function heap(): GuestMemoryHeap {
  return GuestMemoryHeap.fromRanges([[gpa(0), 0x400]]);
}

Deno.test("DescriptorTable takes buffers up to the end of the address space", () => {
  const end = 2n ** 53n;
  for (const length of [1, 2, 3, 16, 2 ** 32 - 1]) {
    const last = end - BigInt(length);
    assertEquals(take(heap(), [[last, length, 0]]), {
      readable: [[gpa(last), length]],
      writable: [],
    });
    // The sum is rounded where it is a number.
    assertEquals(take(heap(), [[last + 1n, length, 0]]), [0, "address"]);
  }
  for (const addr of [end, end + 1n, 2n ** 64n - 1n, 2n ** 63n]) {
    assertEquals(take(heap(), [[addr, 0, 0]]), [0, "address"]);
    assertEquals(take(heap(), [[addr, 16, WRITE]]), [0, "address"]);
    assertEquals(take(heap(), [[addr, 16, INDIRECT]]), [0, "address"]);
  }
  assertEquals(take(heap(), [[end - 15n, 16, INDIRECT]]), [0, "address"]);
  assertEquals(take(heap(), [[end - 16n, 16, INDIRECT]]), [0, "table"]);
  assertEquals(take(heap(), [[end - 1n, 0, 0]]), { readable: [], writable: [] });
});

Deno.test("DescriptorTable takes chains of 2^32 bytes at most", () => {
  const half = 2 ** 31;
  assertEquals(take(heap(), [[0n, half, NEXT, 1], [8n, half, WRITE]]), {
    readable: [[gpa(0), half]],
    writable: [[gpa(8), half]],
  });
  assertEquals(take(heap(), [[0n, half, NEXT, 1], [8n, half + 1, WRITE]]), [1, "length"]);
});

Deno.test("DescriptorTable takes as many descriptors as the queue has, without the indirect one", () => {
  const buffer = (next?: number): Descriptor =>
    next === undefined ? [0x300n, 1, 0] : [0x300n, 1, NEXT, next];
  const four = [buffer(1), buffer(2), buffer(3), buffer()];
  const ranges = { readable: four.map(() => [gpa(0x300), 1]), writable: [] };
  assertEquals<unknown>(take(heap(), four), ranges);
  const table = [buffer(1), buffer(2), buffer(3), buffer(), buffer()];
  const reference: Descriptor = [BigInt(TABLE), 80, INDIRECT | WRITE];
  assertEquals<unknown>(take(heap(), [reference], { table }), ranges);
  table[3] = buffer(4);
  assertEquals(take(heap(), [reference], { table }), [4, "loop"]);
  four[3] = buffer(0);
  assertEquals(take(heap(), four), [0, "loop"]);
  // Empty buffers count too.
  assertEquals(take(heap(), [[0n, 0, NEXT, 0]]), [0, "loop"]);
});

Deno.test("DescriptorTable refuses readable buffers after writable ones, even if one is empty", () => {
  for (const [a, b] of [[1, 1], [0, 1], [1, 0], [0, 0]] as const) {
    assertEquals(take(heap(), [[0x300n, a, WRITE | NEXT, 1], [0x310n, b, 0]]), [1, "order"]);
  }
});

Deno.test("DescriptorTable refuses indexes beyond the table that they are in", () => {
  assertEquals(take(heap(), [[0x300n, 1, NEXT, 4]]), [4, "index"]);
  const table: Descriptor[] = [[0x300n, 1, NEXT, 2], [0x300n, 1, 0]];
  assertEquals(take(heap(), [[BigInt(TABLE), 32, INDIRECT]], { table }), [2, "index"]);
});

Deno.test("DescriptorTable refuses indirect tables where none may be", () => {
  const table: Descriptor[] = [[0x300n, 1, 0]];
  const reference: Descriptor = [BigInt(TABLE), 16, INDIRECT];
  const taken = { readable: [[gpa(0x300), 1] as const], writable: [] };
  assertEquals<unknown>(take(heap(), [reference], { table }), taken);
  assertEquals(take(heap(), [reference], { table, indirect: false }), [0, "indirect"]);
  assertEquals(take(heap(), [reference], { table: [reference] }), [0, "indirect"]);
  const [addr, length] = reference;
  assertEquals(take(heap(), [[addr, length, INDIRECT | NEXT, 1]], { table }), [0, "indirect"]);
  for (const wrong of [0, 8, 17, 2 ** 32 - 1]) {
    assertEquals(take(heap(), [[addr, wrong, INDIRECT]], { table }), [0, "table"]);
  }
  // After other descriptors one may be.
  const list: Descriptor[] = [[0x310n, 2, NEXT, 1], reference];
  assertEquals<unknown>(take(heap(), list, { table }), {
    readable: [[gpa(0x310), 2], [gpa(0x300), 1]],
    writable: [],
  });
});

Deno.test("DescriptorTable needs only those entries of an indirect table that a chain leads to", () => {
  const physical = () => GuestMemoryHeap.fromRanges([[gpa(0), TABLE + 40]]);
  const iommu = () => new IommuMemory(physical(), new TableIommu().map(0, 0, TABLE + 40));
  for (const make of [physical, iommu]) {
    // Two entries and a half are in memory.
    const reference: Descriptor = [BigInt(TABLE), 64, INDIRECT];
    const first: Descriptor = [0x100n, 1, NEXT, 1];
    assertEquals(take(make(), [reference], { table: [first, [0x100n, 2, 0]] }), {
      readable: [[gpa(0x100), 1], [gpa(0x100), 2]],
      writable: [],
    });
    for (const next of [2, 3]) {
      const table: Descriptor[] = [first, [0x100n, 2, NEXT, next]];
      assertEquals(take(make(), [reference], { table }), [0, "table"]);
    }
  }
});

Deno.test("InvalidChain has the error of the access to an indirect table as its cause", () => {
  const cause = (memory: IoMemory) => {
    memory.writeObj(u64, 0x8000n, gpa(0));
    memory.writeObj(u32, 16, gpa(8));
    memory.writeObj(u16, INDIRECT, gpa(12));
    memory.writeObj(u16, 1, gpa(STATE.availRing + 2));
    using queue = new Virtqueue(memory, STATE);
    return assertThrows(() => queue.pop(), InvalidChain).cause;
  };
  assertInstanceOf(cause(heap()), InvalidGuestAddress);
  assertInstanceOf(cause(new IommuMemory(heap(), new TableIommu().map(0, 0, 0x400))), IommuError);
});
