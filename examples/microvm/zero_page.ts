/**
 * The description of the machine for Linux: the zero page (`struct boot_params`).
 * Documentation/arch/x86/zero-page.rst.
 *
 * @module
 */
import {
  array,
  GuestAddress,
  type GuestMemory,
  struct,
  u32le,
  u64le,
  u8,
  zeroed,
} from "@vmm/guest-memory";
import { memoryMap } from "./e820.ts";
import { COMMAND_LINE, ZERO_PAGE } from "./layout.ts";
import {
  BOOT_FLAG,
  HEADER_MAGIC,
  LOADED_HIGH,
  LOADER_UNDEFINED,
  SETUP_HEADER,
  SetupHeader,
} from "./setup_header.ts";

const E820_ENTRIES = 0x1e8;
const E820_TABLE = 0x2d0;
const E820Entry = struct({ address: u64le, size: u64le, type: u32le }, { packed: true });
/** For a kernel without a description of itself: any value will do. */
const ALIGNMENT = 0x100_0000;

/** Where the initial RAM disk is. */
export interface Ramdisk {
  readonly start: number;
  readonly size: number;
}

/**
 * Writes the zero page.
 *
 * @param memory The memory, which is all zero there.
 * @param kernel What the kernel says of itself; an ELF file says nothing.
 * @param ramdisk The initial RAM disk, if there is one.
 */
export function writeZeroPage(
  memory: GuestMemory,
  kernel: SetupHeader | undefined,
  ramdisk: Ramdisk = { start: 0, size: 0 },
): void {
  const at = (offset: number) => GuestAddress(ZERO_PAGE + offset);
  const header = kernel ?? { ...zeroed(SetupHeader), kernelAlignment: ALIGNMENT, version: 0x20c };
  memory.writeObj(SetupHeader, {
    ...header,
    bootFlag: BOOT_FLAG,
    magic: HEADER_MAGIC,
    loaderType: LOADER_UNDEFINED,
    loadFlags: header.loadFlags | LOADED_HIGH,
    commandLine: COMMAND_LINE,
    ramdiskImage: ramdisk.start,
    ramdiskSize: ramdisk.size,
  }, at(SETUP_HEADER));
  const entries = memoryMap(memory);
  memory.writeObj(u8, entries.length, at(E820_ENTRIES));
  memory.writeObj(array(E820Entry, entries.length), entries, at(E820_TABLE));
}
