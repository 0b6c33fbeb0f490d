/**
 * Finds the pages that changed, by comparing hashes: the kernel records only what the process itself
 * writes, not what QEMU does.
 *
 * @module
 */
import type { GuestMemoryMmap } from "@vmm/guest-memory";
import { PageNumbers, type PageRun, PageState } from "../view/page_runs.ts";
import type { ResidentRanges, SweepRequest, SweepResult } from "./share_sweeper.ts";

/** What a sweep saw. */
export interface Sweep {
  /** When it was finished: whole ms since the sweeper was started. */
  readonly at: number;
  /** How long it took, in ms. */
  readonly milliseconds: number;
  /** Pages that are there. */
  readonly resident: number;
  /** Pages that changed since the sweep before. */
  readonly changed: number;
  /** What is new of pages, in no order. The first sweep lists all that are there. */
  readonly runs: readonly PageRun[];
}

// Fewer bytes than this for each thread would take longer to hand out than to hash.
const STRETCH = 2 ** 24;
const MOST_THREADS = 4;

/** Threads that hash the pages of a memory. */
export class Sweeper implements Disposable {
  /** How the pages are numbered. */
  readonly pages: PageNumbers;
  readonly #workers: readonly Worker[];
  readonly #seen: Uint32Array;
  readonly #start = performance.now();
  #sweep = 0;

  /**
   * Starts the threads.
   *
   * @param memory The memory. It has to stay open until the sweeper is disposed of.
   * @param pageSize Bytes of a page.
   * @param threads How many.
   */
  constructor(
    memory: GuestMemoryMmap,
    pageSize: number,
    threads: number = Math.min(navigator.hardwareConcurrency, MOST_THREADS),
  ) {
    this.pages = new PageNumbers(memory, pageSize);
    const [hashes, seen] = [
      new SharedArrayBuffer(4 * this.pages.count),
      new SharedArrayBuffer(4 * this.pages.count),
    ];
    this.#seen = new Uint32Array(seen);
    this.#workers = Array.from({ length: threads }, () => {
      const worker = new Worker(new URL("./sweep_worker.ts", import.meta.url).href, {
        type: "module",
      });
      ask(worker, { handle: memory.share(), pageSize, hashes, seen });
      return worker;
    });
  }

  /** Whole ms since the sweeper was started. */
  now(): number {
    return Math.floor(performance.now() - this.#start);
  }

  /** Looks at every page that is there. Only one sweep may run at a time. */
  async sweep(): Promise<Sweep> {
    const start = performance.now();
    const sweep = ++this.#sweep;
    const stretches = this.#stretchesOf(
      await answer<ResidentRanges>(this.#workers[0]!, "resident"),
    );
    const shares: number[][] = this.#workers.map(() => []);
    stretches.forEach((stretch, i) => shares[i % shares.length]!.push(...stretch));
    const results = await Promise.all(
      this.#workers.map((worker, i) =>
        answer<SweepResult>(worker, { sweep, stretches: Float64Array.from(shares[i]!) })
      ),
    );
    const runs: PageRun[] = [];
    if (sweep === 1) {
      for (const [, first, count] of stretches) {
        runs.push({ first, count, state: PageState.present });
      }
    }
    let changed = 0;
    for (const result of results) {
      for (let i = 0; i < result.length; i += 2) {
        runs.push({ first: result[i]!, count: result[i + 1]!, state: PageState.guest });
        changed += result[i + 1]!;
      }
    }
    this.#addVanished(sweep, runs);
    const end = performance.now();
    return {
      at: Math.floor(end - this.#start),
      milliseconds: end - start,
      resident: stretches.reduce((sum, [, , count]) => sum + count, 0),
      changed,
      runs,
    };
  }

  /** Ends the threads. */
  [Symbol.dispose](): void {
    for (const worker of this.#workers) ask(worker, "end");
  }

  #stretchesOf(ranges: ResidentRanges): [address: number, first: number, count: number][] {
    const { pages } = this;
    const stretches: [number, number, number][] = [];
    for (let i = 0; i < ranges.length; i += 2) {
      const [start, length] = [ranges[i]!, ranges[i + 1]!];
      for (let done = 0; done < length; done += STRETCH) {
        const page = pages.pageAt(start + done);
        const count = Math.floor(Math.min(STRETCH, length - done) / pages.pageSize);
        if (page !== undefined && count > 0) stretches.push([start + done, page, count]);
      }
    }
    return stretches;
  }

  // Pages that the guest, or its balloon, has given back.
  #addVanished(sweep: number, runs: PageRun[]): void {
    if (sweep === 1) return;
    const seen = this.#seen;
    for (let page = 0; page < seen.length; page++) {
      if (seen[page] !== sweep - 1) continue;
      const first = page;
      while (seen[page] === sweep - 1) seen[page++] = 0;
      runs.push({ first, count: page - first, state: PageState.absent });
    }
  }
}

function answer<T>(worker: Worker, request: SweepRequest): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<T>) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(message));
    ask(worker, request);
  });
}

function ask(worker: Worker, request: SweepRequest): void {
  worker.postMessage(request);
}
