/**
 * What goes over the connection. All numbers are little-endian.
 *
 * | Who | What | Then follows |
 * | --- | --- | --- |
 * | source | `Hello` | `Hello.regions` times a run: the regions |
 * | destination | `ready` | |
 * | source | `pages` | `count` runs, then their bytes: `bytes` in all |
 * | source | `endOfRound`, and the destination repeats it | `count` is the round |
 * | source | `resume` | `bytes` follow: the steps that the guest has made, and the state of its virtual CPU |
 * | destination | `resumed` | |
 * | source | `compare` | |
 * | destination | `stopped` | `bytes` is 16: the guest's steps, and its bytes that are resident |
 * | destination | `sum` | `bytes` is 32: SHA-256 of its memory |
 *
 * Whatever is received is checked here, before anything is made of it. A number that has no use must
 * be zero, so that a later version can give it one.
 *
 * @module
 */
import {
  asSlice,
  fromSlice,
  type GuestAddress,
  type GuestRange,
  struct,
  type StructValue,
  u32le,
  u64le,
} from "@vmm/guest-memory";
import { hex } from "../lib/units.ts";
import { type TrackerName, TRACKERS } from "./guest.ts";
import { WrongFormat } from "./migrate_error.ts";

/** The version of this format. Others are refused. */
export const VERSION = 1;
/** Runs of one frame, at most: `IOV_MAX` is 1,024, and a run may be in two regions. */
export const MAX_RUNS = 1020;
/** Bytes of pages in one frame, at most. */
export const MAX_BYTES: number = 2 ** 22;
/** Regions of a guest, at most. */
export const MAX_REGIONS = 64;

/** Bytes of the number of steps, which begin the state of a guest. */
export const STEPS_LENGTH = 8;

// Of the state of a guest, at most.
const MAX_STATE = 4096;
const MAGIC = 0x3130_6574_6172_676dn; // "mgrate01"

const FIELDS = {
  magic: u64le,
  version: u32le,
  pageSize: u32le,
  regions: u32le,
  // Writes that the guest makes in a second.
  rate: u32le,
  // The index in TRACKERS.
  tracker: u32le,
  reserved: u32le,
};
const HelloCodec = struct(FIELDS);

const FRAME_FIELDS = { type: u32le, count: u32le, bytes: u64le };
const FrameCodec = struct(FRAME_FIELDS);
type RawFrame = StructValue<typeof FRAME_FIELDS>;

/** Bytes of a `Hello`, without its regions. */
export const HELLO_LENGTH: number = HelloCodec.byteLength;
/** Bytes of a frame, without what follows. */
export const FRAME_LENGTH: number = FrameCodec.byteLength;
/** Bytes of a run: its address and its length, `u64` each. */
export const RUN_LENGTH = 16;

/** What the source says of its guest first. */
export interface Hello {
  /** Bytes of a page. */
  readonly pageSize: number;
  /** How many regions the guest has. */
  readonly regions: number;
  /** How many writes it makes in a second. */
  readonly rate: number;
  /** Who finds what it writes, and so how it writes. */
  readonly tracker: TrackerName;
}

const TYPES = [
  "pages",
  "endOfRound",
  "resume",
  "compare",
  "ready",
  "resumed",
  "stopped",
  "sum",
] as const;

/** What a frame is. */
export type FrameType = typeof TYPES[number];

/** The head of what is sent after the hello. */
export interface Frame {
  readonly type: FrameType;
  readonly count: number;
  /** Bytes that follow; those of runs do not count. */
  readonly bytes: number;
}

/** The bytes of a hello. */
export function encodeHello({ pageSize, regions, rate, tracker }: Hello): Uint8Array {
  return asSlice(HelloCodec, {
    magic: MAGIC,
    version: VERSION,
    pageSize,
    regions,
    rate,
    tracker: TRACKERS.indexOf(tracker),
    reserved: 0,
  });
}

/**
 * Reads a hello.
 *
 * @param bytes `HELLO_LENGTH` bytes.
 * @param pageSize Bytes of a page here.
 * @throws {WrongFormat} It is none, or of another version, or of a guest that this host cannot take.
 */
export function decodeHello(bytes: Uint8Array, pageSize: number): Hello {
  const hello = fromSlice(HelloCodec, bytes);
  if (hello?.magic !== MAGIC) throw new WrongFormat("this is no migration: it begins otherwise");
  const { version, regions, rate, tracker, reserved } = hello;
  if (version !== VERSION) {
    throw new WrongFormat(`the format has version ${version}, this side knows ${VERSION}`);
  }
  if (hello.pageSize !== pageSize) {
    throw new WrongFormat(`its pages have ${hello.pageSize} bytes, those here ${pageSize}`);
  }
  ensureRange("regions", regions, 1, MAX_REGIONS);
  ensureRange("writes in a second", rate, 1, 2 ** 32 - 1);
  ensureRange("a kind of guest", tracker, 0, TRACKERS.length - 1);
  ensureRange("a reserved number", reserved, 0, 0);
  return { pageSize, regions, rate, tracker: TRACKERS[tracker]! };
}

/** The bytes of a frame's head. */
export function encodeFrame({ type, count, bytes }: Frame): Uint8Array {
  return asSlice(FrameCodec, { type: TYPES.indexOf(type), count, bytes: BigInt(bytes) });
}

/**
 * Reads the head of a frame.
 *
 * @param bytes `FRAME_LENGTH` bytes.
 * @param expected What may come now.
 * @throws {WrongFormat} Something else came, or its numbers are impossible.
 */
export function decodeFrame(bytes: Uint8Array, expected: readonly FrameType[]): Frame {
  const raw = fromSlice(FrameCodec, bytes)!;
  const type = TYPES[raw.type];
  if (type === undefined || !expected.includes(type)) {
    const came = type ?? `frame type ${raw.type}`;
    throw new WrongFormat(`${came} came where ${expected.join(" or ")} was expected`);
  }
  return { type, ...numbersOf(type, raw) };
}

// What the numbers of each kind of frame may be.
function numbersOf(type: FrameType, { count, bytes }: RawFrame): Omit<Frame, "type"> {
  switch (type) {
    case "pages":
      ensureRange("runs", count, 1, MAX_RUNS);
      return { count, bytes: ensureRange("bytes of pages", bytes, 1, MAX_BYTES) };
    case "endOfRound":
      return { count, bytes: ensureRange("bytes after the end of a round", bytes, 0, 0) };
    default: {
      ensureRange(`count of ${type}`, count, 0, 0);
      if (type === "resume") {
        return { count, bytes: ensureRange("bytes of resume", bytes, STEPS_LENGTH, MAX_STATE) };
      }
      const length = { stopped: 16, sum: 32 }[type as string] ?? 0;
      return { count, bytes: ensureRange(`bytes of ${type}`, bytes, length, length) };
    }
  }
}

/**
 * Writes runs.
 *
 * @param runs The runs.
 * @param table Where to write them, from its first byte on.
 * @returns The bytes of the table that were written.
 */
export function encodeRuns(runs: readonly GuestRange[], table: Uint8Array): Uint8Array {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  for (const [i, [start, length]] of runs.entries()) {
    view.setBigUint64(i * RUN_LENGTH, BigInt(start), true);
    view.setBigUint64(i * RUN_LENGTH + 8, BigInt(length), true);
  }
  return table.subarray(0, runs.length * RUN_LENGTH);
}

/**
 * Reads runs of whole pages.
 *
 * @param table Their bytes.
 * @param pageSize Bytes of a page.
 * @returns The runs by rising address. None overlaps another, and all end below 2^53.
 * @throws {WrongFormat} One does.
 */
export function decodeRuns(table: Uint8Array, pageSize: number): GuestRange[] {
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const runs: GuestRange[] = [];
  let end = 0;
  for (let at = 0; at < table.length; at += RUN_LENGTH) {
    const start = Number(view.getBigUint64(at, true));
    const length = Number(view.getBigUint64(at + 8, true));
    const isWhole = start % pageSize === 0 && length % pageSize === 0 && length > 0;
    // A number that was rounded, as it is 2^53 or more, makes the end as large.
    if (!isWhole || start < end || start + length >= 2 ** 53) {
      const run = `[${hex(start)}, ${length} bytes]`;
      throw new WrongFormat(
        `run ${at / RUN_LENGTH} is ${run}: not whole pages after ${hex(end)}`,
      );
    }
    runs.push([start as GuestAddress, length]);
    end = start + length;
  }
  return runs;
}

/** Numbers of 8 bytes each. */
export function encodeNumbers(...numbers: number[]): Uint8Array {
  const bytes = new Uint8Array(numbers.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [i, number] of numbers.entries()) view.setBigUint64(i * 8, BigInt(number), true);
  return bytes;
}

// Of a count: exact as a number of this language, with room to count on.
const MAX_NUMBER = 2 ** 52;

/**
 * Reads numbers of 8 bytes each.
 *
 * @throws {WrongFormat} One is more than 2^52.
 */
export function decodeNumbers(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from(
    { length: bytes.length / 8 },
    (_, i) => ensureRange("a number", view.getBigUint64(i * 8, true), 0, MAX_NUMBER),
  );
}

function ensureRange(what: string, value: number | bigint, least: number, most: number): number {
  if (value >= least && value <= most) return Number(value);
  const allowed = least === most ? `${least}` : `from ${least} to ${most}`;
  throw new WrongFormat(`${what}: ${value} is not ${allowed}`);
}
