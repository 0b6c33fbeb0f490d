/**
 * Whether memory does what it should: a benchmark of one that does not is worth nothing.
 *
 * @module
 */
import { GuestAddress } from "../address.ts";
import type { IoMemory } from "../guest/io_memory.ts";
import { hex } from "../text/number_format.ts";
import type { Access, Addresses } from "./access.ts";
import { reasonOf } from "./backend.ts";
import { KIB, MASK, randomIntegers } from "./workload.ts";

/** What came of trying an access. */
export interface Verdict {
  /** Whether it is right, wrong, or not there by the contract of memory elsewhere. */
  readonly outcome: "right" | "wrong" | "unavailable";
  /** Why it is not right. */
  readonly reason: string | null;
}

const RIGHT: Verdict = { outcome: "right", reason: null };

/**
 * Tries an access once at each of a few addresses, and looks at the bytes, and beside them.
 *
 * @param access The access.
 * @param memory The memory. Its content is overwritten.
 * @param at The addresses of the access.
 * @param size Bytes of the memory.
 */
export function checkAccess(
  access: Access,
  memory: IoMemory,
  at: Addresses,
  size: number,
): Verdict {
  return verdictOf(() => {
    const some = new Set([0, 1, MASK >> 1, MASK].map((index) => at[index]!));
    for (const address of some) tryAccess(access, memory, address, size);
  });
}

/**
 * Writes all of the memory, so that its pages are present.
 *
 * @param memory The memory.
 * @param size Its bytes.
 */
export function fillMemory(memory: IoMemory, size: number): Verdict {
  const bytes = new Uint8Array(64 * KIB).fill(0xa5);
  return verdictOf(() => {
    for (let at = 0; at < size; at += bytes.length) memory.writeSlice(bytes, GuestAddress(at));
  });
}

function verdictOf(attempt: () => void): Verdict {
  try {
    attempt();
    return RIGHT;
  } catch (error) {
    // By its name: the memory may be of another copy of this library.
    const isUnavailable = (error as Error)?.name === "HostAddressNotAvailable";
    return { outcome: isUnavailable ? "unavailable" : "wrong", reason: reasonOf(error) };
  }
}

// Bytes beside those of an access that it must leave alone.
const BESIDE = 8;

function tryAccess(
  { direction, length, once }: Access,
  memory: IoMemory,
  at: GuestAddress,
  size: number,
): void {
  const start = GuestAddress(Math.max(at - BESIDE, 0));
  const end = Math.min(at + length + BESIDE, size);
  const expected = randomBytes(end - start);
  memory.writeSlice(expected, start);
  const accessed = expected.subarray(at - start, at - start + length);
  if (direction === "read") {
    const got = new Uint8Array(length);
    once(memory, at, got);
    ensureSame("returned", got, accessed, at);
    return;
  }
  for (let i = 0; i < length; i++) accessed[i]! ^= 0xff;
  once(memory, at, accessed.slice());
  const got = new Uint8Array(expected.length);
  memory.readSlice(got, start);
  ensureSame("left", got, expected, start);
}

function ensureSame(
  did: "returned" | "left",
  got: Uint8Array,
  expected: Uint8Array,
  start: number,
): void {
  const wrong = got.findIndex((byte, i) => byte !== expected[i]);
  if (wrong === -1) return;
  const [is, due] = [got[wrong]!, expected[wrong]!];
  throw new Error(`it ${did} ${hex(is)} at ${hex(start + wrong)}, not ${hex(due)}`);
}

const nextBelow = randomIntegers();

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, () => nextBelow(2 ** 32));
  return new Uint8Array(words.buffer, 0, length);
}
