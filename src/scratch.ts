/**
 * A small buffer to put values together in, used again and again: making a {@linkcode HostMemory}
 * costs a microsecond.
 *
 * @module
 */
import { HostMemory } from "./host_memory.ts";

/** Bytes up to which scratch memory is lent from stock. */
export const SCRATCH_SIZE = 4096;

let idle: HostMemory | undefined;

/**
 * Lends zeroed memory to a function for the time of its call. A codec may borrow too while it is lent,
 * and then gets another.
 *
 * @param size Bytes.
 * @param use The function: gets the memory, and its first `size` bytes.
 * @returns What the function returned.
 */
export function withScratch<T>(
  size: number,
  use: (memory: HostMemory, bytes: Uint8Array) => T,
): T {
  const memory = borrow(size);
  const bytes = memory.u8.subarray(0, size).fill(0);
  try {
    return use(memory, bytes);
  } finally {
    if (memory.u8.length === SCRATCH_SIZE) idle = memory;
  }
}

function borrow(size: number): HostMemory {
  const memory = idle;
  if (memory === undefined || size > SCRATCH_SIZE) {
    return new HostMemory(new ArrayBuffer(Math.max(size, SCRATCH_SIZE)));
  }
  idle = undefined;
  return memory;
}
