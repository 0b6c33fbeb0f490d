/**
 * Counters that wake other threads, processes and the kernel.
 *
 * @module
 */
import { setCloseOnExec, setNonBlocking } from "../../../ffi/descriptor.ts";
import { addToEvent, makeEventFd, takeFromEvent } from "../../../ffi/event_fd.ts";
import { ensureLinux } from "../../../ffi/linux.ts";
import { waitForInput } from "../../../ffi/poll.ts";
import { checkNumber, shown, wrongKind } from "../../text/argument.ts";
import { checkDescriptor, OwnedDescriptor } from "./owned_descriptor.ts";

/** What kind of counter to make. */
export interface EventFdOptions {
  /** Whether a read takes 1 instead of all. False by default. */
  readonly semaphore?: boolean;
}

/**
 * A 64-bit counter of the kernel (`eventfd(2)`): the kick and the call of a virtqueue, KVM's ioeventfd
 * and irqfd. Linux only. Mirrors `EventFd` of the crate `vmm-sys-util`.
 *
 * It never blocks the thread, and is close-on-exec. Send its `fd` by {@linkcode UnixSocket.send} to
 * share it with another process.
 *
 * @example
 * ```ts
 * import { EventFd } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   using event = new EventFd();
 *   assertEquals(event.read(), undefined);
 *   const woken = event.wait();
 *   event.write(2);
 *   event.write(3n);
 *   assertEquals(await woken, 5n);
 * }
 * ```
 */
export class EventFd implements Disposable {
  readonly #descriptor: OwnedDescriptor;

  /**
   * Makes a counter.
   *
   * @param initial Its value, an integer in [0, 2^32).
   * @param options What kind.
   * @throws {TypeError} The value is no number.
   * @throws {RangeError} It is not such an integer.
   * @throws {SystemError} The call failed: `EMFILE` where the process has too many open files.
   * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
   */
  constructor(initial: number = 0, { semaphore = false }: EventFdOptions = {}) {
    // From fromFd(): no caller has this class.
    const owned: unknown = initial;
    this.#descriptor = owned instanceof OwnedDescriptor
      ? owned
      : new OwnedDescriptor(makeEventFd(checkInitial(initial), semaphore), "EventFd");
  }

  /**
   * Takes over a counter, such as one that came with a message. It is made close-on-exec, and
   * non-blocking for every process that has it. Where another object of this process has the same
   * descriptor, as in the thread that sent it to a Worker, only one of the two may close it, and not
   * before the other has ended.
   *
   * @param fd Its descriptor. If this throws, it is still the caller's.
   * @throws {RangeError} It is not an integer from 0.
   * @throws {SystemError} It is not open.
   * @throws {LibcUnavailable} This is not Linux, or FFI is not allowed.
   */
  static fromFd(fd: number): EventFd {
    ensureLinux("EventFd");
    checkDescriptor(fd);
    setCloseOnExec(fd);
    setNonBlocking(fd);
    return new EventFd(new OwnedDescriptor(fd, "EventFd") as unknown as number);
  }

  /**
   * The descriptor, which stays the counter's.
   *
   * @throws {DescriptorClosed} The counter is closed.
   */
  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Whether the counter is closed here. */
  get closed(): boolean {
    return this.#descriptor.closed;
  }

  /**
   * Adds to the counter, and wakes who waits for it.
   *
   * @param value What to add, an integer in [0, 2^64 - 1); 1 by default.
   * @throws {RangeError} It is not such an integer.
   * @throws {DescriptorClosed} The counter is closed.
   * @throws {SystemError} The call failed: `EAGAIN` where the sum would pass 2^64 - 2.
   */
  write(value: bigint | number = 1): void {
    const count = checkValue(value);
    addToEvent(this.fd, count);
  }

  /**
   * Takes the value, which becomes 0; of a semaphore 1. It does not wait.
   *
   * @returns What was taken; `undefined` if the counter is 0.
   * @throws {DescriptorClosed} The counter is closed.
   * @throws {SystemError} The call failed.
   */
  read(): bigint | undefined {
    return takeFromEvent(this.fd);
  }

  /**
   * Waits until the counter is not 0, and takes its value as {@linkcode EventFd.read} does. Of several
   * that wait, here or in other processes, one gets it.
   *
   * @throws {DescriptorClosed} The counter is closed, or closed meanwhile.
   * @throws {SystemError} The call failed.
   */
  async wait(): Promise<bigint> {
    for (;;) {
      const value = this.read();
      if (value !== undefined) return value;
      await this.#descriptor.untilReady("readable");
    }
  }

  /**
   * Blocks the thread until the counter is not 0, and takes its value as {@linkcode EventFd.read} does:
   * for a thread of a device, which is woken in half the time of {@linkcode EventFd.wait}. Nothing else
   * of the thread runs meanwhile, no message and no timer; another thread cannot end it by closing the
   * counter, so write to it.
   *
   * @param timeout Milliseconds at most, an integer in [0, 2^31). Without, there is no end.
   * @returns What was taken; `undefined` if the time is over.
   * @throws {RangeError} The time is no such integer.
   * @throws {DescriptorClosed} The counter is closed.
   * @throws {SystemError} The call failed.
   */
  waitSync(timeout?: number): bigint | undefined {
    const limit = checkTimeout(timeout);
    const end = limit === undefined ? Infinity : performance.now() + limit;
    for (;;) {
      const value = this.read();
      if (value !== undefined) return value;
      const rest = end - performance.now();
      if (rest <= 0) return undefined;
      // Rounded up: the last millisecond would be spent in calls that do not wait.
      waitForInput([this.fd], rest === Infinity ? -1 : Math.ceil(rest));
    }
  }

  /** Closes the counter. What waits ends with {@linkcode DescriptorClosed}. Again does nothing. */
  close(): void {
    this.#descriptor.close();
  }

  /** {@linkcode EventFd.close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function checkInitial(initial: number): number {
  checkNumber("initial", initial);
  if (Number.isInteger(initial) && initial >= 0 && initial < 2 ** 32) return initial;
  throw new RangeError(
    `Cannot begin an EventFd at ${initial}: initial is not an integer in [0, 2^32)`,
  );
}

function checkTimeout(timeout: number | undefined): number | undefined {
  if (timeout === undefined) return undefined;
  checkNumber("timeout", timeout);
  if (Number.isInteger(timeout) && timeout >= 0 && timeout < 2 ** 31) return timeout;
  throw new RangeError(`Cannot wait for ${timeout} ms: timeout is not an integer in [0, 2^31)`);
}

function checkValue(value: bigint | number): bigint {
  if (typeof value !== "bigint" && typeof value !== "number") {
    throw wrongKind("value", value, "a bigint or a number");
  }
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    const count = BigInt(value);
    if (count >= 0n && count < 2n ** 64n - 1n) return count;
  }
  throw new RangeError(`Cannot add ${shown(value)} to an EventFd: not an integer in [0, 2^64 - 1)`);
}
