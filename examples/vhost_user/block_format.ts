/**
 * Formats of a block device: VIRTIO 1.2, section 5.2.
 *
 * @module
 */
import { asSlice, type ByteValued, struct, u16le, u32le, u64le, u8 } from "@vmm/guest-memory";

/** Bytes of a sector, in all numbers of the device. */
export const SECTOR = 512;
/** Bytes of a block that the driver should use. */
const BLOCK = 512;
/** Buffers of a request, at most: what fits a queue of 128 beside the header and the status. */
export const MAX_SEGMENTS = 126;
/** Sectors that one request discards or writes zeros to, at most. */
export const MAX_DISCARD_SECTORS: number = 2 ** 22;
/** Ranges of such a request, at most. */
export const MAX_DISCARD_SEGMENTS = 16;

/** Features: bit numbers. */
export const BlockFeature = {
  maxSegments: 2,
  readOnly: 5,
  blockSize: 6,
  flush: 9,
  topology: 10,
  multiqueue: 12,
  discard: 13,
  writeZeroes: 14,
} as const;

/** What a request asks for. */
export const Type = { in: 0, out: 1, flush: 4, getId: 8, discard: 11, writeZeroes: 13 } as const;
/** How it ended. */
export const Status = { ok: 0, ioError: 1, unsupported: 2 } as const;

/** The beginning of a request. */
export const RequestHeader: ByteValued<{
  readonly type: number;
  readonly reserved: number;
  readonly sector: bigint;
}> = struct({ type: u32le, reserved: u32le, sector: u64le });

/** A range of a discard, or of zeros. Bit 0 of the flags allows zeros to become holes. */
export const DiscardSegment: ByteValued<{
  readonly sector: bigint;
  readonly count: number;
  readonly flags: number;
}> = struct({ sector: u64le, count: u32le, flags: u32le });
/** Bytes of a {@linkcode DiscardSegment}. */
export const DISCARD_SEGMENT_BYTES = 16;

const Config = struct({
  capacity: u64le,
  sizeMax: u32le,
  segMax: u32le,
  cylinders: u16le,
  heads: u8,
  sectors: u8,
  blkSize: u32le,
  physicalBlockExp: u8,
  alignmentOffset: u8,
  minIoSize: u16le,
  optIoSize: u32le,
  writeback: u8,
  unused0: u8,
  numQueues: u16le,
  maxDiscardSectors: u32le,
  maxDiscardSeg: u32le,
  discardSectorAlignment: u32le,
  maxWriteZeroesSectors: u32le,
  maxWriteZeroesSeg: u32le,
  writeZeroesMayUnmap: u8,
}, { packed: true });

/** The configuration space of a disk. */
export function configOf(bytes: number, queues: number): Uint8Array {
  return asSlice(Config, {
    capacity: BigInt(Math.floor(bytes / SECTOR)),
    sizeMax: 0,
    segMax: MAX_SEGMENTS,
    cylinders: 0,
    heads: 0,
    sectors: 0,
    blkSize: BLOCK,
    // A page of the host.
    physicalBlockExp: 3,
    alignmentOffset: 0,
    minIoSize: 8,
    optIoSize: 0,
    writeback: 1,
    unused0: 0,
    numQueues: queues,
    maxDiscardSectors: MAX_DISCARD_SECTORS,
    maxDiscardSeg: MAX_DISCARD_SEGMENTS,
    discardSectorAlignment: 8,
    maxWriteZeroesSectors: MAX_DISCARD_SECTORS,
    maxWriteZeroesSeg: MAX_DISCARD_SEGMENTS,
    writeZeroesMayUnmap: 1,
  });
}
