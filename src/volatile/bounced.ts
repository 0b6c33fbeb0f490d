/**
 * Values through a bounce buffer, where memory has no slice that has all of them.
 *
 * @module
 */
import type { ByteValued } from "../codec/byte_valued.ts";
import { withBounceBuffer } from "../host/bounce_buffer.ts";
import type { Bytes } from "./bytes.ts";

/** Reads a value by `readSlice`, and throws its errors. */
export function readBounced<T, A extends number>(
  memory: Bytes<A>,
  codec: ByteValued<T>,
  addr: A,
): T {
  return withBounceBuffer(codec.byteLength, (buffer, bytes) => {
    memory.readSlice(bytes, addr);
    return codec.read(buffer, 0);
  });
}

/** Writes a value by `writeSlice`, and throws its errors. */
export function writeBounced<T, A extends number>(
  memory: Bytes<A>,
  codec: ByteValued<T>,
  value: T,
  addr: A,
): void {
  withBounceBuffer(codec.byteLength, (buffer, bytes) => {
    codec.write(buffer, 0, value);
    buffer.ensureOpen();
    memory.writeSlice(bytes, addr);
  });
}
