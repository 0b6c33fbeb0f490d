/**
 * The physical memory of a virtual machine: tracked and accessed by guest address, over memory that
 * Deno maps with `mmap`. A port of rust-vmm's `vm_memory::guest_memory`.
 *
 * The traits say how guest memory is accessed, never how it is made: a device written against
 * {@linkcode GuestMemory} works on mapped memory, on the heap, and on custom regions.
 * Importing this module needs no permission; the first mapping needs `--allow-ffi`.
 *
 * @example
 * ```ts
 * import { guestAddress, GuestAddress, GuestMemoryMmap, struct, u16, u32 } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 30]]);
 * const Descriptor = struct({ addr: guestAddress, len: u32, flags: u16, next: u16 });
 * const descriptor = { addr: GuestAddress(0x2000), len: 512, flags: 0, next: 0 };
 * memory.writeObj(Descriptor, descriptor, GuestAddress(0x100));
 * const { addr, len } = memory.readObj(Descriptor, GuestAddress(0x100));
 * assertEquals(memory.getSlice(addr, len).len, 512);
 * ```
 *
 * @module
 */

// Addresses and permissions
export {
  Address,
  ADDRESS_SPACE_END,
  type AnyAddress,
  GuestAddress,
  type GuestUsize,
  MemoryRegionAddress,
} from "./src/address.ts";
export { Permissions } from "./src/permissions.ts";

// error/
export {
  AddressSpaceLocked,
  CallbackOutOfRange,
  GuestAddressOverflow,
  GuestMemoryError,
  HostAddressNotAvailable,
  InvalidGuestAddress,
} from "./src/error/guest_memory_error.ts";
export {
  AccessDenied,
  InvalidBackendAddress,
  IOError,
  type IOErrorKind,
  MemoryClosed,
  Misaligned,
  OutOfBounds,
  Overflow,
  PartialBuffer,
  TooBig,
  VolatileMemoryError,
} from "./src/error/volatile_memory_error.ts";
export {
  GuestRegionCollectionError,
  InvalidGuestRegion,
  MemoryRegionOverlap,
  NoMemoryRegion,
  UnsortedMemoryRegions,
} from "./src/error/region_collection_error.ts";
export {
  CannotResolve,
  Fragmented,
  IommuError,
  IommuMisconfigured,
  IotlbFails,
  type IovaRange,
} from "./src/error/iommu_error.ts";
export {
  InvalidHandle,
  InvalidOffsetLength,
  InvalidPointer,
  MapFixed,
  MappingPastEof,
  MappingShared,
  MmapRegionError,
  OptionRefused,
} from "./src/error/mmap_region_error.ts";
export {
  DescriptorClosed,
  DescriptorsLost,
  LibcUnavailable,
  SystemError,
} from "./ffi/system_error.ts";

// host/: one buffer of host memory
export { HostMemory } from "./src/host/host_memory.ts";

// codec/: values in memory
export {
  asSlice,
  type ByteValued,
  fromSlice,
  type ValueOf,
  zeroed,
} from "./src/codec/byte_valued.ts";
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
} from "./src/codec/scalar.ts";
export { u16be, u16le, u32be, u32le, u64be, u64le, usizebe, usizele } from "./src/codec/endian.ts";
export { guestAddress } from "./src/codec/guest_address.ts";
export {
  array,
  bytes,
  type Struct,
  struct,
  type StructOptions,
  type StructValue,
} from "./src/codec/struct.ts";

// bitmap/: which bytes were written
export { AtomicBitmap, BitmapSlice } from "./src/bitmap/atomic_bitmap.ts";
export { type Bitmap, NoBitmap } from "./src/bitmap/bitmap.ts";
export { BitmapGroup } from "./src/bitmap/bitmap_group.ts";
export type { BitmapHandle } from "./src/bitmap/bitmap_handle.ts";
export type { BitmapMemory, BitmapOverOptions } from "./src/bitmap/given_words.ts";
export type { DirtyRun, RunCallback, RunSource } from "./src/bitmap/run_source.ts";

// volatile/: one piece of memory
export { AtomicRef } from "./src/volatile/atomic_ref.ts";
export type { Bytes } from "./src/volatile/bytes.ts";
export { Cursor } from "./src/volatile/cursor.ts";
export type {
  ByteSink,
  ByteSource,
  ReaderSync,
  ReadVolatile,
  WriterSync,
  WriteVolatile,
} from "./src/volatile/stream.ts";
export { VolatileArrayRef } from "./src/volatile/volatile_array_ref.ts";
export { computeOffset, VolatileMemory } from "./src/volatile/volatile_memory.ts";
export { VolatileRef } from "./src/volatile/volatile_ref.ts";
export { type TypedArray, VolatileSlice } from "./src/volatile/volatile_slice.ts";

// guest/: regions, maps of regions, and maps that change
export type { AccessCallback, AccessTarget } from "./src/guest/access.ts";
export {
  type GuestAddressSpace,
  GuestMemoryAtomic,
  GuestMemoryExclusiveGuard,
  GuestMemoryLoadGuard,
  type SharedGuestMemory,
} from "./src/guest/address_space.ts";
export { dirtyRuns, type GuestDirtyRun } from "./src/guest/dirty_runs.ts";
export { DirtySet, takeDirty, type TakenPart } from "./src/guest/dirty_set.ts";
export { GuestMemory, stopOnError } from "./src/guest/guest_memory.ts";
export { HostRegion, type RegionOptions } from "./src/guest/host_region.ts";
export { IoMemory } from "./src/guest/io_memory.ts";
export { RefCount } from "./src/guest/ref_count.ts";
export { GuestMemoryRegion, type RegionFile } from "./src/guest/region.ts";
export { GuestMemoryRegionBytes } from "./src/guest/region_bytes.ts";
export { GuestRegionCollection } from "./src/guest/region_collection.ts";
export type { GuestRange } from "./src/guest/vectored.ts";
export { readFromStream, writeToStream } from "./src/guest/web_stream.ts";

// iommu/: the same behind an IOMMU
export { type Iommu, IommuMemory, type IommuMemoryOptions } from "./src/iommu/iommu_memory.ts";
export { Iotlb, type MappedRange } from "./src/iommu/iotlb.ts";

// backend/: where memory comes from
export { GuestMemoryHeap, GuestRegionHeap, type HeapOptions } from "./src/backend/heap.ts";
export {
  type AnonymousOptions,
  Backing,
  type FileBackingOptions,
  type MemfdOptions,
} from "./src/backend/mmap/backing.ts";
export {
  type BackingName,
  type CallName,
  type Capabilities,
  capabilities,
  type Capability,
  type OptionName,
  type TrackerName,
} from "./src/backend/mmap/capabilities.ts";
export { EventFd, type EventFdOptions } from "./src/backend/mmap/event_fd.ts";
export { Fd, PositionedFd } from "./src/backend/mmap/fd.ts";
export type { OnLeaseBreak } from "./src/backend/mmap/file_lease.ts";
export { FileOffset } from "./src/backend/mmap/file_offset.ts";
export {
  type GuestMemoryHandle,
  GuestMemoryMmap,
  type MmapRange,
} from "./src/backend/mmap/guest_memory_mmap.ts";
export { GuestRegionMmap } from "./src/backend/mmap/guest_region_mmap.ts";
export type { MappingHandle } from "./src/backend/mmap/mapping.ts";
export type { MmapRegionHandle } from "./src/backend/mmap/mmap_handle.ts";
export type { MmapOptions, NumaPlacement } from "./src/backend/mmap/mmap_options.ts";
export { MmapRegion } from "./src/backend/mmap/mmap_region.ts";
export type { PrefaultOptions } from "./src/backend/mmap/prefault.ts";
export type { RegionDescription } from "./src/backend/mmap/region_description.ts";
export { ReceivedMessage } from "./src/backend/mmap/received_message.ts";
export { UnixListener, type UnixListenOptions } from "./src/backend/mmap/unix_listener.ts";
export { type ReceiveOptions, UnixSocket } from "./src/backend/mmap/unix_socket.ts";
export { membarrier } from "./ffi/barrier.ts";
export { closeDescriptor } from "./ffi/descriptor.ts";
export type { FileWithDescriptor, FileWithPosition, OpenFile } from "./ffi/descriptor_of.ts";
export { pageSize } from "./ffi/memory.ts";
export type { Advice } from "./ffi/platform.ts";
export type { PeerCredentials } from "./ffi/socket.ts";
