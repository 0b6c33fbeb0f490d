/**
 * Copies of 64 B to 64 MiB through guest memory, of each kind: to be compared with the C library's
 * memcpy (`--limits` of the Rust peer).
 *
 * As there, both sides begin at a page, their pages are present, and a case copies the same bytes
 * again and again, so that up to the size of the caches it is they that are measured.
 *
 * @module
 */
import { GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { BACKENDS } from "../../../src/bench/built_in.ts";
import { consume } from "../../../src/bench/sink.ts";
import { alignedBytes, KIB, MIB } from "../../workload.ts";
import type { Case } from "../../../src/bench/harness.ts";

/** The sizes of the Rust peer's limits. */
export const COPY_SIZES: readonly number[] = [
  64,
  512,
  4 * KIB,
  64 * KIB,
  1 * MIB,
  16 * MIB,
  64 * MIB,
];

const LARGEST = 64 * MIB;
const PAGE = 4 * KIB;

/** The name of the Rust peer's case for a size; without one, what they begin with. */
export function memcpyName(size: number | ""): string {
  return `memcpy_${size}`;
}

/** The name of a case: what is done, in which kind of memory, how many bytes. */
export function copyName(direction: "read" | "write", backend: string, size: number): string {
  return `${direction} ${backend} ${size}`;
}

/**
 * The cases of every kind of memory there is here.
 *
 * @param filter What their names contain. Memory of which no case is wanted is not made.
 */
export function* copyCases(filter: string): Generator<Case> {
  const buffer = alignedBytes(LARGEST, PAGE).fill(0x5a);
  for (const { name, make } of BACKENDS) {
    const wanted = COPY_SIZES.flatMap((size) => [
      { direction: "read" as const, size },
      { direction: "write" as const, size },
    ]).filter(({ direction, size }) => copyName(direction, name, size).includes(filter));
    const memory = wanted.length > 0 ? make(LARGEST) : undefined;
    if (memory === undefined) continue;
    for (const { direction, size } of wanted) {
      const bytes = buffer.subarray(0, size);
      yield {
        name: copyName(direction, name, size),
        run: direction === "read" ? reading(memory, bytes) : writing(memory, bytes),
      };
    }
  }
}

// The second entry is the same as the first, which only we know.
const ADDRESSES: readonly GuestAddress[] = [GuestAddress(0), GuestAddress(0)];

function reading(memory: GuestMemory, bytes: Uint8Array): (iterations: number) => void {
  return (iterations) => {
    for (let i = 0; i < iterations; i++) consume(memory.read(bytes, ADDRESSES[i & 1]!));
  };
}

function writing(memory: GuestMemory, bytes: Uint8Array): (iterations: number) => void {
  return (iterations) => {
    for (let i = 0; i < iterations; i++) consume(memory.write(bytes, ADDRESSES[i & 1]!));
  };
}
