/**
 * What the page can show: a memory, and who knows what changes in it.
 *
 * @module
 */
import type { GuestMemory } from "@vmm/guest-memory";
import type { PageNumbers, PageRun } from "./page_runs.ts";

/** What is new. */
export interface SourceChange {
  /** When, in ms since the source was made: an integer below 2^32. */
  readonly at: number;
  /** How long it took to find out, in ms. */
  readonly milliseconds: number;
  /** Pages that are there. */
  readonly resident: number;
  /** Pages that changed. */
  readonly changed: number;
  /** The pages that have another state or have changed again. */
  readonly runs: readonly PageRun[];
}

/** A moment that the page marks, such as a snapshot. */
export interface SourceMark {
  /** When, in ms since the source was made. */
  readonly at: number;
  /** What happened, in a few words. */
  readonly text: string;
}

/** Who is informed. */
export interface SourceListener {
  /** Called for each look at the memory. */
  changed(change: SourceChange): void;
  /** Called for each moment to mark. */
  marked(mark: SourceMark): void;
  /** Called once, when there is nothing more to come, with the reason. */
  ended(reason: string): void;
}

/** A memory that the page shows. */
export interface MemorySource {
  /** What it is of, in a few words. */
  readonly title: string;
  /** More about it, in a sentence. */
  readonly about: string;
  /** Its bytes. Only pages that are there are read. */
  readonly memory: GuestMemory;
  /** How its pages are numbered. */
  readonly pages: PageNumbers;
  /** What the two colours stand for; without `host` there is one. */
  readonly writers: { readonly guest: string; readonly host?: string };
  /** What it takes to find out what changed, such as `sweep`. */
  readonly look: string;
  /** Ms since the source was made. */
  now(): number;
  /**
   * Looks at the memory until it is stopped. Watched again later, it reports what is new since.
   *
   * @returns Stops it.
   */
  watch(listener: SourceListener): () => void;
}
