/**
 * Values that do not lie in one piece of memory: put together, or taken apart, in a buffer.
 *
 * @module
 */
import type { ByteValued } from "./byte_valued.ts";
import type { Bytes } from "./bytes.ts";
import { withScratch } from "./scratch.ts";

/** Reads a value by `readSlice`, with its errors. */
export function readSplit<T, A extends number>(memory: Bytes<A>, codec: ByteValued<T>, addr: A): T {
  return withScratch(codec.byteLength, (scratch, bytes) => {
    memory.readSlice(bytes, addr);
    return codec.read(scratch, 0);
  });
}

/** Writes a value by `writeSlice`, with its errors. */
export function writeSplit<T, A extends number>(
  memory: Bytes<A>,
  codec: ByteValued<T>,
  value: T,
  addr: A,
): void {
  withScratch(codec.byteLength, (scratch, bytes) => {
    codec.write(scratch, 0, value);
    memory.writeSlice(bytes, addr);
  });
}
