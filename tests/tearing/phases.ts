/**
 * What is written and read at one place by two threads, and how they synchronise.
 *
 * @module
 */
import { type AtomicAccess, i16, i32, i64, u16, u32, u64 } from "../../mod.ts";

/** Bytes of the mapping that both threads use. */
export const SIZE = 4096;
/** Where in it the integer is: a multiple of 8. */
export const AT = 1024;

/** The words by which the threads report where they are. */
export const Control = {
  /** The number of the phase, from 1; -1 to end. Set by the reader. */
  PHASE: 0,
  /** The phase that the writer is in. */
  WRITING: 64,
  /** Bytes of it all. */
  BYTES: 1024,
} as const;

/** What the writer is sent. */
export interface Order {
  /** The host address of the mapping. */
  readonly pointer: bigint;
  /** The words of {@linkcode Control}. */
  readonly control: SharedArrayBuffer;
}

/** One way to write and one way to read an integer. `dataView` is the control, which may tear. */
export interface Phase<T extends number | bigint = number | bigint> {
  readonly bits: 16 | 32 | 64;
  readonly codec: AtomicAccess<T>;
  /** The value whose bits are all one; 0 is the other. */
  readonly ones: T;
  readonly zeros: T;
  readonly write: "writeObj" | "store" | "dataView";
  readonly read: "readObj" | "load" | "dataView";
}

function phasesOf<T extends number | bigint>(
  bits: 16 | 32 | 64,
  [unsigned, signed]: [AtomicAccess<T>, AtomicAccess<T>],
  zeros: T,
  [allOnes, minusOne]: [T, T],
): Phase<T>[] {
  const one = { bits, codec: unsigned, zeros, ones: allOnes } as const;
  const other = { bits, codec: signed, zeros, ones: minusOne } as const;
  return [
    { ...one, write: "writeObj", read: "readObj" },
    { ...other, write: "writeObj", read: "readObj" },
    { ...one, write: "store", read: "load" },
    { ...other, write: "store", read: "load" },
    { ...one, write: "writeObj", read: "load" },
    { ...other, write: "store", read: "readObj" },
  ];
}

const scalars = [
  ...phasesOf(16, [u16, i16], 0, [0xffff, -1]),
  ...phasesOf(32, [u32, i32], 0, [0xffff_ffff, -1]),
];
const bigints = phasesOf(64, [u64, i64], 0n, [2n ** 64n - 1n, -1n]);

/** The phases in order; the last is the control. */
export const PHASES: readonly (Phase<number> | Phase<bigint>)[] = [
  ...scalars,
  ...bigints,
  { bits: 64, codec: u64, zeros: 0n, ones: 2n ** 64n - 1n, write: "dataView", read: "dataView" },
];
