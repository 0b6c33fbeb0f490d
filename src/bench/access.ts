/**
 * An access that is measured on every kind of memory.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import type { IoMemory } from "../guest/io_memory.ts";
import type { Case } from "./harness.ts";

/** A table of addresses: see `addressTable`. */
export type Addresses = readonly GuestAddress[];

/** Does something so many times, in a loop of its own. */
export type Run = Case["run"];

/** An access. */
export interface Access {
  /** What it is, such as `u32 read, random`. */
  readonly name: string;
  /** Bytes of each. */
  readonly length: number;
  /** What it does to memory. */
  readonly direction: "read" | "write";
  /**
   * Where it is done.
   *
   * @param boundary The address of the second of two adjacent regions, if there are two.
   * @returns The addresses; `undefined` for an access over a boundary where there is none.
   */
  addresses(boundary: number | undefined): Addresses | undefined;
  /** The loop over bare typed arrays, which checks nothing. */
  bare(arrays: BareArrays, at: Addresses): Run;
  /** The loop over memory. */
  through(memory: IoMemory, at: Addresses): Run;
  /** Does it once: fills the bytes from memory, or writes them to it. */
  once(memory: IoMemory, at: GuestAddress, bytes: Uint8Array): void;
}

/** What a program without this library would use. */
export interface BareArrays {
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;
  readonly u64: BigUint64Array;
}

/** Typed arrays over a buffer, whose pages are present then. */
export function bareArrays(buffer: ArrayBufferLike): BareArrays {
  return {
    u8: new Uint8Array(buffer).fill(0xa5),
    u16: new Uint16Array(buffer),
    u32: new Uint32Array(buffer),
    u64: new BigUint64Array(buffer),
  };
}
