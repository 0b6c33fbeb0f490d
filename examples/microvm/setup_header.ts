/**
 * The header of Linux's setup code: what a kernel says of itself to its loader, and what the loader
 * says to the kernel. Documentation/arch/x86/boot.rst, "The real-mode kernel header".
 *
 * @module
 */
import { bytes, type ByteValued, struct, u16le, u32le, u64le, u8 } from "@vmm/guest-memory";

/** Where the header is: in a bzImage, and in the zero page. */
export const SETUP_HEADER = 0x1f1;
/** `boot_flag`. */
export const BOOT_FLAG = 0xaa55;
/** `header`: "HdrS". */
export const HEADER_MAGIC = 0x53726448;
/** `type_of_loader`: one without an assigned number. */
export const LOADER_UNDEFINED = 0xff;
/** `loadflags`: the kernel goes to 1 MiB. */
export const LOADED_HIGH = 1;
/** `xloadflags`: it has a 64-bit entry, 0x200 from its start. */
export const HAS_64_BIT_ENTRY = 1;

/** The fields, in their order. What a loader has no use for is padding here. */
export interface SetupHeader {
  /** Sectors of the setup code, after the boot sector; 0 means 4. */
  setupSectors: number;
  padding1: Uint8Array;
  bootFlag: number;
  jump: number;
  magic: number;
  /** Of the boot protocol: 0x20c is 2.12. */
  version: number;
  padding2: Uint8Array;
  loaderType: number;
  loadFlags: number;
  padding3: Uint8Array;
  ramdiskImage: number;
  ramdiskSize: number;
  padding4: Uint8Array;
  commandLine: number;
  /** The highest address that the initial RAM disk's last byte may have. */
  ramdiskLast: number;
  kernelAlignment: number;
  relocatable: number;
  minimumAlignment: number;
  extendedLoadFlags: number;
  /** The longest command line, without the NUL. */
  commandLineSize: number;
  padding5: Uint8Array;
  /** Where the compressed kernel is, from the start of the protected-mode code. */
  payloadOffset: number;
  payloadLength: number;
  setupData: bigint;
  /** Where the kernel will be when it is unpacked. */
  preferredAddress: bigint;
  /** Bytes that it needs there to unpack and begin. */
  initSize: number;
}

/** The header in memory, up to version 2.12. */
export const SetupHeader: ByteValued<SetupHeader> = struct({
  setupSectors: u8, // 0x1f1
  padding1: bytes(12),
  bootFlag: u16le, // 0x1fe
  jump: u16le,
  magic: u32le, // 0x202
  version: u16le,
  padding2: bytes(8),
  loaderType: u8, // 0x210
  loadFlags: u8,
  padding3: bytes(6),
  ramdiskImage: u32le, // 0x218
  ramdiskSize: u32le,
  padding4: bytes(8),
  commandLine: u32le, // 0x228
  ramdiskLast: u32le,
  kernelAlignment: u32le, // 0x230
  relocatable: u8,
  minimumAlignment: u8,
  extendedLoadFlags: u16le, // 0x236
  commandLineSize: u32le,
  padding5: bytes(12),
  payloadOffset: u32le, // 0x248
  payloadLength: u32le,
  setupData: u64le, // 0x250
  preferredAddress: u64le, // 0x258
  initSize: u32le, // 0x260
}, { packed: true });
