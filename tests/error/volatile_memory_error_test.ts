import { assert, assertEquals, assertFalse, assertThrows } from "@std/assert";
import { ensureAll } from "../../src/error/volatile_memory_error.ts";
import {
  AccessDenied,
  GuestMemoryError,
  InvalidBackendAddress,
  IOError,
  MemoryClosed,
  Misaligned,
  OutOfBounds,
  Overflow,
  PartialBuffer,
  TooBig,
  VolatileMemoryError,
} from "../../mod.ts";

const ADDRESSES = [
  new OutOfBounds(0x20, 0x10),
  new Overflow(1, 2),
  new TooBig(2 ** 50, 16),
  new Misaligned(0x11, 4),
];
const OTHERS = [
  new PartialBuffer(8, 3),
  new IOError("Other"),
  new MemoryClosed(),
  new AccessDenied("read"),
];

Deno.test("VolatileMemoryError is the base of the errors of one piece of memory", () => {
  for (const error of [...ADDRESSES, ...OTHERS]) {
    assert(error instanceof VolatileMemoryError, error.name);
    assert(error instanceof GuestMemoryError, error.name);
  }
});

Deno.test("InvalidBackendAddress is the base of errors about bytes that are not there", () => {
  for (const error of ADDRESSES) assert(error instanceof InvalidBackendAddress, error.name);
  for (const error of OTHERS) assertFalse(error instanceof InvalidBackendAddress, error.name);
});

Deno.test("errors about addresses have their numbers and say them", () => {
  const [bounds, overflow, tooBig, misaligned] = [
    new OutOfBounds(0x20, 0x10),
    new Overflow(1, 2.5),
    new TooBig(3, 16),
    new Misaligned(0x11, 4),
  ];
  assertEquals(bounds.address, 0x20);
  assertEquals([overflow.base, overflow.offset], [1, 2.5]);
  assertEquals([tooBig.nelements, tooBig.size], [3, 16]);
  assertEquals([misaligned.address, misaligned.alignment], [0x11, 4]);
  assertEquals([bounds, overflow, tooBig, misaligned].map(({ message }) => message), [
    "Cannot access memory at or up to offset 0x20: its length is 0x10",
    "Cannot calculate an offset: 1 + 2.5 is not an integer in [0, 2^53)",
    "Cannot refer to an array: 3 elements of 16 bytes exceed 2^53 bytes",
    "Cannot access offset 0x11 atomically: not a multiple of 4",
  ]);
});

Deno.test("PartialBuffer has what was asked and what was done", () => {
  const error = new PartialBuffer(8, 3);
  assertEquals([error.expected, error.completed], [8, 3]);
  assertEquals(
    error.message,
    "Cannot transfer 8 bytes: 3 were done when the memory or data ended",
  );
});

for (
  const [kind, text] of [
    ["UnexpectedEof", "the source ended before the memory was filled"],
    ["WriteZero", "the sink takes no more data"],
    ["Other", "the stream failed"],
  ] as const
) {
  Deno.test(`IOError of kind ${kind} says so, and why below`, () => {
    const error = new IOError(kind);
    assertEquals([error.kind, error.message], [kind, `Cannot transfer data: ${text}`]);
    const cause = new Error("no space");
    const caused = new IOError(kind, { cause });
    assertEquals(caused.cause, cause);
    assertEquals(caused.message, `Cannot transfer data: ${text} (no space)`);
    assertEquals(new IOError(kind, { cause: "text" }).message, `Cannot transfer data: ${text}`);
  });
}

Deno.test("MemoryClosed says what was closed", () => {
  assertEquals(new MemoryClosed().message, "Cannot access memory: it is closed");
  assertEquals(new MemoryClosed("region").message, "Cannot access region: it is closed");
});

Deno.test("AccessDenied says which access", () => {
  for (const access of ["read", "write"] as const) {
    const error = new AccessDenied(access);
    assertEquals(error.access, access);
    assertEquals(error.message, `Cannot ${access} memory: its protection does not allow it`);
  }
});

Deno.test("ensureAll() refuses what is not complete, also too much", () => {
  ensureAll(0, 0);
  ensureAll(8, 8);
  for (const completed of [0, 7, 9]) {
    const error = assertThrows(() => ensureAll(8, completed), PartialBuffer);
    assertEquals([error.expected, error.completed], [8, completed]);
  }
});
