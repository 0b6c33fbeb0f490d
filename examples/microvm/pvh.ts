/**
 * The start information of a kernel with a PVH entry: `xen/include/public/arch-x86/hvm/start_info.h`.
 * Simpler than the zero page, and not only for Linux.
 *
 * @module
 */
import { array, type GuestMemory, struct, u32le, u64le } from "@vmm/guest-memory";
import { memoryMap } from "./e820.ts";
import { COMMAND_LINE, PVH_INFO, PVH_MEMORY_MAP, PVH_MODULES } from "./layout.ts";
import type { Ramdisk } from "./zero_page.ts";

const StartInfo = struct({
  magic: u32le,
  version: u32le,
  flags: u32le,
  moduleCount: u32le,
  modules: u64le,
  commandLine: u64le,
  rsdp: u64le,
  memoryMap: u64le,
  memoryMapEntries: u32le,
  reserved: u32le,
});
const Module = struct({ address: u64le, size: u64le, commandLine: u64le, reserved: u64le });
const MemoryMapEntry = struct({ address: u64le, size: u64le, type: u32le, reserved: u32le });

/** `XEN_HVM_START_MAGIC_VALUE`: "xEn3", with the highest bit of the "E" set. */
const MAGIC = 0x336ec578;
/** The first version with a memory map. */
const VERSION = 1;

/**
 * Writes the description of the machine, whose address goes in ebx.
 *
 * @param memory The memory.
 * @param ramdisk The initial RAM disk, if there is one.
 */
export function writeStartInfo(memory: GuestMemory, ramdisk: Ramdisk | undefined): void {
  const entries = memoryMap(memory).map((entry) => ({ ...entry, reserved: 0 }));
  memory.writeObj(array(MemoryMapEntry, entries.length), entries, PVH_MEMORY_MAP);
  if (ramdisk !== undefined) {
    const { start, size } = ramdisk;
    const module = { address: BigInt(start), size: BigInt(size), commandLine: 0n, reserved: 0n };
    memory.writeObj(Module, module, PVH_MODULES);
  }
  memory.writeObj(StartInfo, {
    magic: MAGIC,
    version: VERSION,
    flags: 0,
    moduleCount: ramdisk === undefined ? 0 : 1,
    modules: BigInt(ramdisk === undefined ? 0 : PVH_MODULES),
    commandLine: BigInt(COMMAND_LINE),
    rsdp: 0n,
    memoryMap: BigInt(PVH_MEMORY_MAP),
    memoryMapEntries: entries.length,
    reserved: 0,
  }, PVH_INFO);
}
