/**
 * Seals: proof that a text comes from this process.
 *
 * @module
 */
import { processSecret } from "../../../ffi/process.ts";

/**
 * A seal of a text, which only code of this process with FFI can make: HalfSipHash-2-4 with 64 bits,
 * keyed by the process (Aumasson and Bernstein, SipHash, with words of 32 bits).
 */
export function sealOf(text: string): string {
  return halfSipHash(processSecret(), new TextEncoder().encode(text));
}

/**
 * HalfSipHash-2-4 of some bytes.
 *
 * @param key Two words.
 * @returns 64 bits, as 16 hexadecimal digits.
 */
export function halfSipHash(key: Uint32Array, bytes: Uint8Array): string {
  const [k0 = 0, k1 = 0] = key;
  let [v0, v1, v2, v3] = [k0, k1 ^ 0xee, k0 ^ 0x6c796765, k1 ^ 0x74656462];
  const rotate = (x: number, n: number) => x << n | x >>> 32 - n;
  const rounds = (count: number) => {
    for (let i = 0; i < count; i++) {
      v0 = v0 + v1 | 0;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 = v2 + v3 | 0;
      v3 = rotate(v3, 8) ^ v2;
      v0 = v0 + v3 | 0;
      v3 = rotate(v3, 7) ^ v0;
      v2 = v2 + v1 | 0;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
    }
  };
  const absorb = (word: number) => {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const whole = bytes.length & ~3;
  for (let i = 0; i < whole; i += 4) absorb(view.getInt32(i, true));
  let last = bytes.length << 24;
  for (let i = whole; i < bytes.length; i++) last |= bytes[i]! << 8 * (i - whole);
  absorb(last);
  v2 ^= 0xee;
  rounds(4);
  const low = v1 ^ v3;
  v1 ^= 0xdd;
  rounds(4);
  return hex(low) + hex(v1 ^ v3);
}

// The bytes of a word from the first on.
function hex(word: number): string {
  const bytes = [0, 8, 16, 24].map((shift) => word >>> shift & 0xff);
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
