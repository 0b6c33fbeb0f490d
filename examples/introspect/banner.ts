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
  // What begins in the last bytes of one chunk is looked at with the next, before which they are kept.
  const buffer = Buffer.alloc(LONGEST + CHUNK);
  for (const [start, length] of memory.residentRanges()) {
    let kept = 0;
    for (let done = 0; done < length; done += CHUNK) {
      const count = Math.min(CHUNK, length - done);
      memory.readSlice(buffer.subarray(LONGEST, LONGEST + count), GuestAddress(start + done));
      const bytes = buffer.subarray(LONGEST - kept, LONGEST + count);
      const isLast = done + count === length;
      const found = bannerIn(bytes, isLast ? bytes.length : bytes.length - LONGEST);
      if (found !== undefined) return { ...found, address: start + done - kept + found.address };
      buffer.copyWithin(0, count, count + LONGEST);
      kept = LONGEST;
    }
  }
  return undefined;
}

// One that begins before an end.
function bannerIn(bytes: Buffer, end: number): Banner | undefined {
  for (let at = bytes.indexOf(START); at >= 0 && at < end; at = bytes.indexOf(START, at + 1)) {
    const text = /^Linux version \d[ -~]+ \(.*\) .*#\d+[ -~]*/.exec(
      bytes.toString("latin1", at, at + LONGEST),
    )?.[0];
    if (text !== undefined) return { address: at, text: text.trimEnd() };
  }
  return undefined;
}
