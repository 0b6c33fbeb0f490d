/**
 * A memory of this process as what the page shows: who wrote a page is known here.
 *
 * @module
 */
import { type GuestMemoryMmap, takeDirty } from "@vmm/guest-memory";
import { PageNumbers, type PageRun, PageState } from "./page_runs.ts";
import type { MemorySource, SourceChange, SourceListener } from "./source.ts";

/** What a source of tracked memory consists of. */
export interface TrackedOptions {
  readonly title: string;
  readonly about: string;
  /** A memory with bitmaps, in which the host's writes are marked. */
  readonly memory: GuestMemoryMmap;
  /** Bytes of a page of these bitmaps. */
  readonly pageSize: number;
  /** Marks in the bitmaps what the guest has written since the last time; it may mark the host's, too. */
  collect(): void;
  /** Called before each look, as to let the guest run. */
  step?(): Promise<void>;
  /** Called with what a look throws. */
  onError(error: unknown): void;
}

/** How often the page gets what is new, in ms. */
const INTERVAL = 100;

/** A source of memory whose writes are tracked. */
export class TrackedSource implements MemorySource {
  readonly title: string;
  readonly about: string;
  readonly memory: GuestMemoryMmap;
  readonly pages: PageNumbers;
  readonly writers = { guest: "guest wrote", host: "host wrote" };
  readonly look = "look";
  readonly #options: TrackedOptions;
  readonly #start = performance.now();
  #isFirst = true;
  #listener: SourceListener | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(options: TrackedOptions) {
    const { title, about, memory, pageSize } = options;
    this.title = title;
    this.about = about;
    this.memory = memory;
    this.pages = new PageNumbers(memory, pageSize);
    this.#options = options;
  }

  /** Whole ms since the source was made. */
  now(): number {
    return Math.floor(performance.now() - this.#start);
  }

  /** Marks this moment on the page, if somebody looks. */
  mark(text: string): void {
    this.#listener?.marked({ at: this.now(), text });
  }

  /** Says that there is nothing more to come. */
  end(reason: string): void {
    this.#listener?.ended(reason);
    this.#listener = undefined;
  }

  /** Looks until it is stopped. */
  watch(listener: SourceListener): () => void {
    this.#listener = listener;
    // A step that was begun ends before the next begins.
    this.#last = this.#last.then(() => this.#run(listener)).catch(this.#options.onError);
    return () => {
      if (this.#listener === listener) this.#listener = undefined;
    };
  }

  /** Waits for the step that was begun. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener = undefined;
    await this.#last;
  }

  async #run(listener: SourceListener): Promise<void> {
    while (this.#listener === listener) {
      await this.#options.step?.();
      listener.changed(this.#take());
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
  }

  #take(): SourceChange {
    const start = performance.now();
    const { memory } = this;
    using byHost = takeDirty(memory);
    this.#options.collect();
    using later = takeDirty(memory);
    const resident = memory.residentRanges();
    const runs: PageRun[] = this.#isFirst ? this.#runsOf(resident, PageState.present) : [];
    this.#isFirst = false;
    const guest = this.#runsOf(later, PageState.guest);
    // After the guest's: where both wrote, the host is shown.
    const host = this.#runsOf(byHost, PageState.host);
    return {
      at: this.now(),
      milliseconds: performance.now() - start,
      resident: pagesOf(this.#runsOf(resident, PageState.present)),
      changed: pagesOf(guest) + pagesOf(host),
      runs: [...runs, ...guest, ...host],
    };
  }

  // A run of bytes may go from one region into the next.
  #runsOf(ranges: Iterable<readonly [number, number]>, state: PageState): PageRun[] {
    const { pages } = this;
    return [...ranges].flatMap(([address, length]) =>
      pages.regions.flatMap(({ startAddr, firstPage, pages: count }) => {
        const from = Math.max(0, Math.floor((address - startAddr) / pages.pageSize));
        const to = Math.min(count, Math.ceil((address + length - startAddr) / pages.pageSize));
        return from < to ? [{ first: firstPage + from, count: to - from, state }] : [];
      })
    );
  }
}

function pagesOf(runs: readonly PageRun[]): number {
  return runs.reduce((sum, { count }) => sum + count, 0);
}
