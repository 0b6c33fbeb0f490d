/**
 * The physical memory of a virtual machine: tracked and accessed by guest address, over memory that
 * Deno maps with `mmap`. A port of rust-vmm's `vm_memory::guest_memory`.
 *
 * The traits say how guest memory is accessed, never how it is made: a device written against
 * {@linkcode GuestMemory} works on mapped memory, on the heap, and on a region of your own.
 * Importing this module needs no permission; the first mapping needs `--allow-ffi`.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryMmap, struct, u16, u32, u64 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 30]]);
 * const Descriptor = struct({ addr: u64, len: u32, flags: u16, next: u16 });
 * memory.writeObj(Descriptor, { addr: 0x2000n, len: 512, flags: 0, next: 0 }, GuestAddress(0x100));
 * const { addr, len } = memory.readObj(Descriptor, GuestAddress(0x100));
 * const data = new Uint8Array(len);
 * assertEquals(memory.read(data, GuestAddress(addr)), 512);
 * ```
 *
 * @module
 */

// Addresses
export {
  Address,
  ADDRESS_SPACE_END,
  type AnyAddress,
  GuestAddress,
  type GuestUsize,
  MemoryRegionAddress,
} from "./src/address.ts";

// Values in memory
export { asSlice, type ByteValued, fromSlice, type ValueOf, zeroed } from "./src/byte_valued.ts";
export {
  type AtomicAccess,
  type AtomicArray,
  f32,
  f64,
  i128,
  i16,
  i32,
  i64,
  i8,
  isize,
  u128,
  u16,
  u32,
  u64,
  u8,
  usize,
} from "./src/scalar.ts";
export { u16be, u16le, u32be, u32le, u64be, u64le, usizebe, usizele } from "./src/endian.ts";
export {
  array,
  bytes,
  type Struct,
  struct,
  type StructOptions,
  type StructValue,
} from "./src/struct.ts";

// One piece of memory
export type { Bytes } from "./src/bytes.ts";
export { HostMemory } from "./src/host_memory.ts";
export {
  Cursor,
  type ReaderSync,
  type ReadSource,
  type ReadVolatile,
  type WriterSync,
  type WriteSink,
  type WriteVolatile,
} from "./src/io.ts";
export { readFromStream, writeToStream } from "./src/web_stream.ts";
export { computeOffset, VolatileMemory } from "./src/volatile_memory.ts";
export { type TypedArray, VolatileSlice } from "./src/volatile_slice.ts";
export { AtomicRef } from "./src/atomic_ref.ts";
export { VolatileRef } from "./src/volatile_ref.ts";
export { VolatileArrayRef } from "./src/volatile_array_ref.ts";

// Dirty tracking
export { AtomicBitmap } from "./src/bitmap/atomic_bitmap.ts";
export { type Bitmap, NoBitmap } from "./src/bitmap/bitmap.ts";
export type { BitmapHandle } from "./src/bitmap/bitmap_handle.ts";
export { BitmapGroup } from "./src/bitmap/bitmap_group.ts";
export { BitmapSlice } from "./src/bitmap/bitmap_slice.ts";
export type { DirtyBitmap, DirtyRun, RunCallback } from "./src/bitmap/dirty_bitmap.ts";
export { dirtyRuns, type GuestDirtyRun } from "./src/bitmap/dirty_runs.ts";

// Guest memory
export { GuestMemory, stopOnError } from "./src/guest_memory.ts";
export { type AccessCallback, type AccessTarget, IoMemory } from "./src/io_memory.ts";
export { GuestMemoryRegion } from "./src/region.ts";
export { GuestRegionCollection } from "./src/region_collection.ts";
export { Holds } from "./src/holds.ts";
export { Permissions } from "./src/permissions.ts";

// A map that changes
export {
  type GuestAddressSpace,
  GuestMemoryAtomic,
  GuestMemoryExclusiveGuard,
  GuestMemoryLoadGuard,
  type SharedGuestMemory,
} from "./src/address_space.ts";

// Memory behind an IOMMU
export {
  CannotResolve,
  Fragmented,
  IommuError,
  IommuMisconfigured,
  IotlbFails,
  type IovaRange,
} from "./src/iommu_error.ts";
export { Iotlb, type MappedRange } from "./src/iotlb.ts";
export { type Iommu, IommuMemory, type IommuMemoryOptions } from "./src/iommu_memory.ts";

// Backends
export { GuestMemoryHeap, GuestRegionHeap, type HeapOptions } from "./src/heap.ts";
export { HostRegion, type RegionOptions } from "./src/host_region.ts";
export { Fd } from "./src/mmap/fd.ts";
export { FileOffset } from "./src/mmap/file_offset.ts";
export { type GuestMemoryHandle, GuestMemoryMmap } from "./src/mmap/guest_memory_mmap.ts";
export { GuestRegionMmap } from "./src/mmap/guest_region_mmap.ts";
export {
  type MmapOptions,
  MmapRegion,
  type MmapRegionHandle,
  type MmapRegionOptions,
} from "./src/mmap/mmap_region.ts";
export { synchronizeThreads } from "./ffi/barrier.ts";
export { pageSize } from "./ffi/memory.ts";
export type { Advice } from "./ffi/platform.ts";

// Errors
export {
  CallbackOutOfRange,
  GuestAddressOverflow,
  GuestMemoryError,
  HostAddressNotAvailable,
  InvalidBackendAddress,
  InvalidGuestAddress,
} from "./src/guest_memory_error.ts";
export {
  AccessDenied,
  IOError,
  type IOErrorKind,
  MemoryClosed,
  Misaligned,
  OutOfBounds,
  Overflow,
  PartialBuffer,
  TooBig,
  VolatileMemoryError,
} from "./src/volatile_memory_error.ts";
export {
  GuestRegionCollectionError,
  InvalidGuestRegion,
  MemoryRegionOverlap,
  NoMemoryRegion,
  UnsortedMemoryRegions,
} from "./src/region_collection_error.ts";
export {
  InvalidOffsetLength,
  InvalidPointer,
  MapFixed,
  MappingPastEof,
  MmapRegionError,
} from "./src/mmap/mmap_region_error.ts";
export { LibcUnavailable, SystemError } from "./ffi/system_error.ts";
