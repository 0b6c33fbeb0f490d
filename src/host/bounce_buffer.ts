/**
 * A small buffer for values and streams that are not in one piece of memory. It is reused: making a
 * {@linkcode HostMemory} takes a microsecond.
 *
 * @module
 */
import { HostMemory } from "./host_memory.ts";

/** Bytes of the buffer that is reused. A larger one is made for each use. */
export const BOUNCE_BUFFER_SIZE = 4096;

let idle: HostMemory | undefined;

/**
 * Calls a function with a zeroed bounce buffer, which is reused afterwards. Re-entrant: a nested
 * call gets a different buffer.
 *
 * @param size Bytes.
 * @param use The function: gets the memory, and its first `size` bytes.
 * @returns What the function returned.
 */
export function withBounceBuffer<T>(
  size: number,
  use: (memory: HostMemory, bytes: Uint8Array) => T,
): T {
  const memory = borrowBounceBuffer(size);
  try {
    return use(memory, memory.u8.subarray(0, size));
  } finally {
    returnBounceBuffer(memory);
  }
}

/** A bounce buffer whose first `size` bytes are zero, to be returned after use. */
export function borrowBounceBuffer(size: number): HostMemory {
  const memory = idle;
  if (memory === undefined || size > BOUNCE_BUFFER_SIZE) {
    return new HostMemory(new ArrayBuffer(Math.max(size, BOUNCE_BUFFER_SIZE)));
  }
  idle = undefined;
  memory.u8.fill(0, 0, size);
  return memory;
}

/** Takes a bounce buffer back, to be lent again. */
export function returnBounceBuffer(memory: HostMemory): void {
  // A codec may have closed it.
  const { length } = memory.u8;
  if (length === BOUNCE_BUFFER_SIZE && memory.canAccess(0, length)) idle = memory;
}
