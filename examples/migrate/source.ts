/**
 * The source: sends a guest away while it runs.
 *
 * @module
 */
import {
  type DirtySet,
  type GuestMemoryMmap,
  type GuestRange,
  pageSize,
  takeDirty,
} from "@vmm/guest-memory";
import { WriteTracker } from "@vmm/guest-memory/snapshot";
import type { Connection } from "./connection.ts";
import type { TrackerName } from "./guest.ts";
import type { GuestThread } from "./guest_thread.ts";
import type { VirtualMachine } from "./virtual_machine.ts";
import {
  decodeFrame,
  decodeNumbers,
  encodeFrame,
  encodeHello,
  encodeNumbers,
  encodeRuns,
  type Frame,
  FRAME_LENGTH,
  type FrameType,
  MAX_BYTES,
  MAX_RUNS,
  RUN_LENGTH,
  STEPS_LENGTH,
} from "./wire.ts";

/** The last round begins when what is dirty takes less than this to send, in milliseconds. */
export const DOWNTIME_MS = 2;
/** Or after so many rounds: a guest that writes faster than the connection never gets there. */
export const MAX_ROUNDS = 30;

/** A guest that can be sent away. */
export interface Guest {
  readonly memory: GuestMemoryMmap;
  readonly thread: GuestThread;
  readonly rate: number;
  readonly tracker: TrackerName;
  /** The virtual machine, of a guest on KVM. */
  readonly machine?: VirtualMachine | undefined;
}

/** What was sent in one pass over memory. */
export interface Round {
  /** Runs of pages. */
  readonly runs: number;
  /** Their bytes. */
  readonly bytes: number;
  /** Milliseconds until the destination had them. */
  readonly ms: number;
  /** Bytes that the guest has written meanwhile. */
  readonly dirty: number;
}

/** The time in which the guest ran nowhere, in milliseconds. */
export interface Downtime {
  /** From the order to pause until the source knew that the guest runs in the destination. */
  readonly ms: number;
  /** Of these, until the guest was paused, */
  readonly pauseMs: number;
  /** to find out what it had written, */
  readonly takeMs: number;
  /** until the destination had that, */
  readonly sendMs: number;
  /** and until the guest ran there. */
  readonly resumeMs: number;
}

/** How a migration went. */
export interface Migration {
  /** The rounds. The guest was paused in the last one. */
  readonly rounds: readonly Round[];
  readonly downtime: Downtime;
  /** Steps that the guest had made when it was paused. */
  readonly steps: number;
}

/**
 * Sends a guest that runs, and pauses it for the last round only. If this throws, the guest is
 * complete here. When it was paused, the caller ends the destination first, then lets it run again.
 *
 * @param guest The guest.
 * @param connection The connection to the destination.
 * @param onRound Called after each round.
 * @returns How it went. The guest is paused here, and runs in the destination.
 * @throws {PeerLost} The destination has ended.
 * @throws {TrackingError} The kernel cannot track.
 */
export function sendGuest(
  guest: Guest,
  connection: Connection,
  onRound: (round: Round) => void,
): Migration {
  const { memory, thread, machine } = guest;
  sayHello(guest, connection);
  const writer = new PageSender(memory, connection);
  using tracker = guest.tracker === "kernel" ? WriteTracker.start(memory) : undefined;
  const take = (): DirtySet => {
    tracker?.collect();
    machine?.collectDirtyPages();
    return takeDirty(memory);
  };
  const rounds: Round[] = [];
  const finish = (round: Round) => {
    rounds.push(round);
    onRound(round);
  };

  // In this order: what is written before the marks are cleared is present, what is written
  // afterwards is marked.
  take()[Symbol.dispose]();
  let sent = writer.sendRound(presentRanges(memory));
  for (;;) {
    using dirty = take();
    finish({ ...sent, dirty: dirty.bytes });
    const speed = sent.bytes / sent.ms;
    if (dirty.bytes / speed < DOWNTIME_MS || rounds.length === MAX_ROUNDS) {
      dirty.putBack();
      break;
    }
    sent = sendSet(writer, dirty);
  }

  const start = performance.now();
  const steps = thread.pause();
  const paused = performance.now();
  using dirty = take();
  const taken = performance.now();
  const last = sendSet(writer, dirty);
  const done = performance.now();
  const cpuState = machine?.cpuState ?? new Uint8Array();
  const bytes = STEPS_LENGTH + cpuState.length;
  connection.send(encodeFrame({ type: "resume", count: 0, bytes }));
  connection.send(encodeNumbers(steps));
  connection.send(cpuState);
  receiveFrame(connection, "resumed");
  const resumed = performance.now();
  finish({ ...last, dirty: 0 });
  const downtime = {
    ms: resumed - start,
    pauseMs: paused - start,
    takeMs: taken - paused,
    sendMs: done - taken,
    resumeMs: resumed - done,
  };
  return { rounds, downtime, steps };
}

/** What the destination found when it stopped the guest again. */
export interface Outcome {
  /** Steps that the guest has made. */
  readonly steps: number;
  /** Bytes of its memory that are resident there. */
  readonly resident: number;
}

/** Stops the guest in the destination, which computes the sum of its memory then. */
export function stopGuest(connection: Connection): Outcome {
  connection.send(encodeFrame({ type: "compare", count: 0, bytes: 0 }));
  const { bytes } = receiveFrame(connection, "stopped");
  const [steps, resident] = decodeNumbers(connection.receive(bytes)) as [number, number];
  return { steps, resident };
}

/** Receives the sum of the memory in the destination. */
export function receiveSum(connection: Connection): Uint8Array {
  return connection.receive(receiveFrame(connection, "sum").bytes);
}

function sayHello({ memory, rate, tracker }: Guest, connection: Connection): void {
  const regions = Array.from(memory, ({ startAddr, len }): GuestRange => [startAddr, len]);
  const hello = { pageSize: pageSize(), regions: regions.length, rate, tracker };
  connection.send(encodeHello(hello));
  connection.send(encodeRuns(regions, new Uint8Array(regions.length * RUN_LENGTH)));
  receiveFrame(connection, "ready");
}

// What has content. A page that is swapped out has some too, and is not resident: where there is
// swap, all is sent.
function presentRanges(memory: GuestMemoryMmap): Iterable<GuestRange> {
  const swaps = Deno.readTextFileSync("/proc/swaps").trim().split("\n").length - 1;
  if (swaps === 0) return memory.residentRanges();
  return Array.from(memory, ({ startAddr, len }): GuestRange => [startAddr, len]);
}

// Marks what was not sent again: the memory stays as fit to be migrated as it was.
function sendSet(sender: PageSender, dirty: DirtySet): Omit<Round, "dirty"> {
  try {
    return sender.sendRound(dirty);
  } catch (error) {
    dirty.putBack();
    throw error;
  }
}

function receiveFrame(connection: Connection, expected: FrameType): Frame {
  return decodeFrame(connection.receive(FRAME_LENGTH), [expected]);
}

/** Sends pages, round by round. */
class PageSender {
  readonly #memory: GuestMemoryMmap;
  readonly #connection: Connection;
  // The head of a frame and its runs, sent together.
  readonly #head = new Uint8Array(FRAME_LENGTH + MAX_RUNS * RUN_LENGTH);
  #round = 0;

  constructor(memory: GuestMemoryMmap, connection: Connection) {
    this.#memory = memory;
    this.#connection = connection;
  }

  /** Sends runs, and waits until the destination has them. */
  sendRound(runs: Iterable<GuestRange>): Omit<Round, "dirty"> {
    const start = performance.now();
    let [count, bytes] = [0, 0];
    for (const frame of framesOf(runs)) {
      this.#send(frame);
      count += frame.ranges.length;
      bytes += frame.bytes;
    }
    const end: Frame = { type: "endOfRound", count: this.#round++, bytes: 0 };
    this.#connection.send(encodeFrame(end));
    receiveFrame(this.#connection, "endOfRound");
    return { runs: count, bytes, ms: performance.now() - start };
  }

  #send({ ranges, bytes }: PagesFrame): void {
    const head = this.#head;
    head.set(encodeFrame({ type: "pages", count: ranges.length, bytes }));
    const table = encodeRuns(ranges, head.subarray(FRAME_LENGTH));
    this.#connection.send(head.subarray(0, FRAME_LENGTH + table.length));
    this.#connection.sendRanges(this.#memory, ranges);
  }
}

interface PagesFrame {
  readonly ranges: readonly GuestRange[];
  readonly bytes: number;
}

/** Divides runs into frames. */
export function* framesOf(runs: Iterable<GuestRange>): Generator<PagesFrame, void, void> {
  let ranges: GuestRange[] = [];
  let bytes = 0;
  for (const [start, length] of runs) {
    for (let done = 0; done < length;) {
      const count = Math.min(length - done, MAX_BYTES - bytes);
      ranges.push([(start + done) as GuestRange[0], count]);
      done += count;
      bytes += count;
      if (bytes < MAX_BYTES && ranges.length < MAX_RUNS) continue;
      yield { ranges, bytes };
      ranges = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield { ranges, bytes };
}
