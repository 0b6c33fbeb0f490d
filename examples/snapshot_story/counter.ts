/**
 * Who counts, and where it does so.
 *
 * @module
 */
import { GuestAddress, type GuestMemory, type GuestMemoryMmap, u32 } from "@vmm/guest-memory";
import type { VcpuState } from "../microvm/vcpu_state.ts";

/** Bytes of memory. */
export const MEMORY_SIZE: number = 2 ** 19;
/** Where the counter is. */
export const COUNTER: GuestAddress = GuestAddress(0x2000);
/** Where the pages begin of which each count writes one: the second half. */
export const CANVAS: GuestAddress = GuestAddress(MEMORY_SIZE / 2);
/** How many there are. Count n writes number n, and begins again after the last. */
export const CANVAS_PAGES = 64;
/** Bytes of a page, as the guest has them. */
export const PAGE = 4096;

/** What a guest has beside its memory, to continue: nothing where it is a Worker. */
export type CounterState = VcpuState | undefined;

/**
 * Something that counts in a memory, which belongs to it. Each count adds 1 to the counter, and writes
 * the counter's lowest two bits to the page of the count: every fourth page gets zeros.
 */
export interface Counter extends AsyncDisposable {
  /** Counts so many times. */
  count(times: number): Promise<void>;
  /** What it takes to continue, beside the memory. */
  save(): CounterState;
}

/** A way to count. */
export interface Counting extends AsyncDisposable {
  /** What counts, in a few words. */
  readonly what: string;
  /** Makes a counter in new memory. */
  start(memory: GuestMemoryMmap): Counter;
  /** Continues what another counter did in a copy of its memory. */
  resume(memory: GuestMemoryMmap, state: CounterState): Counter;
}

/** How far a memory has been counted. */
export function countIn(memory: GuestMemory): number {
  return memory.readObj(u32, COUNTER);
}
