/**
 * Marks pages of a log in a file that it maps.
 *
 * @module
 */
import { bitmapOver, Control, countReady, load, mapLog, PAGE_SIZE, PAGES } from "./shared_log.ts";

/** What a Worker is to do: mark page `first + i * step` modulo the pages, for each of them. */
export interface Order {
  readonly path: string;
  readonly first: number;
  readonly step: number;
  readonly marks: "always" | "once";
}

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  postMessage?: (message: unknown) => void;
};

// Only a Worker has postMessage; the tests import this file for its names.
if (thread.postMessage !== undefined) {
  thread.onmessage = ({ data: { path, first, step, marks } }) => {
    using log = mapLog(path);
    const bitmap = bitmapOver(log, marks);
    countReady(log);
    while (load(log, Control.ROUND) === 0);
    for (let i = 0, page = first; i < PAGES; i++, page = (page + step) % PAGES) {
      bitmap.markDirty(page * PAGE_SIZE, 1);
    }
    thread.postMessage?.("done");
  };
}
