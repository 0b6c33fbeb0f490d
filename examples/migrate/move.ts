/**
 * The whole: a guest, a process for it to move to, the migration, and the proof that nothing was lost.
 *
 * @module
 */
import { grouped, size as sizeText } from "../lib/units.ts";
import type { Options } from "./arguments.ts";
import { checksum } from "./checksum.ts";
import { connect } from "./connection.ts";
import { DestinationProcess } from "./destination_process.ts";
import { boot, mapGuest, rangesOf } from "./guest.ts";
import { GuestThread } from "./guest_thread.ts";
import { MigrateError, reasonOf } from "./migrate_error.ts";
import { type Report, reportOf } from "./report.ts";
import { type Migration, receiveSum, type Round, sendGuest, stopGuest } from "./source.ts";
import { VirtualMachine } from "./virtual_machine.ts";

/** The guest did not move, or could not be compared afterwards. */
export class MoveFailed extends MigrateError {
  /** The name of the class. */
  override readonly name: string = "MoveFailed";
}

/** What a move consists of. */
export const STAGES = ["starting the guest", "moving it", "comparing both sides"] as const;

/** Called while a guest moves. */
export interface Listeners {
  /** A stage begins: its index in {@linkcode STAGES}. */
  readonly onStage: (stage: number) => void;
  /** A round has ended. */
  readonly onRound: (round: Round) => void;
}

// How long the guest runs in the destination before it is compared; or here after a failure.
const AFTERWARDS_MS = 50;
const OTHER_MEMORY = 2 ** 28;

/**
 * Checks that there is enough memory.
 *
 * @param size Bytes of the guest. Three quarters of it are taken in each process.
 * @throws {MigrateError} There is less.
 */
export function ensureEnough(size: number): void {
  const needed = size * 3 / 2 + OTHER_MEMORY;
  const { available } = Deno.systemMemoryInfo();
  if (needed <= available) return;
  throw new MigrateError(
    `both sides take ${sizeText(needed)}, and ${sizeText(available)} is available (see --size)`,
  );
}

/**
 * Starts a guest, and moves it to another process.
 *
 * @param options What is asked for.
 * @param listeners Called meanwhile.
 * @returns How it went.
 * @throws {MoveFailed} It did not.
 */
export async function move(
  options: Options,
  { onStage, onRound }: Listeners,
): Promise<Report> {
  onStage(0);
  const { size, rate, transport, tracker } = options;
  await using destination = new DestinationProcess(transport);
  using memory = mapGuest(rangesOf(size));
  boot(memory);
  using machine = tracker === "kvm" ? new VirtualMachine(memory) : undefined;
  machine?.boot();
  using thread = await GuestThread.start(memory, rate, tracker, machine);
  thread.resume();
  using connection = connect(await destination.address());

  onStage(1);
  const guest = { memory, thread, rate, tracker, machine };
  const migration = await sendOrKeep(
    thread,
    () => sendGuest(guest, connection, onRound),
    destination,
  );

  onStage(2);
  await delay(AFTERWARDS_MS);
  try {
    const outcome = stopGuest(connection);
    // What is left here makes the same steps.
    thread.runTo(outcome.steps);
    const sum = checksum(memory);
    return reportOf(options, migration, outcome, [sum, receiveSum(connection)]);
  } catch (error) {
    throw failed(error, "the guest has moved, and cannot be compared");
  }
}

// Whatever happens, the guest runs in one place.
async function sendOrKeep(
  thread: GuestThread,
  send: () => Migration,
  destination: DestinationProcess,
): Promise<Migration> {
  try {
    return send();
  } catch (error) {
    // If the connection broke after the last frame, the guest may run there: it must not run twice.
    await destination[Symbol.asyncDispose]();
    if (!thread.isRunning) thread.resume();
    const { steps } = thread;
    await delay(AFTERWARDS_MS);
    const since = grouped(thread.steps - steps);
    throw failed(error, `the guest stays here, and has made ${since} writes since`);
  }
}

function failed(error: unknown, what: string): unknown {
  const reason = reasonOf(error);
  return reason === undefined ? error : new MoveFailed(`${what}: ${reason}`, { cause: error });
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
