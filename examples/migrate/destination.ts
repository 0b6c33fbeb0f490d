/**
 * The destination: takes a guest in, and lets it run.
 *
 * @module
 */
import { type GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
import { checksum } from "./checksum.ts";
import type { Connection } from "./connection.ts";
import { LARGEST, mapGuest, Program, type Writes } from "./guest.ts";
import { GuestThread } from "./guest_thread.ts";
import { WrongFormat } from "./migrate_error.ts";
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
} from "./wire.ts";

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
  const writes: Writes = hello.views ? "views" : "library";
  // A thread takes long to start: it is ready before the first page comes.
  using guest = await GuestThread.start(memory, hello.rate, writes);
  connection.send(encodeFrame({ type: "ready", count: 0, bytes: 0 }));
  const steps = receivePages(connection, memory);
  const { noted } = new Program(memory, writes);
  if (noted !== steps >>> 0) {
    throw new WrongFormat(`the guest has made ${steps} steps, its memory says ${noted}`);
  }
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

/**
 * Receives pages, round by round, until the guest shall run here.
 *
 * @param connection The connection.
 * @param memory The memory of the guest.
 * @returns The steps that the guest has made.
 */
export function receivePages(connection: Connection, memory: GuestMemoryMmap): number {
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
        return decodeNumbers(connection.receive(frame.bytes))[0]!;
    }
  }
}

function receiveRuns(connection: Connection, memory: GuestMemoryMmap, frame: Frame): void {
  const runs = decodeRuns(connection.receive(frame.count * RUN_LENGTH), pageSize());
  let bytes = 0;
  for (const [start, length] of runs) {
    bytes += length;
    // Before the first byte is written.
    if (!memory.checkRange(start, length)) {
      throw new WrongFormat(
        `the guest has no memory for ${length} bytes at 0x${start.toString(16)}`,
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
