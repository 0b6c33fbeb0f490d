import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DemoError } from "../../examples/demo/demo_error.ts";
import { ElfError, parseElf } from "../../examples/lib/elf.ts";
import type { ExpectedError } from "../../examples/lib/expected_error.ts";
import type { ByteSource } from "../../examples/lib/regular_file.ts";
import { place } from "../../examples/demo/placement.ts";
import { makeElf, noise, randomNumbers } from "./elf_builder.ts";

const MIB = 2 ** 20;
const memory = GuestMemoryHeap.fromRanges([
  [GuestAddress(0), 2 * MIB],
  [GuestAddress(2 * MIB), MIB],
]);
const image = makeElf([
  { data: noise(3000, 1), paddr: 0n, flags: 4 },
  { data: noise(1000, 2), paddr: 0x1000n, flags: 5, memsz: 5000n },
  { data: noise(8, 3), paddr: 0n, type: 4 },
  { data: noise(400, 4), paddr: 0x4000n, flags: 6 },
]);

function source(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.length,
    readAt(offset, length) {
      assert(Number.isSafeInteger(offset) && offset >= 0, `reads at ${offset}`);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** Whether the file loads; anything but an error of the given class fails the test. */
function loads(bytes: Uint8Array, what: string): boolean {
  let stage: typeof ExpectedError = ElfError;
  try {
    const elf = parseElf(source(bytes));
    for (const { offset, fileSize, memorySize } of elf.segments) {
      assert(fileSize === 0 || offset + fileSize <= bytes.length, `${what}: beyond the file`);
      assert(memorySize >= fileSize, `${what}: more in the file than in memory`);
    }
    stage = DemoError;
    const { segments } = place(elf, memory);
    for (const { start, length } of segments) {
      assert(memory.checkRange(start, length), `${what}: beyond the memory`);
    }
    return true;
  } catch (error) {
    if (error instanceof stage) return false;
    throw new Error(`${what}: ${error}`, { cause: error });
  }
}

Deno.test("parseElf() finds the segments that take memory", () => {
  const { machine, type, segments } = parseElf(source(image));
  assertEquals([machine, type], ["x86-64", "executable"]);
  const offset = 64 + 4 * 56;
  assertEquals(segments.map((s) => [s.index, s.offset, s.fileSize, s.memorySize, s.access]), [
    [0, offset, 3000, 3000n, "r--"],
    [1, offset + 3000, 1000, 5000n, "r-x"],
    [3, offset + 4008, 400, 400n, "rw-"],
  ]);
});

Deno.test("place() moves all segments alike", () => {
  const { base, entry, segments } = place(parseElf(source(image)), memory);
  assertEquals(base, MIB);
  assertEquals(entry, GuestAddress(MIB));
  assertEquals(segments.map(({ start }) => start - MIB), [0, 0x1000, 0x4000]);
});

Deno.test("place() refuses what rounds into memory, but is not in it", () => {
  const paddr = 2n ** 64n - BigInt(MIB);
  const elf = parseElf(source(makeElf([{ data: Uint8Array.of(1), paddr }, { paddr: 1n }])));
  assertThrows(() => place(elf, memory), DemoError, "0xfffffffffff00000");
});

Deno.test("parseElf() meets files cut at any place with its own error", () => {
  const random = randomNumbers(5);
  // All of the headers, then places anywhere.
  const places = Array.from({ length: 500 }, (_, i) => i < 300 ? i : random(image.length));
  for (const end of places) {
    assertEquals(loads(image.subarray(0, end), `cut at ${end}`), false, `cut at ${end}`);
  }
  assert(loads(image, "whole"));
});

Deno.test("parseElf() meets garbled files with its own error", () => {
  const random = randomNumbers(6);
  let loaded = 0;
  for (let round = 0; round < 2000; round++) {
    const bytes = image.slice();
    // Mostly in the headers; runs of ff make the largest numbers.
    const limit = random(4) === 0 ? bytes.length : 64 + 4 * 56;
    for (let change = random(4); change >= 0; change--) {
      const at = random(limit);
      if (random(2) === 0) bytes[at] = random(256);
      else bytes.fill(random(2) * 0xff, at, at + 1 + random(8));
    }
    if (loads(bytes, `round ${round}`)) loaded++;
  }
  assert(loaded > 0 && loaded < 2000, `${loaded} of 2000 load`);
});
