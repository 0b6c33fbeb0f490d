/**
 * What goes wrong at a virtqueue. Mirrors the enum `virtio_queue::Error`.
 *
 * @module
 */
import { nameErrors } from "./name_errors.ts";
import { GuestMemoryError } from "./guest_memory_error.ts";

/** Base of what a virtqueue throws. */
export class VirtqueueError extends GuestMemoryError {}

/** The size or an address of a queue is not possible: nothing can be read from it. */
export class InvalidQueue extends VirtqueueError {
  /**
   * Makes the error.
   *
   * @param reason What is wrong.
   */
  constructor(readonly reason: string) {
    super(`Cannot use the virtqueue: ${reason}`);
  }
}

/**
 * The driver made more chains available than the queue has entries: its index is further ahead, or
 * the device has as many chains already. The queue took nothing. The driver has to reset the device, which sets `DEVICE_NEEDS_RESET` (64) in its
 * status meanwhile.
 */
export class InvalidAvailRingIndex extends VirtqueueError {
  /**
   * Makes the error.
   *
   * @param index The driver's index.
   * @param nextAvail The index up to which the device has taken chains.
   * @param size Entries of the queue.
   * @param inUse Chains that the device has.
   */
  constructor(
    readonly index: number,
    readonly nextAvail: number,
    readonly size: number,
    readonly inUse: number,
  ) {
    super(
      `Cannot take a chain beyond ${nextAvail}: the driver's index is ${index}, the device has \
${inUse} chains, and the queue ${size} entries`,
    );
  }
}

/** Why a descriptor chain is refused: {@linkcode InvalidChain.problem}. */
export type ChainProblem =
  | "index"
  | "loop"
  | "length"
  | "order"
  | "address"
  | "indirect"
  | "table";

const PROBLEMS: Readonly<Record<ChainProblem, string>> = {
  index: "its index is not in the table",
  loop: "the chain has more descriptors than the queue, or a loop",
  length: "the chain is longer than 2^32 bytes",
  order: "it is readable, and follows one that is writable",
  address: "its bytes end beyond 2^53, where no memory is",
  indirect: "it is indirect, which was not negotiated, is inside a table, or has a next one",
  table: "its indirect table is empty, no whole number of descriptors, or not in memory",
};

/**
 * A descriptor chain breaks a rule of the specification. The queue took the chain, and nothing of
 * it was accessed: the next `pop()` takes the next chain. The device gives the chain back by
 * `addUsed(error.head, 0)`, or asks for a reset.
 */
export class InvalidChain extends VirtqueueError {
  /**
   * Makes the error.
   *
   * @param head The chain's first descriptor, as the available ring names it.
   * @param descriptor The wrong one: its index in the table that it is in.
   * @param problem What is wrong with it.
   * @param options The error of the access to an indirect table, as `cause`.
   */
  constructor(
    readonly head: number,
    readonly descriptor: number,
    readonly problem: ChainProblem,
    options?: ErrorOptions,
  ) {
    super(`Cannot use chain ${head}: descriptor ${descriptor}: ${PROBLEMS[problem]}`, options);
  }
}

/** A chain was given back to the driver already: its buffers belong to the driver. */
export class ChainUsed extends VirtqueueError {
  /** Makes the error. */
  constructor() {
    super("Cannot use a descriptor chain: it was given back to the driver");
  }
}

nameErrors({ VirtqueueError, InvalidQueue, InvalidAvailRingIndex, InvalidChain, ChainUsed });
