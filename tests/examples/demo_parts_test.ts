/** What the demo does in parts, where a child process would not show it. */
import { GuestAddress, GuestMemoryHeap, u8 } from "@vmm/guest-memory";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { DemoError } from "../../examples/demo/demo_error.ts";
import { parseElf } from "../../examples/lib/elf.ts";
import { RegularFile } from "../../examples/lib/regular_file.ts";
import { load, STEP, verify } from "../../examples/demo/loader.ts";
import { drawMemory } from "../../examples/demo/memory_picture.ts";
import { place } from "../../examples/demo/placement.ts";
import { painter } from "../../examples/lib/terminal.ts";
import { crossBoundary } from "../../examples/demo/tour.ts";
import { duration, size, speed } from "../../examples/lib/units.ts";
import { makeElf, noise, type SegmentToMake, TemporaryFile } from "./elf_builder.ts";

const MIB = 2 ** 20;

function smallMemory(): GuestMemoryHeap {
  return GuestMemoryHeap.fromRanges([
    [GuestAddress(0), 4 * MIB],
    [GuestAddress(4 * MIB), 8 * MIB],
    [GuestAddress(16 * MIB), 4 * MIB],
  ]);
}

function draw(columns: number, ...segments: SegmentToMake[]): string[] {
  const memory = smallMemory();
  const bytes = makeElf(segments);
  const source = {
    size: bytes.length,
    readAt: (at: number, length: number) => bytes.subarray(at, at + length),
  };
  return drawMemory(memory, place(parseElf(source), memory).segments, painter(false), columns);
}

Deno.test("load() and verify() work over steps and regions", () => {
  const data = noise(STEP + 1234, 1);
  using saved = new TemporaryFile(makeElf([{ data, paddr: BigInt(2 * MIB) }]));
  using file = new RegularFile(saved.path);
  using memory = smallMemory();
  const { segments } = place(parseElf(file), memory);
  const progress: number[] = [];
  load(memory, file, segments, (done) => progress.push(done));
  assertEquals(progress, [STEP, STEP + 1234]);
  const found = new Uint8Array(data.length);
  memory.readSlice(found, GuestAddress(2 * MIB));
  assertEquals(found, data);
  assertEquals(verify(memory, file, segments).length, 1);
});

Deno.test("verify() finds a single wrong byte", () => {
  const data = noise(STEP + 1234, 2);
  using saved = new TemporaryFile(makeElf([{ data, paddr: BigInt(2 * MIB) }]));
  using file = new RegularFile(saved.path);
  using memory = smallMemory();
  const { segments } = place(parseElf(file), memory);
  load(memory, file, segments);
  memory.writeObj(u8, data.at(-1)! ^ 1, GuestAddress(2 * MIB + data.length - 1));
  assertThrows(() => verify(memory, file, segments), DemoError, "differs from the file");
});

Deno.test("verify() says when the file became shorter", () => {
  using saved = new TemporaryFile(makeElf([{ data: noise(1000, 3), paddr: BigInt(2 * MIB) }]));
  using file = new RegularFile(saved.path);
  using memory = smallMemory();
  const { segments } = place(parseElf(file), memory);
  load(memory, file, segments);
  Deno.truncateSync(saved.path, 500);
  assertThrows(() => verify(memory, file, segments), DemoError, "became shorter");
});

Deno.test("crossBoundary() leaves memory as it was", () => {
  using memory = smallMemory();
  const before = noise(8192, 4);
  const around = GuestAddress(4 * MIB - 4096);
  memory.writeSlice(before, around);
  crossBoundary(memory);
  const after = new Uint8Array(8192);
  memory.readSlice(after, around);
  assertEquals(after, before);
});

Deno.test("drawMemory() draws regions, holes and segments to scale", () => {
  const picture = draw(
    80,
    { data: noise(MIB, 5), paddr: BigInt(MIB), flags: 5 },
    { data: noise(MIB, 6), paddr: BigInt(3 * MIB), flags: 6, memsz: BigInt(2 * MIB) },
    { data: noise(10, 7), paddr: BigInt(17 * MIB), flags: 4 },
  );
  assertEquals(picture, [
    "  0             4 MiB                       12 MiB        16 MiB        20 MiB",
    "  ┌─────────────┬───────────────────────────┐             ┌─────────────┐",
    "  │  ████   ████████         RAM 1          │    hole     │  █  RAM 2   │",
    "  │  ████   ████████         8 MiB          │    4 MiB    │  █  4 MiB   │",
    "  └──┬──────────┴───────────────────────────┘             └──┬──────────┘",
    "  ┌──┴───────────────────────────────────────────────────────┴──────────┐",
    "  │█ 0 █   ▓▓▓ 1 ░░░░                                                  ▒│",
    "  └─────────────────────────────────────────────────────────────────────┘",
    "  0x100000                       16.0 MiB                       0x1100009",
  ]);
});

Deno.test("drawMemory() shows a byte, and neighbours in one column", () => {
  const at = (paddr: number, length: number, flags: number) => ({
    data: noise(length, 8),
    paddr: BigInt(paddr),
    flags,
  });
  const [, , , , , , alone] = draw(80, at(MIB, 1, 4));
  assertEquals(alone, `  │${"▒".repeat(33)} 0 ${"▒".repeat(33)}│`);
  const [, , , , , , crowded] = draw(80, at(MIB, 3 * MIB, 5), at(4 * MIB, 1, 6));
  assert(crowded!.endsWith("█▓│"), crowded);
});

Deno.test("size(), duration() and speed() stay readable at their limits", () => {
  assertEquals([0, 1023, 1024, 1536, MIB - 1, MIB].map(size), [
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "1.0 MiB",
    "1 MiB",
  ]);
  assertEquals(size(2n ** 64n - 1n), "16 EiB");
  assertEquals([0.04, 9.94, 12.4, 999, 1500].map(duration), [
    "0.0 ms",
    "9.9 ms",
    "12 ms",
    "999 ms",
    "1.50 s",
  ]);
  assertEquals(speed(5_012_345_678, 1000), "5,012 MB/s");
});
