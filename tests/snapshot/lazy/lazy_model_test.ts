import { assert, assertEquals } from "@std/assert";
import { AtomicBitmap, type GuestMemoryMmap, takeDirty, u64 } from "../../../mod.ts";
import { FaultHandler, WriteTracker } from "../../../src/snapshot/mod.ts";
import { Random } from "../../hostile/random.ts";
import { gpa } from "../../support/values.ts";
import { reasonOf } from "../tracking.ts";
import { contentOf, lazyTest, PAGE, snapshotOf } from "./lazy_memory.ts";
import { hasContent, Player } from "./lazy_player.ts";
import type { PlayReport, PlayRequest } from "./lazy_player_worker.ts";

const RANGES = [[16 * PAGE, 400 * PAGE + 24], [2 ** 32, 160 * PAGE]] as const;
const WORKERS = 2;
const MILLISECONDS = 3500;

/** A thread that plays when it is asked. */
class PlayingThread implements Disposable {
  readonly #worker = new Worker(new URL("lazy_player_worker.ts", import.meta.url), {
    type: "module",
  });

  play(request: PlayRequest): Promise<PlayReport> {
    const { promise, resolve, reject } = Promise.withResolvers<PlayReport>();
    this.#worker.onmessage = ({ data }) => resolve(data);
    this.#worker.onerror = ({ message }) => reject(new Error(message));
    this.#worker.postMessage(request);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

// One memory, which all threads use while it is loaded.
async function play(
  memory: GuestMemoryMmap,
  random: Random,
  threads: readonly PlayingThread[],
): Promise<void> {
  const handler = FaultHandler.of(memory);
  const isTracked = reasonOf("writeTracker") === undefined && random.int(2) === 0;
  const regions = [...memory].slice(0, 1 + random.int(2));
  using tracker = isTracked ? WriteTracker.start(regions) : undefined;
  const parts = threads.length + 1;
  const reports = threads.map((thread, index) => {
    const seed = random.int(2 ** 31);
    const acts = random.int(3000);
    return thread.play({ handle: memory.share(), seed, part: index + 1, parts, acts });
  });
  const own = new Player(memory, random, 0, parts);
  for (let round = random.int(8); round > 0; round--) {
    for (let act = random.int(200); act > 0; act--) own.act();
    if (random.int(2) === 0) handler.restart();
    if (random.int(2) === 0) tracker?.collect();
    await new Promise((resolve) => setTimeout(resolve, random.int(4)));
  }
  const written = new Set(own.written);
  let changed = written.union(own.discarded);
  for (const report of await Promise.all(reports)) {
    assertEquals(report.error, undefined);
    for (const page of report.written) written.add(page);
    changed = changed.union(report.discarded);
  }
  changed = changed.union(written);
  own.checkAll();
  // Nobody has the page that is not whole.
  const last = 416 * PAGE;
  assertEquals(memory.readObj(u64, gpa(last)), contentOf(last));
  await handler.done;
  own.checkAll();
  if (tracker === undefined) return;
  tracker.collect();
  const dirty = new Set<number>();
  for (const [start, length] of takeDirty(memory as GuestMemoryMmap<AtomicBitmap>)) {
    for (let at: number = start; at < start + length; at += PAGE) dirty.add(at);
  }
  const isTrackedPage = (page: number) =>
    regions.some(({ startAddr, len }) => page >= startAddr && page < startAddr + len);
  assertEquals([...dirty.difference(changed)], [], "too many");
  assertEquals([...written.difference(dirty)].filter(isTrackedPage), [], "missing");
}

lazyTest("threads that read, write, discard and restart agree with a model", async () => {
  using snapshot = await snapshotOf(RANGES, hasContent);
  using stack = new DisposableStack();
  const threads = Array.from({ length: WORKERS }, () => stack.use(new PlayingThread()));
  const end = performance.now() + MILLISECONDS;
  let seed = 0;
  for (; performance.now() < end; seed++) {
    const random = new Random(seed);
    using memory = snapshot.restore({
      prefetch: random.int(3) > 0,
      record: random.int(2) === 0,
      bitmap: (length) => new AtomicBitmap(length, PAGE),
    });
    try {
      await play(memory, random, threads);
    } catch (cause) {
      throw new Error(`Of seed ${seed}`, { cause });
    }
  }
  assert(seed > 2, "it is too slow to find anything");
});
