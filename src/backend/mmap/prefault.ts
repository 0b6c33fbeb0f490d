/**
 * Taking pages before they are touched, on Deno's thread pool; elsewhere on this thread.
 *
 * @module
 */
import { libc } from "../../../ffi/libc.ts";
import { adviseMemory, forResidentRuns, pageSize } from "../../../ffi/memory.ts";
import { isMemfd } from "../../../ffi/memfd.ts";
import { adviseOnPool } from "../../../ffi/pages.ts";
import { availableMemory, totalMemory } from "../../../ffi/process.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import { Permissions } from "../../permissions.ts";
import type { Mapping, MappingShape } from "./mapping.ts";
import { ensureEnough, populating, refusing } from "./page_options.ts";

/** How pages are taken. */
export interface PrefaultOptions {
  /**
   * How many calls run at the same time. By default twice as many as the host has processors: one
   * that ends leaves no processor idle until the next begins.
   */
  readonly lanes?: number;
  /** Bytes of one call: a multiple of the page size. 64 MiB by default. */
  readonly chunk?: number;
  /** Called after each call with the bytes that are done, and all of them. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Stops it: calls that run end first, then its reason is thrown. Pages stay taken. */
  readonly signal?: AbortSignal;
}

const CHUNK = 2 ** 26;
// More than Deno's pool has threads.
const MAX_LANES = 256;

/**
 * Takes all pages of mappings. The event loop runs meanwhile, in Node.js and Bun between two calls. The
 * mappings stay mapped until it ends, even if they are closed.
 *
 * @param mappings The mappings.
 * @param options How.
 * @throws {OptionRefused} There is not enough memory, or no access is allowed.
 */
export async function prefaultAll(
  mappings: readonly Mapping[],
  options: PrefaultOptions = {},
): Promise<void> {
  const { lanes = 2 * navigator.hardwareConcurrency, chunk = CHUNK, onProgress, signal } = options;
  checkPositive("lanes", lanes);
  checkPositive("chunk", chunk);
  signal?.throwIfAborted();
  const total = mappings.reduce((sum, { shape }) => sum + pagesOf(shape), 0);
  ensureAvailable(mappings);
  // Made one by one: there may be many.
  const queue = piecesOf(mappings, chunk);
  let done = 0;
  // What is thrown in one lane ends the queue, and so the others.
  const lane = async () => {
    for (const piece of queue) {
      signal?.throwIfAborted();
      await populate(piece);
      done += piece.length;
      onProgress?.(done, total);
    }
  };
  // All lanes end before the first failure is thrown: none is left running.
  const count = Math.min(lanes, MAX_LANES);
  const results = await Promise.allSettled(Array.from({ length: count }, lane));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

function checkPositive(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value > 0) return;
  throw new RangeError(`Cannot prefault with ${name} ${value}: it must be an integer from 1`);
}

interface Piece {
  readonly mapping: Mapping;
  readonly address: number;
  readonly length: number;
}

function* piecesOf(mappings: readonly Mapping[], chunk: number): Generator<Piece> {
  for (const mapping of mappings) {
    const pages = pagesOf(mapping.shape);
    const step = stepOf(mapping.shape, chunk);
    for (let done = 0; done < pages; done += step) {
      const address = mapping.shape.address + done;
      yield { mapping, address, length: Math.min(step, pages - done) };
    }
  }
}

// Bytes of all pages of a mapping.
function pagesOf({ length, pageSize }: MappingShape): number {
  return Math.ceil(length / pageSize) * pageSize;
}

// Bytes of one call, in whole pages.
function stepOf({ pageSize }: MappingShape, chunk: number): number {
  return Math.ceil(chunk / pageSize) * pageSize;
}

// Beyond what is available, the kernel would end a process.
function ensureAvailable(mappings: readonly Mapping[]): void {
  const shapes = mappings.filter(takesMemory).map(({ shape }) => shape);
  let missing = shapes.reduce((sum, { length }) => sum + length, 0);
  const available = availableMemory();
  if (missing <= available) return;
  // No more can be there already than the host has, so that need not be counted.
  if (missing - totalMemory() <= available) {
    for (const { address, length, kind, shared } of shapes) {
      // Of a private mapping, the call counts what anybody has read of the file.
      if (kind === "file" && !shared) continue;
      forResidentRuns(address, length, (_, resident) => missing -= resident);
    }
  }
  ensureEnough("prefault", missing, available);
}

// Whether its pages are of the memory that is available: not huge pages, which are of a pool, nor those
// of a file, unless they are copied or the file is in memory.
function takesMemory({ shape, protection, descriptor }: Mapping): boolean {
  if (shape.pageSize !== pageSize()) return false;
  if (shape.kind !== "file") return true;
  return shape.shared ? isMemfd(descriptor!.fd) : Permissions.allow(protection, Permissions.Write);
}

async function populate({ mapping, address, length }: Piece): Promise<void> {
  if (mapping.released) throw new MemoryClosed("mapping");
  const advice = populating(mapping.protection);
  const value = libc().platform.advice[advice];
  const isDone = value !== undefined &&
    await mapping.during(() => adviseOnPool(address, length, value));
  if (isDone) return;
  if (mapping.released) throw new MemoryClosed("mapping");
  // Why it failed is known only of a call on this thread.
  refusing("prefault", () => adviseMemory(address, length, advice));
}
