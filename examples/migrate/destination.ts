/**
 * The destination: takes a guest in, and lets it run.
 *
 * @module
 */
import { type GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
import { hex } from "../lib/units.ts";
import { checksum } from "./checksum.ts";
import type { Connection } from "./connection.ts";
import { LARGEST, mapGuest } from "./guest.ts";
import { GuestThread } from "./guest_thread.ts";
import { WrongFormat } from "./migrate_error.ts";
import { CPU_STATE, VirtualMachine } from "./virtual_machine.ts";
import {
  decodeFrame,
  decodeHello,
  decodeNumbers,
  decodeRuns,
  encodeFrame,
  encodeNumbers,
  type Frame,
  FRAME_LENGTH,
  type FrameType,
  type Hello,
  HELLO_LENGTH,
  RUN_LENGTH,
  STEPS_LENGTH,
} from "./wire.ts";
import { WritingProgram } from "./writing_program.ts";

/**
 * Takes a guest in, lets it run until the source wants to compare, and answers that.
 *
 * @param connection The connection to the source.
 * @throws {PeerLost} The source has ended. The guest runs there, or nowhere.
 * @throws {WrongFormat} What it sends is no guest.
 */
export async function takeGuest(connection: Connection): Promise<void> {
  const { memory, hello } = receiveMemory(connection);
  using _memory = memory;
  const { rate, tracker } = hello;
  using machine = tracker === "kvm" ? new VirtualMachine(memory) : undefined;
  // A thread takes long to start: it is ready before the first page comes.
  using guest = await GuestThread.start(memory, rate, tracker, machine);
  connection.send(encodeFrame({ type: "ready", count: 0, bytes: 0 }));
  const { steps, cpuState } = receivePages(connection, memory);
  ensureLength(cpuState, machine === undefined ? 0 : CPU_STATE);
  if (machine === undefined) ensureNoted(memory, steps);
  else machine.continueFrom(cpuState, steps);
  guest.steps = steps;
  guest.resume();
  connection.send(encodeFrame({ type: "resumed", count: 0, bytes: 0 }));
  receiveFrame(connection, ["compare"]);
  compare(connection, memory, guest.pause());
}

/**
 * Maps the memory that the source describes.
 *
 * @param connection The connection.
 * @throws {WrongFormat} It describes none, or one that is too large.
 * @throws {SystemError} This host has not enough memory.
 */
export function receiveMemory(
  connection: Connection,
): { memory: GuestMemoryMmap; hello: Hello } {
  const page = pageSize();
  const hello = decodeHello(connection.receive(HELLO_LENGTH), page);
  const regions = decodeRuns(connection.receive(hello.regions * RUN_LENGTH), page);
  const size = regions.reduce((sum, [, length]) => sum + length, 0);
  if (size > LARGEST) throw new WrongFormat(`the guest has ${size} bytes, of ${LARGEST} at most`);
  return { memory: mapGuest(regions), hello };
}

/** Where a guest was when it was paused. */
export interface GuestState {
  /** The steps that it has made. */
  readonly steps: number;
  /** The state of its virtual CPU, if it has one. */
  readonly cpuState: Uint8Array;
}

/**
 * Receives pages, round by round, until the guest shall run here.
 *
 * @param connection The connection.
 * @param memory The memory of the guest.
 * @returns The state of the guest.
 */
export function receivePages(connection: Connection, memory: GuestMemoryMmap): GuestState {
  for (;;) {
    const frame = receiveFrame(connection, ["pages", "endOfRound", "resume"]);
    switch (frame.type) {
      case "pages":
        receiveRuns(connection, memory, frame);
        break;
      case "endOfRound":
        connection.send(encodeFrame(frame));
        break;
      default:
        return receiveState(connection, frame.bytes);
    }
  }
}

function receiveState(connection: Connection, length: number): GuestState {
  const [steps] = decodeNumbers(connection.receive(STEPS_LENGTH));
  return { steps: steps!, cpuState: connection.receive(length - STEPS_LENGTH) };
}

function ensureLength({ length }: Uint8Array, expected: number): void {
  if (length === expected) return;
  throw new WrongFormat(`the state of the virtual CPU has ${length} bytes, not ${expected}`);
}

// The guest would not notice that it has lost a page.
function ensureNoted(memory: GuestMemoryMmap, steps: number): void {
  const { noted } = new WritingProgram(memory, false);
  if (noted === steps >>> 0) return;
  throw new WrongFormat(`the guest has made ${steps} steps, its memory says ${noted}`);
}

function receiveRuns(connection: Connection, memory: GuestMemoryMmap, frame: Frame): void {
  const runs = decodeRuns(connection.receive(frame.count * RUN_LENGTH), pageSize());
  let bytes = 0;
  for (const [start, length] of runs) {
    bytes += length;
    // Before the first byte is written.
    if (!memory.checkRange(start, length)) {
      throw new WrongFormat(
        `the guest has no memory for ${length} bytes at ${hex(start)}`,
      );
    }
  }
  if (bytes !== frame.bytes) {
    throw new WrongFormat(`runs of ${bytes} bytes came where ${frame.bytes} were announced`);
  }
  connection.receiveRanges(memory, runs);
}

function receiveFrame(connection: Connection, expected: readonly FrameType[]): Frame {
  return decodeFrame(connection.receive(FRAME_LENGTH), expected);
}

function compare(connection: Connection, memory: GuestMemoryMmap, steps: number): void {
  // Reading it, as the sum does, would map pages that are absent.
  const resident = memory.residentRanges().reduce((sum, [, length]) => sum + length, 0);
  connection.send(encodeFrame({ type: "stopped", count: 0, bytes: 16 }));
  connection.send(encodeNumbers(steps, resident));
  const sum = checksum(memory);
  connection.send(encodeFrame({ type: "sum", count: 0, bytes: sum.length }));
  connection.send(sum);
}
