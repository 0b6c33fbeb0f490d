import { assert, assertEquals, assertThrows } from "@std/assert";
import { GuestAddress, GuestMemoryHeap, u16le, u32le, u64le, u8 } from "@vmm/guest-memory";
import { loadBzImage, readSetupHeader } from "../../../examples/microvm/bzimage.ts";
import { FileError } from "../../../examples/lib/regular_file.ts";
import { memoryMap } from "../../../examples/microvm/e820.ts";
import { isElf, loadElf } from "../../../examples/microvm/elf_kernel.ts";
import { ImageFile } from "../../../examples/microvm/image_file.ts";
import { memoryRanges } from "../../../examples/microvm/layout.ts";
import { MicrovmError } from "../../../examples/microvm/microvm_error.ts";
import { writeStartInfo } from "../../../examples/microvm/pvh.ts";
import { unpackKernel } from "../../../examples/microvm/unpack_kernel.ts";
import { writeZeroPage } from "../../../examples/microvm/zero_page.ts";
import { makeElf, noise } from "../elf_builder.ts";
import {
  bzImage,
  elfKernel,
  KERNEL,
  KERNEL_BASE,
  PRINT_AND_RESET,
  pvhNote,
  TemporaryImage,
} from "./images.ts";

const MIB = 2 ** 20;
const ZERO_PAGE = 0x7000;

function ram(size: number = 4 * MIB): GuestMemoryHeap {
  return GuestMemoryHeap.fromRanges([[GuestAddress(0), size]]);
}

function bytesAt(memory: GuestMemoryHeap, address: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  memory.readSlice(bytes, GuestAddress(address));
  return bytes;
}

Deno.test("memoryRanges() leaves the hole below 4 GiB free", () => {
  const GIB = 2 ** 30;
  assertEquals(memoryRanges(256 * MIB), [[GuestAddress(0), 256 * MIB]]);
  assertEquals(memoryRanges(3 * GIB), [[GuestAddress(0), 3 * GIB]]);
  assertEquals(memoryRanges(5 * GIB), [
    [GuestAddress(0), 3 * GIB],
    [GuestAddress(4 * GIB), 2 * GIB],
  ]);
});

Deno.test("loadElf() loads segments to their physical addresses", () => {
  const [low, high] = [noise(5000, 1), noise(3000, 2)];
  using file = new TemporaryImage(makeElf([
    { data: low, paddr: 0x10_0000n, vaddr: KERNEL_BASE + 0x10_0000n },
    { data: high, paddr: 0x20_0123n, memsz: 0x2000n },
    { paddr: 0n, memsz: 0n },
  ]));
  const memory = ram();
  assert(isElf(file));
  const { entry, end, pvhEntry } = loadElf(file, memory);
  assertEquals([entry, end, pvhEntry], [0x10_0000, 0x20_2123, undefined]);
  assertEquals(bytesAt(memory, 0x10_0000, 5000), low);
  assertEquals(bytesAt(memory, 0x20_0123, 3000), high);
});

Deno.test("loadElf() finds the PVH entry among notes", () => {
  using file = new TemporaryImage(elfKernel(PRINT_AND_RESET, pvhNote(0x1234_5678)));
  assertEquals(loadElf(file, ram()).pvhEntry, 0x1234_5678);
});

Deno.test("loadElf() survives notes that are cut off or claim too much", () => {
  const note = pvhNote(0x1234).data!;
  for (let length = 0; length < note.length; length++) {
    using file = new TemporaryImage(
      elfKernel(PRINT_AND_RESET, { data: note.subarray(0, length), paddr: 0n, type: 4 }),
    );
    loadElf(file, ram());
  }
  const claims = new Uint8Array(64).fill(0xff);
  using file = new TemporaryImage(
    elfKernel(PRINT_AND_RESET, { data: claims, paddr: 0n, type: 4 }),
  );
  assertEquals(loadElf(file, ram()).pvhEntry, undefined);
});

const HIGH = { paddr: 0x10_0000n, vaddr: KERNEL_BASE + 0x10_0000n };
const NO_KERNELS: readonly (readonly [string, Uint8Array, string])[] = [
  ["truncated in its header", elfKernel(PRINT_AND_RESET).slice(0, 40), "truncated"],
  ["truncated in its program headers", elfKernel(PRINT_AND_RESET).slice(0, 80), "truncated"],
  ["truncated in a segment", elfKernel(noise(5000, 1)).slice(0, 1000), "truncated"],
  ["for 32 bits", makeElf([{ paddr: 1n, memsz: 1n }], { class: 1 }), "64-bit"],
  ["for another processor", makeElf([{ ...HIGH, memsz: 1n }], { machine: 183 }), "processor"],
  ["with nothing to load", makeElf([]), "nothing to load"],
  ["with strange program headers", makeElf([HIGH], { phentsize: 32 }), "headers have 32 bytes"],
  ["whose headers are nowhere", makeElf([], { phoff: 2n ** 64n - 1n, phnum: 9 }), "truncated"],
  [
    "whose segment is nowhere",
    makeElf([{ ...HIGH, paddr: 2n ** 64n - 4096n, memsz: 4096n }]),
    "it has 4 KiB for",
  ],
  [
    "whose entry is in no segment",
    makeElf([{ ...HIGH, memsz: 9n }], { entry: 0x10_0009n }),
    "entry point 0x100009",
  ],
  ["that is too large", makeElf([{ ...HIGH, memsz: 2n ** 40n }]), "1 TiB of memory"],
  [
    "whose segment claims more than there is",
    makeElf([{ ...HIGH, filesz: 2n ** 64n - 1n, memsz: 1n }]),
    "truncated",
  ],
  ["that is a core dump", makeElf([{ ...HIGH, memsz: 9n }], { type: 4 }), '"core dump"'],
  [
    "that is position-independent, with a PVH note",
    makeElf([{ ...HIGH, memsz: 9n }, pvhNote(0x10_0000)], { type: 3 }),
    '"position-independent"',
  ],
  [
    "that is a static executable",
    makeElf([{ data: noise(9, 1), paddr: 0x40_1000n }, { data: noise(9, 2), paddr: 0x40_2000n }]),
    "a program that runs on one",
  ],
];

for (const [what, content, reason] of NO_KERNELS) {
  Deno.test(`loadElf() refuses a file ${what}`, () => {
    using file = new TemporaryImage(content);
    const memory = ram();
    const error = assertThrows(() => loadElf(file, memory), MicrovmError, reason);
    assert(error.message.startsWith("cannot "), error.message);
    assertEquals(bytesAt(memory, 0x10_0000, 9), new Uint8Array(9), "nothing was loaded");
  });
}

Deno.test("loadElf() takes a kernel that is linked to its physical addresses by its PVH note", () => {
  const segment = { data: PRINT_AND_RESET, paddr: 0x10_0000n };
  using file = new TemporaryImage(makeElf([segment, pvhNote(0x10_0000)]));
  assertEquals(loadElf(file, ram()).pvhEntry, 0x10_0000);
});

Deno.test("loadBzImage() loads the protected-mode code to 1 MiB", () => {
  for (const setupSectors of [0, 2, 39]) {
    using file = new TemporaryImage(bzImage({ code: PRINT_AND_RESET, setupSectors }));
    const memory = ram();
    const { entry, end } = loadBzImage(file, readSetupHeader(file)!, memory);
    assertEquals([entry, end], [0x10_0200, 0x20_0000]);
    assertEquals(bytesAt(memory, entry, PRINT_AND_RESET.length), PRINT_AND_RESET);
  }
});

Deno.test("loadBzImage() refuses what cannot be booted here", () => {
  const code = PRINT_AND_RESET;
  const refused: readonly (readonly [Uint8Array, string])[] = [
    [bzImage({ code, version: 0x20b }), "without a 64-bit entry"],
    [bzImage({ code, extendedLoadFlags: 0 }), "without a 64-bit entry"],
    [bzImage({ code, loadFlags: 0 }), "truncated, or a zImage"],
    [bzImage({ code }).slice(0, 1500), "truncated, or a zImage"],
    [bzImage({ code, initSize: 0x7fff_ffff }), "the guest has less"],
  ];
  for (const [content, reason] of refused) {
    using file = new TemporaryImage(content);
    assertThrows(() => loadBzImage(file, readSetupHeader(file)!, ram()), MicrovmError, reason);
  }
});

Deno.test("readSetupHeader() knows a bzImage", () => {
  for (const content of [noise(1000, 1), new Uint8Array(), bzImage({ code: noise(9, 1) })]) {
    using file = new TemporaryImage(content);
    assertEquals(readSetupHeader(file) !== undefined, content[0x1fe] === 0x55);
  }
});

Deno.test("unpackKernel() finds what a bzImage carries", () => {
  const lz4 = [0x02, 0x21, 0x4c, 0x18, 4, 0, 0, 0, 0x30, 1, 2, 3, 3, 0, 0, 0];
  using file = new TemporaryImage(
    bzImage({ code: noise(100, 1), payload: Uint8Array.from(lz4) }),
  );
  assertEquals(unpackKernel(file), Uint8Array.of(1, 2, 3));
  using other = new TemporaryImage(bzImage({ code: noise(9, 1), payload: noise(64, 2) }));
  assertThrows(() => unpackKernel(other), MicrovmError, "neither LZ4");
  using none = new TemporaryImage(noise(1000, 3));
  assertThrows(() => unpackKernel(none), MicrovmError, "not a bzImage");
});

Deno.test("memoryMap() is all memory, but for what a PC has below 1 MiB", () => {
  const memory = GuestMemoryHeap.fromRanges([
    [GuestAddress(0), 2 * MIB],
    [GuestAddress(2 ** 32), MIB],
  ]);
  assertEquals(memoryMap(memory), [
    { address: 0n, size: 0x9fc00n, type: 1 },
    { address: 0x9fc00n, size: 0x60400n, type: 2 },
    { address: 0x100000n, size: 0x100000n, type: 1 },
    { address: 2n ** 32n, size: 0x100000n, type: 1 },
  ]);
});

// Offsets of Documentation/arch/x86/zero-page.rst and boot.rst.
Deno.test("writeZeroPage() puts every field where Linux looks for it", () => {
  const memory = ram();
  const at = (offset: number) => GuestAddress(ZERO_PAGE + offset);
  writeZeroPage(memory, undefined, { start: 0x30_0000, size: 1234 });
  assertEquals(memory.readObj(u16le, at(0x1fe)), 0xaa55);
  assertEquals(memory.readObj(u32le, at(0x202)), 0x53726448);
  assertEquals(memory.readObj(u8, at(0x210)), 0xff);
  assertEquals(memory.readObj(u8, at(0x211)), 1);
  assertEquals(memory.readObj(u32le, at(0x218)), 0x30_0000);
  assertEquals(memory.readObj(u32le, at(0x21c)), 1234);
  assertEquals(memory.readObj(u32le, at(0x228)), 0x20000);
  assertEquals(memory.readObj(u8, at(0x1ef)), 0, "the sentinel");
  assertEquals(memory.readObj(u8, at(0x1e8)), 3);
  assertEquals(memory.readObj(u64le, at(0x2d0)), 0n);
  assertEquals(memory.readObj(u64le, at(0x2d0 + 8)), 0x9fc00n);
  assertEquals(memory.readObj(u32le, at(0x2d0 + 16)), 1);
  assertEquals(memory.readObj(u64le, at(0x2d0 + 40)), 0x100000n);
  assertEquals(memory.readObj(u32le, at(0x2d0 + 56)), 1);
});

Deno.test("writeZeroPage() keeps what a bzImage says of itself", () => {
  using file = new TemporaryImage(bzImage({ code: PRINT_AND_RESET }));
  const memory = ram();
  const at = (offset: number) => GuestAddress(ZERO_PAGE + offset);
  writeZeroPage(memory, readSetupHeader(file)!, undefined);
  assertEquals(memory.readObj(u8, at(0x1f1)), 2);
  assertEquals(memory.readObj(u16le, at(0x206)), 0x20f);
  assertEquals(memory.readObj(u32le, at(0x230)), 0x20_0000);
  assertEquals(memory.readObj(u16le, at(0x236)), 1);
  assertEquals(memory.readObj(u64le, at(0x258)), BigInt(KERNEL));
  assertEquals(memory.readObj(u32le, at(0x260)), 0x10_0000);
});

// xen/include/public/arch-x86/hvm/start_info.h
Deno.test("writeStartInfo() puts every field where PVH has it", () => {
  const memory = ram();
  const at = (offset: number) => GuestAddress(0x6000 + offset);
  writeStartInfo(memory, { start: 0x30_0000, size: 1234 });
  assertEquals(memory.readObj(u32le, at(0)), 0x336ec578);
  assertEquals(memory.readObj(u32le, at(4)), 1);
  assertEquals(memory.readObj(u32le, at(12)), 1);
  const module = Number(memory.readObj(u64le, at(16)));
  assertEquals(memory.readObj(u64le, GuestAddress(module)), 0x30_0000n);
  assertEquals(memory.readObj(u64le, GuestAddress(module + 8)), 1234n);
  assertEquals(memory.readObj(u64le, at(24)), 0x20000n);
  const map = Number(memory.readObj(u64le, at(40)));
  assertEquals(memory.readObj(u32le, at(48)), 3);
  assertEquals(memory.readObj(u64le, GuestAddress(map + 24)), 0x9fc00n);
  assertEquals(memory.readObj(u32le, GuestAddress(map + 24 + 16)), 2);
});

Deno.test("ImageFile refuses what is no file, and reads no further than its end", () => {
  assertThrows(() => new ImageFile("/nonexistent/kernel"), FileError, "no such file");
  assertThrows(() => new ImageFile("/"), FileError, "it is a directory");
  using file = new TemporaryImage(Uint8Array.of(1, 2, 3));
  assertEquals(
    [file.readAt(1, 9).length, file.readAt(3, 1).length, file.readAt(2 ** 63, 1).length],
    [
      2,
      0,
      0,
    ],
  );
});
