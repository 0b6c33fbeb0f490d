/**
 * Which addresses are memory, as the BIOS of a PC reports it (interrupt 0x15, eax 0xe820), for kernels
 * to read.
 *
 * @module
 */
import type { GuestMemory } from "@vmm/guest-memory";
import { HIGH_MEMORY, RESERVED_START } from "./layout.ts";

/** `E820_TYPE_RAM` of asm/e820/types.h. */
const RAM = 1;
/** `E820_TYPE_RESERVED`. */
const RESERVED = 2;

/** A range of addresses. */
export interface E820Entry {
  readonly address: bigint;
  readonly size: bigint;
  readonly type: number;
}

/**
 * The ranges of a machine: its memory, but for what a PC has below 1 MiB beside memory.
 *
 * @param memory The memory.
 */
export function memoryMap(memory: GuestMemory): E820Entry[] {
  const entries = [
    entry(0, RESERVED_START, RAM),
    entry(RESERVED_START, HIGH_MEMORY, RESERVED),
  ];
  for (const { startAddr, len } of memory) {
    const start = Math.max(startAddr, HIGH_MEMORY);
    if (startAddr + len > start) entries.push(entry(start, startAddr + len, RAM));
  }
  return entries;
}

function entry(start: number, end: number, type: number): E820Entry {
  return { address: BigInt(start), size: BigInt(end - start), type };
}
