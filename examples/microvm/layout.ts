/**
 * The layout of the guest's memory. The places in low memory are those of Firecracker.
 *
 * @module
 */
import { GuestAddress } from "@vmm/guest-memory";

const GIB = 2 ** 30;

/** The global descriptor table: what the segment registers refer to. */
export const GDT: GuestAddress = GuestAddress(0x500);
/** The interrupt descriptor table: empty, so any exception before the guest sets its own is fatal. */
export const IDT: GuestAddress = GuestAddress(0x520);
/** PVH's description of the machine (`hvm_start_info`), its modules and its memory map. */
export const PVH_INFO: GuestAddress = GuestAddress(0x6000);
/** PVH's list of modules. */
export const PVH_MODULES: GuestAddress = GuestAddress(0x6040);
/** PVH's memory map. */
export const PVH_MEMORY_MAP: GuestAddress = GuestAddress(0x6080);
/** Linux's description of the machine (`boot_params`), which everybody calls the zero page. */
export const ZERO_PAGE: GuestAddress = GuestAddress(0x7000);
/** The first stack grows down from here. */
export const STACK_TOP: GuestAddress = GuestAddress(0x8ff0);
/** The page tables: six pages from here. */
export const PAGE_TABLES: GuestAddress = GuestAddress(0x9000);
/** The kernel's command line. */
export const COMMAND_LINE: GuestAddress = GuestAddress(0x20000);
/** Its longest: `COMMAND_LINE_SIZE` of Linux on x86, with the NUL. */
export const COMMAND_LINE_SIZE = 2048;
/** Where a PC has its BIOS data, its video memory and its ROMs: no RAM for the kernel. */
export const RESERVED_START: GuestAddress = GuestAddress(0x9fc00);
/** Where memory continues above them. */
export const HIGH_MEMORY: GuestAddress = GuestAddress(0x100000);
/** The hole for devices below 4 GiB, as Firecracker has it: interrupt controllers and such. */
const HOLE_START: GuestAddress = GuestAddress(3 * GIB);
/** Where memory continues above the hole. */
const HOLE_END: GuestAddress = GuestAddress(4 * GIB);

/**
 * The ranges of a machine's memory: one, or two with the hole between them.
 *
 * @param size Bytes of memory in all.
 */
export function memoryRanges(size: number): [start: GuestAddress, size: number][] {
  const low: [GuestAddress, number] = [GuestAddress(0), Math.min(size, HOLE_START)];
  return size <= HOLE_START ? [low] : [low, [HOLE_END, size - HOLE_START]];
}
