/**
 * Unpacks the ELF file that a bzImage carries, compressed.
 *
 * @module
 */
import { fromSlice, u32be, u32le } from "@vmm/guest-memory";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { protectedModeOffset, readSetupHeader } from "./bzimage.ts";
import type { ImageFile } from "./image_file.ts";
import { unpackLz4 } from "./lz4.ts";
import { MicrovmError } from "./microvm_error.ts";

/** The first bytes of what kernels are packed with, big-endian. */
const GZIP = 0x1f8b;
const LZ4 = 0x02214c18;
const ZSTD = 0x28b52ffd;

/**
 * Unpacks a kernel.
 *
 * @param file A bzImage.
 * @returns Its ELF file.
 * @throws {MicrovmError} It is no bzImage, or packed in a way that is not known here.
 */
export function unpackKernel(file: ImageFile): Uint8Array {
  const header = readSetupHeader(file);
  if (header === undefined) throw new MicrovmError(`cannot unpack ${file.name}: not a bzImage`);
  const { payloadOffset, payloadLength } = header;
  const packed = file.readAt(protectedModeOffset(header) + payloadOffset, payloadLength);
  if (packed.length < payloadLength || payloadLength < 8) {
    throw new MicrovmError(`cannot unpack ${file.name}: it is truncated`);
  }
  // The kernel's build appends the size that it unpacks to, but to gzip, which has it anyway.
  const size = fromSlice(u32le, packed.subarray(-4))!;
  const data = packed.subarray(0, -4);
  const magic = fromSlice(u32be, packed.subarray(0, 4))!;
  if (magic === LZ4) return unpackLz4(data, size);
  if (magic === ZSTD) return zstdDecompressSync(data);
  if (magic >>> 16 === GZIP) return gunzipSync(packed);
  throw new MicrovmError(
    `cannot unpack ${file.name}: it is packed with neither LZ4, Zstandard nor gzip`,
  );
}
