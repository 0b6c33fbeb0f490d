import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  type Bitmap,
  BitmapSlice,
  GuestAddress,
  GuestMemoryHeap,
  GuestMemoryMmap,
  GuestRegionHeap,
  HostAddressNotAvailable,
  MemoryClosed,
  type MemoryRegionAddress,
  NoBitmap,
  u8,
} from "../../mod.ts";

const A = GuestAddress;
const at = (offset: number) => offset as MemoryRegionAddress;

Deno.test("GuestRegionHeap makes the buffer that it is asked for", () => {
  const plain = new GuestRegionHeap(A(0x1000), 16);
  const shared = new GuestRegionHeap(A(0x1000), 16, { shared: true });
  assert(plain.buffer instanceof ArrayBuffer);
  assert(shared.buffer instanceof SharedArrayBuffer);
  for (const region of [plain, shared]) {
    assertEquals([region.startAddr, region.len, region.lastAddr], [A(0x1000), 16, A(0x100f)]);
    assertEquals(new Uint8Array(region.buffer), new Uint8Array(16));
  }
});

Deno.test("GuestRegionHeap uses the buffer that it is given, whatever `shared` is", () => {
  for (const buffer of [new ArrayBuffer(16), new SharedArrayBuffer(16)]) {
    for (const shared of [false, true]) {
      const region = new GuestRegionHeap(A(0), buffer, { shared });
      assertStrictEquals(region.buffer, buffer);
      region.writeObj(u8, 7, at(15));
      assertEquals([region.len, new Uint8Array(buffer)[15]], [16, 7]);
    }
  }
});

Deno.test("GuestRegionHeap asks for a bitmap with its length and its start", () => {
  const asked: unknown[] = [];
  const bitmap = new AtomicBitmap(16, 1);
  const region = new GuestRegionHeap(A(0x1000), 16, {
    bitmap(...args) {
      asked.push(args);
      return bitmap;
    },
  });
  assertEquals(asked, [[16, 0x1000]]);
  assertStrictEquals(region.bitmap, bitmap);
  assertStrictEquals(new GuestRegionHeap(A(0), 16).bitmap, NoBitmap);
});

Deno.test("GuestRegionHeap has no host address", () => {
  const region = new GuestRegionHeap(A(0), 16);
  assertThrows(() => region.getHostAddress(at(0)), HostAddressNotAvailable);
  assertEquals([region.fileOffset, region.isHugetlbfs], [undefined, undefined]);
});

Deno.test("GuestRegionHeap shows its kind, and whether it is closed", () => {
  const plain = new GuestRegionHeap(A(0x1000), 0x800);
  const shared = new GuestRegionHeap(A(0x1000), 0x800, { shared: true });
  assertEquals(String(plain), "GuestRegionHeap 0x1000-0x17ff 2 KiB heap");
  assertEquals(Deno.inspect(shared), "GuestRegionHeap 0x1000-0x17ff 2 KiB shared heap");
  plain.close();
  assertEquals(String(plain), "GuestRegionHeap 0x1000-0x17ff 2 KiB heap (closed)");
  assertThrows(() => plain.readObj(u8, at(0)), MemoryClosed);
});

Deno.test("GuestMemoryHeap.fromRanges() takes any iterable, and one kind of option for all", () => {
  function* ranges(): Generator<[GuestAddress, number]> {
    yield [A(0), 16];
    yield [A(32), 8];
  }
  using memory = GuestMemoryHeap.fromRanges(ranges(), { shared: true });
  assertEquals([...memory].map(({ startAddr, len }) => [startAddr, len]), [[A(0), 16], [A(32), 8]]);
  for (const { buffer } of memory) assert(buffer instanceof SharedArrayBuffer);
});

// Types that are equal, and not only assignable.
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

Deno.test("a region's bitmap is of the type that the option returns", () => {
  const ranges = [[A(0), 0x1000]] as const;
  const made: AtomicBitmap[] = [];
  const options = {
    bitmap: (length: number) => {
      made.push(new AtomicBitmap(length));
      return made.at(-1)!;
    },
  };
  using heap = GuestMemoryHeap.fromRanges(ranges, options);
  using mapped = GuestMemoryMmap.fromRanges(ranges, options);
  for (const [i, memory] of [heap, mapped].entries()) {
    const region = memory.findRegion(A(0))!;
    const typed: Equal<typeof region.bitmap, AtomicBitmap> = true;
    assert(typed);
    assertStrictEquals<AtomicBitmap>(region.bitmap, made[i]!);
    region.bitmap.reset();
  }
  const { bitmap } = [...mapped][0]!.mmap;
  const ofMapping: Equal<typeof bitmap, AtomicBitmap> = true;
  assert(ofMapping);
  const shared = new AtomicBitmap(0x1000);
  using sliced = GuestMemoryHeap.fromRanges(ranges, {
    bitmap: (_, start) => shared.sliceAt(start),
  });
  const part = [...sliced][0]!.bitmap;
  const typedSlice: Equal<typeof part, BitmapSlice> = true;
  assert(typedSlice && part instanceof BitmapSlice);
  using untracked = GuestMemoryHeap.fromRanges(ranges);
  const none = [...untracked][0]!.bitmap;
  const typedBitmap: Equal<typeof none, Bitmap> = true;
  assert(typedBitmap);
  assertStrictEquals(none, NoBitmap);
});

Deno.test("shared memory where there is no SharedArrayBuffer is a TypeError that says why", () => {
  const original = Object.getOwnPropertyDescriptor(globalThis, "SharedArrayBuffer")!;
  Object.defineProperty(globalThis, "SharedArrayBuffer", { ...original, value: undefined });
  try {
    const ranges = [[GuestAddress(0), 16]] as const;
    assertThrows(
      () => GuestMemoryHeap.fromRanges(ranges, { shared: true }),
      TypeError,
      "cross-origin isolated",
    );
    assertEquals(GuestMemoryHeap.fromRanges(ranges).numRegions, 1);
  } finally {
    Object.defineProperty(globalThis, "SharedArrayBuffer", original);
  }
});
