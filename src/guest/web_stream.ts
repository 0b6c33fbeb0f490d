/**
 * Web streams: asynchronous transfers between memory and the network, with backpressure.
 *
 * @module
 */
import type { Bytes } from "../volatile/bytes.ts";
import { InvalidGuestAddress } from "../error/guest_memory_error.ts";
import { byteLength, bytesOf } from "../host/bytes.ts";
import { InvalidBackendAddress } from "../error/volatile_memory_error.ts";
import { checkAddress, checkCount } from "../text/argument.ts";

// Bytes of a chunk, unless less is left.
const CHUNK = 65_536;

/**
 * Reads a stream into memory: at most `count` bytes, and no more than memory has there. Marks what
 * it wrote dirty.
 *
 * @typeParam A What an address is.
 * @param memory Guest memory, a region or a slice.
 * @param addr Where to write.
 * @param stream The stream. The rest of it is cancelled, unless the stream ended.
 * @param count Bytes at most.
 * @returns Bytes read: fewer than `count` where the stream or the memory ended.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryHeap, readFromStream } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const body = new Blob(["hello"]).stream();
 * assertEquals(await readFromStream(memory, GuestAddress(8), body, 0x1000), 5);
 * ```
 */
export async function readFromStream<A extends number>(
  memory: Bytes<A>,
  addr: A,
  stream: ReadableStream<Uint8Array>,
  count: number,
): Promise<number> {
  checkAddress(addr);
  checkCount(count);
  if (count === 0) return 0;
  let done = 0;
  // Backpressure: the next chunk is requested when the last one is in memory.
  for await (const chunk of stream) {
    const length = byteLength(chunk);
    const part = bytesOf(chunk, 0, Math.min(length, count - done));
    const written = upToEnd(done, () => memory.write(part, addr + done as A));
    done += written;
    if (written < length || done === count) break;
  }
  return done;
}

/**
 * Writes memory to a stream: at most `count` bytes, and no more than memory has there. Waits
 * whenever the stream is not ready to take more.
 *
 * @typeParam A What an address is.
 * @param memory Guest memory, a region or a slice.
 * @param addr Where to read.
 * @param stream The stream. It is left open.
 * @param count Bytes at most.
 * @returns Bytes written: fewer than `count` where the memory ended.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryHeap, writeToStream } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x1000]]);
 * const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
 * const text = new Response(readable).bytes();
 * assertEquals(await writeToStream(memory, GuestAddress(0), writable, 16), 16);
 * await writable.close();
 * assertEquals(await text, new Uint8Array(16));
 * ```
 */
export async function writeToStream<A extends number>(
  memory: Bytes<A>,
  addr: A,
  stream: WritableStream<Uint8Array>,
  count: number,
): Promise<number> {
  checkAddress(addr);
  checkCount(count);
  const writer = stream.getWriter();
  try {
    let done = 0;
    while (done < count) {
      await writer.ready;
      // A new chunk each time: the stream owns it from then on.
      const chunk = new Uint8Array(Math.min(CHUNK, count - done));
      const read = upToEnd(done, () => memory.read(chunk, addr + done as A));
      if (read === 0) break;
      await writer.write(chunk.subarray(0, read));
      done += read;
      if (read < chunk.length) break;
    }
    return done;
  } finally {
    writer.releaseLock();
  }
}

// A transfer that begins where the memory ends is an error only for the first chunk.
function upToEnd(done: number, transfer: () => number): number {
  try {
    return transfer();
  } catch (error) {
    const ended = error instanceof InvalidGuestAddress || error instanceof InvalidBackendAddress;
    if (done > 0 && ended) return 0;
    throw error;
  }
}
