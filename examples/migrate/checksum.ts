/**
 * SHA-256 of a guest's memory.
 *
 * @module
 */
import { GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { createHash } from "node:crypto";

const PIECE = 2 ** 24;

/** SHA-256 of all regions, one after the other. Pause the guest. */
export function checksum(memory: GuestMemory): Uint8Array {
  const hash = createHash("sha256");
  for (const { startAddr, len } of memory) {
    for (let at = 0; at < len; at += PIECE) {
      const count = Math.min(PIECE, len - at);
      hash.update(memory.getSlice(GuestAddress(startAddr + at), count).readOnlyView());
    }
  }
  return hash.digest();
}
