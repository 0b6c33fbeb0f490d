/**
 * Stands in for QEMU: has a memfd named as its RAM, and writes what it is asked to.
 *
 * Arguments: bytes of RAM, then words as of QEMU's command line. Each line of the input is
 * `ADDRESS TEXT`: the text is written at the offset in its RAM. Prints `ready`, and each address when
 * it is written.
 *
 * @module
 */
import { Backing, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";

const NAME = "memory-backend-memfd";

using memory = GuestMemoryMmap.fromRanges(
  [[GuestAddress(0), Number(Deno.args[0])]],
  { backing: Backing.memfd({ name: NAME }) },
);
console.log("ready");
let rest = "";
for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + part).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    const [, address, text] = /^(\d+) (.*)$/.exec(line)!;
    memory.writeSlice(new TextEncoder().encode(text), GuestAddress(Number(address)));
    console.log(address);
  }
}
