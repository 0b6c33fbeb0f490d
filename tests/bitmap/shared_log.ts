/**
 * A dirty log in a file that several processes and threads map, each for itself.
 *
 * @module
 */
import { AtomicBitmap, Backing, MmapRegion, u32, type VolatileSlice } from "../../mod.ts";

/** Pages of the log. */
export const PAGES = 32_768;
/** Bytes of a page. */
export const PAGE_SIZE = 4096;

// Bytes of the file: the words of the log, those of `Control`, and the page that is written.
const LOG_BYTES = PAGES / 8;
const FILE_BYTES = 3 * 4096;

/** What the words after the log are for: far apart, so that they share no cache line. */
export const Control = {
  /** How many others are ready. */
  READY: 0,
  /** 0 to wait, then the number of the round, -1 to stop. */
  ROUND: 64,
  /** The last round that is done. */
  DONE: 128,
  /** What the consumer found in the page. */
  COPY: 192,
} as const;

/** One mapping of the file. */
export interface SharedLog extends Disposable {
  /** The log's memory. */
  readonly slice: VolatileSlice;
  /** The words of {@linkcode Control}. */
  readonly control: VolatileSlice;
  /** A page of memory that is written. */
  readonly page: VolatileSlice;
  /** The words of the log, as the other side has them. */
  readonly words: Int32Array;
}

/** Makes the file, in memory where the host has a folder for that. */
export function makeLogFile(): Disposable & { readonly path: string } {
  const path = Deno.makeTempFileSync(Deno.build.os === "linux" ? { dir: "/dev/shm" } : {});
  Deno.truncateSync(path, FILE_BYTES);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}

/** Maps the file. */
export function mapLog(path: string): SharedLog {
  using file = Deno.openSync(path, { read: true, write: true });
  const region = new MmapRegion(FILE_BYTES, { backing: Backing.file(file) });
  const all = region.asVolatileSlice();
  return {
    slice: all.getSlice(0, LOG_BYTES),
    control: all.getSlice(4096, 4096),
    page: all.getSlice(8192, 4096),
    words: all.memory.i32.subarray(0, LOG_BYTES / 4),
    [Symbol.dispose]: () => region.close(),
  };
}

/** A bitmap over the log. */
export function bitmapOver(log: SharedLog, marks?: "always" | "once"): AtomicBitmap {
  return AtomicBitmap.over(log.slice, { byteSize: PAGES * PAGE_SIZE, marks });
}

/** One more is ready. */
export function countReady({ control }: SharedLog): void {
  control.getAtomicRef(u32, Control.READY * 4).fetchAdd(1);
}

/** Reads a word of {@linkcode Control}. */
export function load({ control }: SharedLog, word: number): number {
  return control.load(u32, word * 4) | 0;
}

/** Writes a word of {@linkcode Control}. */
export function store({ control }: SharedLog, word: number, value: number): void {
  control.store(u32, value >>> 0, word * 4);
}

/** Waits until so many others are ready. */
export async function waitReady(log: SharedLog, count: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (load(log, Control.READY) < count) {
    if (performance.now() > deadline) throw new Error("The others do not get ready");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
