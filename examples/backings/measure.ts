/**
 * Measures one way to get memory.
 *
 * @module
 */
import {
  GuestAddress,
  type GuestMemoryMmap,
  LibcUnavailable,
  OptionRefused,
  SystemError,
  u32,
} from "@vmm/guest-memory";
import { size as sizeText } from "../lib/units.ts";
import { BATCH } from "./arguments.ts";
import { reasonOf } from "./backings_error.ts";
import type { Candidate } from "./candidates.ts";
import { memfdBlocks, residentBytes, type Unseen } from "./residence.ts";
import { isUnchanged, openScratchFile, type ScratchFile } from "./scratch_file.ts";

/** What is known of one way to get memory: see `USAGE` for each field. */
export interface Row {
  readonly name: string;
  readonly granted: boolean;
  readonly reason: string | null;
  readonly touch: "read" | "write";
  readonly pageSize: number | null;
  readonly mapMs: number | null;
  readonly firstTouchUs: number | null;
  readonly againTouchUs: number | null;
  readonly copyGibPerS: number | null;
  readonly residentBefore: number | null;
  readonly residentAfter: number | null;
  readonly blocksNew: number | null;
  readonly blocksBefore: number | null;
  readonly blocksAfter: number | null;
  readonly discarded: number | null;
  readonly discardRefused: string | null;
  readonly readsZero: boolean | null;
  readonly fileUnchanged: boolean | null;
  readonly problems: readonly string[];
}

/** How it is measured. */
export interface Conditions {
  /** Bytes of the mapping. */
  readonly size: number;
  /** Where copies go. */
  readonly buffer: Uint8Array<ArrayBuffer>;
  /** What this process may not see. */
  readonly unseen: Unseen;
}

const START = GuestAddress(0);
const GIB = 2 ** 30;
/** Bytes that count as a page in the times, whatever the pages are. */
const PAGE = 4096;
const MARK = 0x5a5a_5a5a;
/** How often the copy is timed. */
export const COPIES: number = 8;
const REHEARSAL = 2 ** 25;
// Signals are handled between so many batches.
const BATCHES_IN_TURN = 16;

const NOTHING = {
  ...{ pageSize: null, mapMs: null, firstTouchUs: null, againTouchUs: null, copyGibPerS: null },
  ...{ residentBefore: null, residentAfter: null, blocksNew: null, blocksBefore: null },
  ...{ blocksAfter: null, discarded: null, discardRefused: null, readsZero: null },
  ...{ fileUnchanged: null, problems: [] },
} satisfies Partial<Row>;

/**
 * Maps memory, touches it, copies from it, discards it, looks whether it is gone, and touches it
 * again. Nothing is left mapped or open.
 *
 * @param candidate How the memory is made.
 * @param conditions How it is measured.
 */
export async function measure(
  { name, file: wish, touch = "write", map }: Candidate,
  { size, buffer, unseen }: Conditions,
): Promise<Row> {
  using stack = new DisposableStack();
  let memory: GuestMemoryMmap;
  let scratch: ScratchFile | undefined;
  let blocksNew: number | null;
  let mapMs: number;
  let rehearsed = Infinity;
  try {
    scratch = wish && stack.use(openScratchFile(wish, size));
    const file = scratch?.file;
    blocksNew = file?.statSync().blocks ?? null;
    if (wish === undefined) rehearsed = await rehearse(map, Math.min(size, REHEARSAL), touch);
    const keep = <T extends Disposable>(resource: T) => stack.use(resource);
    const start = performance.now();
    memory = stack.use(await map({ size, file, keep }));
    mapMs = performance.now() - start;
  } catch (error) {
    const reason = reasonOf(error);
    // Where FFI is not allowed, no row can be had.
    if (reason === undefined || error instanceof LibcUnavailable) throw error;
    return { ...NOTHING, name, touch, granted: false, reason };
  }
  const file = scratch?.file;
  const { kind, pageSize, fd } = memory.describe()[0]!;
  const isPrivate = fd === null;
  const seesBlocks = file !== undefined || kind === "memfd" && unseen.blocks === null;
  const blocks = () => !seesBlocks ? null : file ? file.statSync().blocks : memfdBlocks(memory);
  const resident = () => unseen.resident === null ? residentBytes(memory) : null;
  // A memfd has no blocks when it is made; mapping it may take all of them.
  if (file === undefined && seesBlocks) blocksNew = 0;

  const firstTouchUs = Math.min(rehearsed, await touchAll(memory, size, touch));
  const before = { residentBefore: resident(), blocksBefore: blocks() };
  const copyGibPerS = copySpeed(memory, buffer);
  await turn();
  const { discarded, discardRefused, problem } = discardAll(memory, size);
  const isDiscarded = discarded !== null;
  const after = { residentAfter: resident(), blocksAfter: blocks() };
  const readsZero = isDiscarded ? memory.isZero(START, size) : null;
  await turn();
  // Looking took pages again, or the page of zeros.
  if (isDiscarded) memory.discard(START, size);
  const againTouchUs = isDiscarded ? await touchAll(memory, size, touch) : null;
  const isKept = wish?.filled === true && (isPrivate || !isDiscarded);
  const fileUnchanged = isKept ? isUnchanged(file!, size) : null;
  // A shared discard empties the file too, a private one leaves it alone.
  const blocksDue = isPrivate ? blocksNew : scratch?.blocksEmpty ?? blocksNew;
  const row = {
    ...{ name, granted: true, reason: null, touch, pageSize, mapMs, firstTouchUs, againTouchUs },
    ...{ copyGibPerS, ...before, ...after, blocksNew, discarded, discardRefused, readsZero },
    fileUnchanged,
  };
  return { ...row, problems: problem === undefined ? problemsOf(row, size, blocksDue) : [problem] };
}

// Touches memory that is unmapped again: the kernel has pages then that the host need not provide.
async function rehearse(
  map: Candidate["map"],
  size: number,
  touch: "read" | "write",
): Promise<number> {
  using stack = new DisposableStack();
  const keep = <T extends Disposable>(resource: T) => stack.use(resource);
  const memory = stack.use(await map({ size, file: undefined, keep }));
  return await touchAll(memory, size, touch);
}

// Microseconds for each page in the best batch: memory that the host took back is slow to return,
// and says nothing of the backing.
async function touchAll(
  memory: GuestMemoryMmap,
  size: number,
  touch: "read" | "write",
): Promise<number> {
  const touchBatch = touch === "write" ? writePages : readPages;
  let best = Infinity;
  for (let end = size, count = 1; end > 0; end -= BATCH, count++) {
    const start = performance.now();
    touchBatch(memory, end - BATCH, end);
    best = Math.min(best, performance.now() - start);
    if (count % BATCHES_IN_TURN === 0) await turn();
  }
  return best * 1000 / (BATCH / PAGE);
}

// From the last to the first: upwards, the kernel would read more and more of a file ahead.

function writePages(memory: GuestMemoryMmap, start: number, end: number): void {
  for (let at = end - PAGE; at >= start; at -= PAGE) memory.writeObj(u32, MARK, GuestAddress(at));
}

function readPages(memory: GuestMemoryMmap, start: number, end: number): void {
  for (let at = end - PAGE; at >= start; at -= PAGE) memory.readObj(u32, GuestAddress(at));
}

function copySpeed(memory: GuestMemoryMmap, buffer: Uint8Array<ArrayBuffer>): number {
  let best = Infinity;
  for (let round = 0; round < COPIES; round++) {
    const start = performance.now();
    memory.read(buffer, START);
    best = Math.min(best, performance.now() - start);
  }
  return buffer.length / GIB / (best / 1000);
}

interface Discarding {
  readonly discarded: number | null;
  readonly discardRefused: string | null;
  readonly problem?: string;
}

function discardAll(memory: GuestMemoryMmap, size: number): Discarding {
  try {
    return { discarded: memory.discard(START, size), discardRefused: null };
  } catch (error) {
    const failed = { discarded: null, discardRefused: null };
    if (error instanceof SystemError) return { ...failed, problem: error.message };
    if (!(error instanceof OptionRefused)) throw error;
    // The library refuses what would do harm, or nothing: then all of it has to be there still.
    const refused = { ...failed, discardRefused: error.reason };
    const isThere = !memory.isZero(START, PAGE);
    return isThere ? refused : { ...refused, problem: "refused, and the content is gone" };
  }
}

function problemsOf(
  row: Omit<Row, "problems">,
  size: number,
  blocksDue: number | null,
): string[] {
  const problems = [];
  if (row.fileUnchanged === false) problems.push("its file has changed");
  if (row.discarded === null) return problems;
  const { discarded, residentAfter, blocksAfter, readsZero } = row;
  if (discarded !== size) {
    problems.push(`discard returned ${sizeText(discarded)}, not ${sizeText(size)}`);
  }
  if (residentAfter !== null && residentAfter > 0) {
    problems.push(`${sizeText(residentAfter)} are resident`);
  }
  if (blocksAfter !== blocksDue) {
    problems.push(`its file has ${blocksAfter} blocks, it should have ${blocksDue}`);
  }
  if (readsZero === false) problems.push("the content is not zero");
  return problems;
}

/** Lets the event loop handle what has come, such as a signal. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}
