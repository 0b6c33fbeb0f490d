/**
 * Takes marks of a log that another process makes, without the library's bitmaps.
 *
 *     drain_process.ts PATH drain|copy
 *
 * @module
 */
import { u32 } from "../../mod.ts";
import { Control, countReady, load, mapLog, PAGES, type SharedLog, store } from "./shared_log.ts";

if (import.meta.main) {
  const [path, kind] = Deno.args as [string, "drain" | "copy"];
  using log = mapLog(path);
  countReady(log);
  if (kind === "drain") await Deno.stdout.write(drain(log));
  else copy(log);
}

// A test that failed leaves no process that waits for it.
function ensureTime(): void {
  if (performance.now() > 60_000) throw new Error("The test does not end");
}

// How often each page was taken, as bytes.
function drain(log: SharedLog): Uint8Array {
  const times = new Uint8Array(PAGES);
  while (load(log, Control.ROUND) === 0) ensureTime();
  while (load(log, Control.ROUND) > 0) {
    ensureTime();
    for (let word = 0; word < log.words.length; word++) {
      let bits = Atomics.exchange(log.words, word, 0);
      for (; bits !== 0; bits &= bits - 1) times[word * 32 + 31 - Math.clz32(bits & -bits)]!++;
    }
    store(log, Control.DONE, load(log, Control.DONE) + 1);
  }
  return times;
}

// In each round, takes the mark of page 0 and copies the page, as a migration does.
function copy(log: SharedLog): void {
  for (let done = 0;;) {
    const round = load(log, Control.ROUND);
    if (round < 0) return;
    if (round === done) {
      ensureTime();
      continue;
    }
    // Now sooner, now later, so that it meets the write.
    for (let turn = round % 16; turn > 0; turn--) load(log, Control.READY);
    Atomics.exchange(log.words, 0, 0);
    store(log, Control.COPY, log.page.readObj(u32, 0));
    store(log, Control.DONE, done = round);
  }
}
