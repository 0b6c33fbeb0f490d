/**
 * The line by which Linux introduces itself.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { GuestAddress, type GuestMemoryMmap } from "@vmm/guest-memory";

/** A banner, and where it is in the guest. */
export interface Banner {
  readonly address: number;
  readonly text: string;
}

const START = "Linux version ";
const LONGEST = 512;
const CHUNK = 2 ** 20;

/**
 * Finds `linux_banner` of a running kernel: with the compiler and the build's number, which other
 * texts that begin so do not have. Only pages that are there are read: others would be taken by it.
 *
 * @param memory The guest's memory.
 * @returns The first by address; `undefined` where there is none, as before the kernel is unpacked.
 */
export function findBanner(memory: GuestMemoryMmap): Banner | undefined {
  // What may begin in one chunk and end in the next is at the start of the buffer again.
  const buffer = Buffer.alloc(LONGEST + CHUNK);
  for (const [start, length] of memory.residentRanges()) {
    for (let done = 0; done < length; done += CHUNK) {
      const count = Math.min(CHUNK, length - done);
      const kept = done === 0 ? 0 : LONGEST;
      if (kept > 0) buffer.copyWithin(0, CHUNK, CHUNK + LONGEST);
      memory.readSlice(buffer.subarray(kept, kept + count), GuestAddress(start + done));
      const found = bannerIn(buffer.subarray(0, kept + count));
      if (found !== undefined) return { ...found, address: start + done - kept + found.address };
    }
  }
  return undefined;
}

function bannerIn(bytes: Buffer): Banner | undefined {
  for (let at = bytes.indexOf(START); at >= 0; at = bytes.indexOf(START, at + 1)) {
    const text = /^Linux version \d[ -~]+ \(.*\) .*#\d+[ -~]*/.exec(
      bytes.toString("latin1", at, at + LONGEST),
    )?.[0];
    if (text !== undefined) return { address: at, text: text.trimEnd() };
  }
  return undefined;
}
