/**
 * Waiting for descriptors, without a thread for each: `epoll(7)`.
 *
 * However many descriptors are waited for, one call of `epoll_wait` is pending on Deno's pool of 32
 * threads: a pending `poll` for each would stop all asynchronous file access at the 32nd. The call
 * knows the descriptors by registration, not by number. So a descriptor can be closed while it is
 * waited for, and its number used again, and nothing waits for the wrong one.
 *
 * @module
 */
import { closeDescriptor } from "./descriptor.ts";
import { addToEvent, makeEventFd, takeFromEvent } from "./event_fd.ts";
import { lastError, lazily, poolCall } from "./libc.ts";
import { EPOLL, epollEvent } from "./linux.ts";
import type { PoolCall } from "./runtime/foreign_runtime.ts";
import { SystemError } from "./system_error.ts";

const calls = lazily(
  {
    // int epoll_create1(int flags);
    epoll_create1: { parameters: ["i32"], result: "i32" },
    // int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
    epoll_ctl: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
    // int epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);
    look: { name: "epoll_wait", parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  } as const,
);

const WAIT = {
  parameters: ["i32", "buffer", "i32", "i32"],
  result: "i32",
} as const;

let pendingWait: PoolCall<typeof WAIT> | undefined;

// epoll_wait on the thread pool.
function wait(epoll: number, events: DataView<ArrayBuffer>): Promise<number> {
  pendingWait ??= poolCall("epoll_wait", WAIT) ?? waitByTimer;
  // SAFETY: the view has room for as many events. The runtime keeps it alive during the call, and
  // nothing reads it until then.
  return pendingWait(epoll, events, MAX_EVENTS, TIMEOUT_MS);
}

// Where the runtime has no such pool: looks again and again, as often as takes about 1 % of a processor's
// time.
async function waitByTimer(
  epoll: number,
  events: ArrayBufferView,
  maximum: number,
  timeout: number,
): Promise<number> {
  const end = performance.now() + timeout;
  for (let pause = 0;; pause = Math.min(pause + 1, LONGEST_PAUSE_MS)) {
    // SAFETY: the view has room for as many events.
    const count = calls().look(epoll, events, maximum, 0);
    if (count !== 0 || performance.now() >= end) return count;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

/** What to wait for. */
export type Direction = "readable" | "writable";

interface Wait {
  readonly events: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Registration {
  readonly fd: number;
  readonly token: bigint;
  waits: Wait[];
}

const MAX_EVENTS = 64;
// A thread of the pool that outlives its Worker ends then. Nothing else depends on it.
const TIMEOUT_MS = 10_000;
const LONGEST_PAUSE_MS = 10;
const WAKE = 0n;

/** All that one thread waits for. It has descriptors of its own only while there is anything. */
class Poller {
  readonly #epoll: number;
  readonly #layout = epollEvent();
  readonly #events = new DataView(new ArrayBuffer(MAX_EVENTS * this.#layout.size));
  readonly #byFd = new Map<number, Registration>();
  readonly #byToken = new Map<bigint, Registration>();
  // What is still to be rejected.
  readonly #ended: (() => void)[] = [];
  // A counter: the pending call ends when it is not 0. Made now, as a process that has no descriptor
  // left could not make it when one is closed.
  readonly #wake: number;
  #lastToken = WAKE;

  constructor() {
    this.#wake = makeEventFd(0, false);
    // SAFETY: touches no memory.
    this.#epoll = calls().epoll_create1(EPOLL.closeOnExec);
    if (this.#epoll < 0) {
      const error = lastError("epoll_create1");
      closeDescriptor(this.#wake);
      throw error;
    }
    try {
      this.#control(EPOLL.add, this.#wake, EPOLL.in, WAKE);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get idle(): boolean {
    return this.#byFd.size === 0;
  }

  add(fd: number, wait: Wait): void {
    const known = this.#byFd.get(fd);
    if (known !== undefined) {
      known.waits.push(wait);
      this.#update(known);
      return;
    }
    const registration = { fd, token: ++this.#lastToken, waits: [wait] };
    this.#control(EPOLL.add, fd, wait.events, registration.token);
    this.#byFd.set(fd, registration);
    this.#byToken.set(registration.token, registration);
  }

  // Ends all waits for a descriptor: when the pending call has returned if they were the last, so that
  // nothing of a wait is left once it has ended.
  remove(fd: number, error: unknown): void {
    const registration = this.#byFd.get(fd);
    if (registration === undefined) return;
    for (const { reject } of registration.waits) this.#ended.push(() => reject(error));
    registration.waits = [];
    try {
      this.#update(registration);
    } finally {
      if (this.idle) addToEvent(this.#wake, 1n);
      else this.#settle();
    }
  }

  #settle(): void {
    for (const end of this.#ended.splice(0)) end();
  }

  // Waits once, for whatever is ready first.
  async poll(): Promise<void> {
    const count = await wait(this.#epoll, this.#events);
    // errno is that of the other thread: a call that does not wait fails in the same way, or has the
    // events that an interrupted one has not.
    this.#dispatch(count < 0 ? this.#look() : count);
    if (!this.idle) this.#settle();
  }

  #look(): number {
    // SAFETY: the view has room for as many events.
    const count = calls().look(this.#epoll, this.#events, MAX_EVENTS, 0);
    if (count < 0) throw lastError("epoll_wait");
    return count;
  }

  // Ends all waits, after a failure.
  fail(error: unknown): void {
    for (const { waits } of this.#byFd.values()) for (const { reject } of waits) reject(error);
  }

  close(): void {
    try {
      closeDescriptor(this.#wake);
      closeDescriptor(this.#epoll);
    } finally {
      this.#settle();
    }
  }

  #dispatch(count: number): void {
    for (let i = 0; i < count; i++) {
      const at = i * this.#layout.size;
      const token = this.#events.getBigUint64(at + this.#layout.data, true);
      if (token === WAKE) takeFromEvent(this.#wake);
      // Absent where it was removed since the kernel wrote the event.
      const registration = this.#byToken.get(token);
      if (registration !== undefined) this.#end(registration, this.#events.getUint32(at, true));
    }
  }

  #end(registration: Registration, events: number): void {
    // Both come without being asked for, and may come alone.
    const broken = (events & (EPOLL.error | EPOLL.hangUp)) !== 0;
    const isOver = (wait: Wait) => broken || (events & wait.events) !== 0;
    const over = registration.waits.filter(isOver);
    registration.waits = registration.waits.filter((wait) => !isOver(wait));
    this.#update(registration);
    for (const { resolve } of over) resolve();
  }

  // Asks for what is waited for now, in the order of the waits.
  #update(registration: Registration): void {
    const { fd, token, waits } = registration;
    if (waits.length === 0) {
      this.#byFd.delete(fd);
      this.#byToken.delete(token);
      try {
        this.#control(EPOLL.delete, fd, 0, token);
      } catch (error) {
        // Someone else has closed the descriptor: the kernel has forgotten it then.
        if (!isForgotten(error)) throw error;
      }
      return;
    }
    const events = waits.reduce((all, wait) => all | wait.events, 0);
    try {
      this.#control(EPOLL.modify, fd, events, token);
    } catch (error) {
      if (!isForgotten(error)) throw error;
      this.#control(EPOLL.add, fd, events, token);
    }
  }

  #control(operation: number, fd: number, events: number, token: bigint): void {
    const event = new DataView(new ArrayBuffer(this.#layout.size));
    event.setUint32(0, events, true);
    event.setBigUint64(this.#layout.data, token, true);
    // SAFETY: the view is a struct epoll_event, which the kernel copies.
    if (calls().epoll_ctl(this.#epoll, operation, fd, event) !== 0) {
      throw lastError("epoll_ctl", { operation, fd });
    }
  }
}

function isForgotten(error: unknown): boolean {
  return error instanceof SystemError && (error.code === "ENOENT" || error.code === "EBADF");
}

let poller: Poller | undefined;

/**
 * Waits until a descriptor is ready, or broken: a call for it does not block then.
 *
 * @param fd The descriptor.
 * @param direction What to wait for.
 * @returns A promise that rejects with the error of {@linkcode endWaits}.
 * @throws {SystemError} The descriptor cannot be waited for, or is not open.
 */
export function untilReady(fd: number, direction: Direction): Promise<void> {
  const events = direction === "readable" ? EPOLL.in : EPOLL.out;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  if (poller !== undefined) {
    poller.add(fd, { events, resolve, reject });
    return promise;
  }
  const started = new Poller();
  try {
    started.add(fd, { events, resolve, reject });
  } catch (error) {
    started.close();
    throw error;
  }
  poller = started;
  runToEnd(started);
  return promise;
}

// Between the last look at what is waited for and the end, no other code may run: it could add a wait
// that nobody serves.
async function runToEnd(running: Poller): Promise<void> {
  try {
    do await running.poll(); while (!running.idle);
  } catch (error) {
    running.fail(error);
  } finally {
    poller = undefined;
    running.close();
  }
}

/**
 * Ends all waits for a descriptor, which may be closed then.
 *
 * @param fd The descriptor.
 * @param error What the waits reject with.
 */
export function endWaits(fd: number, error: unknown): void {
  poller?.remove(fd, error);
}
