/**
 * Guest memory in two regions with a hole between them: bytes, values, structures, and what a wrong
 * address does. Run it with `deno run --allow-ffi examples/quick_start.ts`.
 *
 * @module
 */
import {
  GuestAddress,
  GuestMemoryError,
  GuestMemoryMmap,
  struct,
  u16le,
  u32le,
  u64le,
} from "@vmm/guest-memory";

// 1 GiB at 0 and 1 GiB at 4 GiB. Pages take memory when they are first touched.
using memory = GuestMemoryMmap.fromRanges([
  [GuestAddress(0), 2 ** 30],
  [GuestAddress(2 ** 32), 2 ** 30],
]);
for (const region of memory) console.log(`${region}`);

// Bytes.
const text = new TextEncoder().encode("Hello, guest!");
memory.writeSlice(text, GuestAddress(0x1000));
const copy = new Uint8Array(text.length);
memory.readSlice(copy, GuestAddress(0x1000));
console.log(`At 0x1000: ${new TextDecoder().decode(copy)}`);

// Values. An aligned one is a single access of the processor.
memory.writeObj(u32le, 0xcafe, GuestAddress(2 ** 32));
console.log(`At 4 GiB: 0x${memory.readObj(u32le, GuestAddress(2 ** 32)).toString(16)}`);

// Structures, laid out as in C.
const Descriptor = struct({ addr: u64le, len: u32le, flags: u16le, next: u16le });
memory.writeObj(Descriptor, { addr: 0x1000n, len: 13, flags: 0, next: 0 }, GuestAddress(0x2000));
const { addr, len } = memory.readObj(Descriptor, GuestAddress(0x2000));
console.log(`The descriptor at 0x2000 names ${len} bytes at 0x${addr.toString(16)}`);

// A guest may name any address: an access outside of the memory throws, and nothing else happens.
try {
  memory.readObj(u32le, GuestAddress(0x8000_0000));
} catch (error) {
  if (!(error instanceof GuestMemoryError)) throw error;
  console.log(`${error.name}: ${error.message}`);
}
// `read` and `write` stop at the hole, and return the count.
const written = memory.write(new Uint8Array(16), GuestAddress(2 ** 30 - 4));
console.log(`Of 16 bytes, ${written} fit before the hole`);
