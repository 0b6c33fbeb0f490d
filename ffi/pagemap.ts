/**
 * What the kernel knows of the pages of this process: `PAGEMAP_SCAN`. Linux 6.7 or later.
 *
 * @module
 */
import { addressOf } from "./io.ts";
import { lastError, lazily, libc } from "./libc.ts";
import { ensureLinux } from "./linux.ts";

// Its own `open`: opening all calls about files takes milliseconds.
const calls = lazily(
  {
    // int open(const char *path, int flags, ...);
    open: { parameters: ["buffer", "i32"], result: "i32" },
    // int ioctl(int fd, unsigned long op, ...);
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  } as const,
);

/** `PAGE_IS_*` of linux/fs.h: what a page is. */
export const PAGE = {
  /** Its mapping is write-protected asynchronously. */
  wpAllowed: 1,
  /** It is not write-protected, so it was written since it was. */
  written: 2,
  /** It is a file's, or of shared memory: not a private copy. */
  file: 4,
  /** It is in the host's RAM. */
  present: 8,
  /** It is in the host's swap space. */
  swapped: 16,
  /** It is the page of zeros, which reading a hole of private memory maps. */
  zero: 32,
  /** It is a huge page, or in one. */
  huge: 64,
} as const;

/** `PM_SCAN_*` of linux/fs.h: what is done to the pages that are found. */
export const SCAN = {
  /** Protects them again, in the same step. */
  protect: 1,
  /** Fails (`EPERM`) where the range has memory that is not protected asynchronously. */
  checkProtection: 2,
} as const;

/** Which pages to find. All numbers are bits of {@linkcode PAGE} but `flags`. */
export interface PageScan {
  /** The host address where the range begins: a multiple of the page size. */
  readonly address: number;
  /** Bytes of the range. The last page is scanned as a whole. */
  readonly length: number;
  /** What a page has to be, all of it, after `inverted`. */
  readonly mask?: number;
  /** What of `mask` and `anyOf` a page must not be. */
  readonly inverted?: number;
  /** What a page has to be some of, after `inverted`. */
  readonly anyOf?: number;
  /** What is returned of each run. */
  readonly returned?: number;
  /** Bits of {@linkcode SCAN}. */
  readonly flags?: number;
}

/** Gets a run of pages: the offset in the range, the bytes, and which of `returned` they are. */
export type OnPageRun = (offset: number, length: number, categories: number) => void;

/**
 * Opens the list of this process's pages, close-on-exec.
 *
 * @returns A descriptor for {@linkcode scanPages}.
 * @throws {SystemError} There is no `/proc`.
 * @throws {LibcUnavailable} FFI is not allowed, or this is not Linux.
 */
export function openPagemap(): number {
  ensureLinux("the list of pages");
  const path = "/proc/self/pagemap";
  // SAFETY: the path ends with a zero byte.
  const fd = calls().open(new TextEncoder().encode(`${path}\0`), libc().platform.closeOnExec);
  if (fd < 0) throw lastError("open", { path });
  return fd;
}

// linux/fs.h: PAGEMAP_SCAN is _IOWR('f', 16, struct pm_scan_arg). That structure consists of 64-bit
// numbers: size, flags, start, end, walk_end, vec, vec_len, max_pages, and four masks.
const PAGEMAP_SCAN = 0xc060_6610n;
const WORDS = 12;
const START = 2;
const WALK_END = 4;

// Runs of one call: more make nothing faster, and take a longer vector. struct page_region has three
// 64-bit numbers: start, end and categories.
const RUNS = 4096;
/** Words of a run in {@linkcode PageRuns}. */
export const RUN_WORDS = 6;

// Lent to one scan at a time.
let free: Uint32Array<ArrayBuffer> | undefined;

/** What a scan has found, as the kernel returns it: `struct page_region`. */
export interface PageRuns {
  /**
   * Six words for each run: the host addresses where it begins and ends, and what its pages are; of
   * each the low word first. They are others after the callback.
   */
  readonly words: Uint32Array;
  /** How many runs there are. */
  readonly count: number;
}

/** The host address, or the categories, in two words of {@linkcode PageRuns}. */
export function wide(words: Uint32Array, at: number): number {
  return words[at]! + words[at + 1]! * 2 ** 32;
}

/**
 * Finds pages of a range, in as many calls of `PAGEMAP_SCAN` as their runs need: see
 * {@linkcode scanPages}, which joins what this returns. V8 puts large numbers on the heap to pass them
 * to a callback, which takes longer than the kernel; this is for loops without.
 *
 * @param pagemap Of {@linkcode openPagemap}, in this process.
 * @param scan Which pages.
 * @param onRuns Called with the runs of each call. Without it, pages are only protected.
 */
export function scanPageRuns(
  pagemap: number,
  scan: PageScan,
  onRuns?: (runs: PageRuns) => void,
): void {
  const { address, length, mask = 0, inverted = 0, anyOf = 0, returned = 0, flags = 0 } = scan;
  const words = onRuns && (free ?? new Uint32Array(RUNS * RUN_WORDS));
  free = undefined;
  const vector = words === undefined ? 0 : addressOf(new Uint8Array(words.buffer));
  const { pageSize } = libc();
  const end = address + Math.ceil(length / pageSize) * pageSize;
  const capacity = words === undefined ? 0 : RUNS;
  const argument = BigUint64Array.from(
    [8 * WORDS, flags, address, end, 0, vector, capacity, 0, inverted, mask, anyOf, returned],
    BigInt,
  );
  for (;;) {
    // SAFETY: the structure has as many bytes as it says, the vector as many runs, and `words` keeps
    // it. The range need not be mapped.
    const count = calls().ioctl(pagemap, PAGEMAP_SCAN, argument);
    if (count < 0) throw lastError("ioctl", { fd: pagemap, request: "PAGEMAP_SCAN", length });
    if (words === undefined) return;
    if (count > 0) onRuns!({ words, count });
    if (count < RUNS) break;
    // Where the walk stopped, but not if it came to the end: the number is an older one then, of when
    // the kernel's own buffer was full.
    const last = wide(words, (count - 1) * RUN_WORDS + 2);
    argument[START] = BigInt(Math.max(last, Number(argument[WALK_END])));
    argument[WALK_END] = 0n;
  }
  free = words;
}

/**
 * Finds pages of a range.
 *
 * @param pagemap Of {@linkcode openPagemap}, in this process.
 * @param scan Which pages.
 * @param onRun Called with each run, by rising offset. Adjacent runs differ in their categories.
 * Without it, pages are only protected, which is faster.
 * @throws {SystemError} A call failed: `ENOTTY` before Linux 6.7; `EPERM`, see
 * {@linkcode SCAN.checkProtection}. Not all runs were reported then.
 */
export function scanPages(pagemap: number, scan: PageScan, onRun?: OnPageRun): void {
  if (onRun === undefined) return scanPageRuns(pagemap, scan);
  const { address } = scan;
  // The run that the next one may continue: also from one call to the next.
  let [start, stop, categories] = [address, address, 0];
  scanPageRuns(pagemap, scan, ({ words, count }) => {
    for (let word = 0; word < count * RUN_WORDS; word += RUN_WORDS) {
      const next = wide(words, word);
      const what = words[word + 4]!;
      if (next !== stop || what !== categories) {
        if (stop > start) onRun(start - address, stop - start, categories);
        start = next;
        categories = what;
      }
      stop = wide(words, word + 2);
    }
  });
  if (stop > start) onRun(start - address, stop - start, categories);
}
