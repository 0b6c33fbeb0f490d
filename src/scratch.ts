/**
 * A small buffer to put values together in, used again and again: making a {@linkcode HostMemory}
 * costs a microsecond.
 *
 * @module
 */
import { HostMemory } from "./host_memory.ts";

const SCRATCH_SIZE = 4096;

let idle: HostMemory | undefined;

/**
 * Lends zeroed memory to a function for the time of its call.
 *
 * @param size Bytes.
 * @param use The function: gets the memory, and its first `size` bytes.
 * @returns What the function returned.
 */
export function withScratch<T>(size: number, use: (memory: HostMemory, bytes: Uint8Array) => T): T {
  // A codec may use scratch memory itself, so what is lent is not idle meanwhile.
  const memory = size <= SCRATCH_SIZE && idle !== undefined
    ? idle
    : new HostMemory(new ArrayBuffer(Math.max(size, SCRATCH_SIZE)));
  idle = undefined;
  const bytes = memory.u8.subarray(0, size);
  bytes.fill(0);
  try {
    return use(memory, bytes);
  } finally {
    if (memory.u8.length === SCRATCH_SIZE) idle = memory;
  }
}
