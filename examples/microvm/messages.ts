/**
 * The messages between the main thread and the thread of a virtual CPU.
 *
 * A virtual CPU's thread is inside the guest nearly all the time, and receives nothing there. So
 * a sender of a message counts it first, and interrupts the thread after that: see
 * {@linkcode VcpuThread}.
 *
 * @module
 */
import type { GuestMemoryHandle } from "@vmm/guest-memory";
import type { Report } from "./ending.ts";

/** The words of the memory that both threads share. */
export const Control = {
  /** Messages that were sent and not handled yet. */
  pending: 0,
  /** The id of the virtual CPU's thread; 0 before it can be interrupted. */
  thread: 1,
  /** How many words there are. */
  words: 2,
} as const;

/** What a thread gets to work with. */
export interface Setup {
  /** The virtual CPU's number. */
  readonly id: number;
  /** Its descriptor. Descriptors belong to the process, so another thread may use them. */
  readonly vcpuFd: number;
  /** The machine's descriptor, to raise interrupts. */
  readonly vmFd: number;
  /** Bytes of the run page. */
  readonly runPageSize: number;
  /** The guest's memory. */
  readonly memory: GuestMemoryHandle;
  /** {@linkcode Control}. */
  readonly control: SharedArrayBuffer;
  /** Whether there are interrupt controllers. */
  readonly interrupts: boolean;
  /** See {@linkcode LoopOptions.floatingBus}. */
  readonly floatingBus: boolean;
}

/** What the main thread says. */
export type ToVcpu =
  /** Begin. */
  | { readonly type: "start"; readonly setup: Setup }
  /** Input was typed. */
  | { readonly type: "input"; readonly bytes: Uint8Array }
  /** The guest's memory has another map from now on. */
  | { readonly type: "memory"; readonly memory: GuestMemoryHandle }
  /** Stop for good. */
  | { readonly type: "stop" };

/** What the thread of a virtual CPU says. */
export type FromVcpu =
  /** The guest printed. `time` is in milliseconds since 1970. */
  | { readonly type: "output"; readonly bytes: Uint8Array; readonly time: number }
  /** The end: everything is released. */
  | { readonly type: "ended"; readonly report: Report };
