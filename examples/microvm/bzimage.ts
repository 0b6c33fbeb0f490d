/**
 * Loads a kernel as distributions ship it: a bzImage, which unpacks itself.
 * Documentation/arch/x86/boot.rst.
 *
 * @module
 */
import { GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import type { ImageFile } from "./image_file.ts";
import { HIGH_MEMORY } from "./layout.ts";
import { MicrovmError } from "./microvm_error.ts";
import {
  BOOT_FLAG,
  HAS_64_BIT_ENTRY,
  HEADER_MAGIC,
  LOADED_HIGH,
  SETUP_HEADER,
  SetupHeader,
} from "./setup_header.ts";

const SECTOR = 512;
/** `setup_sects` of kernels that say 0. */
const DEFAULT_SECTORS = 4;
/** The first version with `xloadflags`: 2.12, of Linux 3.8. */
const LEAST_VERSION = 0x20c;
/** Where the 64-bit entry is, from the start of the protected-mode code. */
const ENTRY_OFFSET = 0x200;

/** A kernel in memory. */
export interface LoadedBzImage {
  /** The physical address of its 64-bit entry. */
  readonly entry: number;
  /** What it says of itself. */
  readonly header: SetupHeader;
  /** One past the last byte that it needs before it knows where memory is. */
  readonly end: number;
}

/**
 * The header of a bzImage.
 *
 * @param file Any file.
 * @returns The header, or `undefined` where it is something else.
 */
export function readSetupHeader(file: ImageFile): SetupHeader | undefined {
  const header = file.readObj(SetupHeader, SETUP_HEADER);
  return header?.bootFlag === BOOT_FLAG && header.magic === HEADER_MAGIC ? header : undefined;
}

/** Where the protected-mode code begins in the file: after the boot sector and the setup code. */
export function protectedModeOffset({ setupSectors }: SetupHeader): number {
  return ((setupSectors || DEFAULT_SECTORS) + 1) * SECTOR;
}

/**
 * Loads the protected-mode code to 1 MiB.
 *
 * @param file The file.
 * @param header Its header.
 * @param memory The memory.
 * @throws {MicrovmError} It cannot be booted here, or does not fit.
 */
export function loadBzImage(
  file: ImageFile,
  header: SetupHeader,
  memory: GuestMemory,
): LoadedBzImage {
  const { version, loadFlags, extendedLoadFlags, initSize } = header;
  if (version < LEAST_VERSION || (extendedLoadFlags & HAS_64_BIT_ENTRY) === 0) {
    throw new MicrovmError(`cannot boot ${file.name}: it is a kernel without a 64-bit entry`);
  }
  const offset = protectedModeOffset(header);
  if ((loadFlags & LOADED_HIGH) === 0 || offset >= file.size) {
    throw new MicrovmError(`cannot boot ${file.name}: it is truncated, or a zImage`);
  }
  const length = file.size - offset;
  // It unpacks to where it wants to be, or where it is if that is higher.
  const unpacked = Math.max(Number(header.preferredAddress), HIGH_MEMORY);
  file.demandRoom(memory, HIGH_MEMORY, Math.max(length, unpacked + initSize - HIGH_MEMORY));
  file.load(memory, HIGH_MEMORY, offset, length);
  const end = GuestAddress(Math.max(HIGH_MEMORY + length, unpacked + initSize));
  return { entry: HIGH_MEMORY + ENTRY_OFFSET, header, end };
}
