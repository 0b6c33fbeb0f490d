/**
 * Programs of a few bytes.
 *
 * @module
 */
import { asSlice, u32le } from "@vmm/guest-memory";

/** The bytes of a program. */
export function assembled(...parts: readonly (readonly number[] | Uint8Array)[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** The bytes of a 32-bit operand. */
export function word(value: number): Uint8Array {
  return asSlice(u32le, value);
}
