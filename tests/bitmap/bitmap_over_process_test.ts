import { assert, assertEquals } from "@std/assert";
import { u32 } from "../../mod.ts";
import { pagesOf } from "../support/bitmaps.ts";
import { bitmapOver, Control, load, makeLogFile, mapLog, PAGE_SIZE } from "./shared_log.ts";
import { PAGES, type SharedLog, store, waitReady } from "./shared_log.ts";

/** Starts a process that takes marks, and waits until it is ready. */
async function startDrains(log: SharedLog, path: string, kind: "drain" | "copy") {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-check", "--allow-all"],
      ...[new URL("./drain_process.ts", import.meta.url).href, path, kind],
    ],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = child.output();
  await waitReady(log, 1);
  return { output };
}

// So that much is taken while marks are made, however busy the machine is.
function waitForDrain(log: SharedLog): void {
  const before = load(log, Control.DONE);
  const deadline = performance.now() + 30_000;
  while (load(log, Control.DONE) === before) {
    assert(performance.now() < deadline, "The other process takes nothing");
  }
}

Deno.test("AtomicBitmap over memory: another process takes each mark once, and none is lost", async () => {
  using file = makeLogFile();
  using log = mapLog(file.path);
  const bitmap = bitmapOver(log);
  const { output } = await startDrains(log, file.path, "drain");
  store(log, Control.ROUND, 1);
  // Every third page is not marked. An odd step meets all pages, each word again and again.
  const wanted = Uint8Array.from({ length: PAGES }, (_, page) => page % 3 === 0 ? 0 : 1);
  for (let i = 0, page = 0; i < PAGES; i++, page = (page + 20_011) % PAGES) {
    if (wanted[page] === 1) bitmap.markDirty(page * PAGE_SIZE, 1 + i % PAGE_SIZE);
    if (i % (PAGES / 8) === 0) waitForDrain(log);
  }
  store(log, Control.ROUND, -1);
  const { code, stdout: times } = await output;
  assertEquals(code, 0);
  assertEquals(times.length, PAGES);
  // What was taken, and what is left.
  for (const page of pagesOf(bitmap)) times[page]!++;
  assertEquals(times.findIndex((count, page) => count !== wanted[page]), -1, "a page's marks");
});

Deno.test("AtomicBitmap over memory: a write is copied by another process or marks its page again", async () => {
  using file = makeLogFile();
  using log = mapLog(file.path);
  const bitmap = bitmapOver(log);
  const page = log.page.withBitmap(bitmap);
  const { output } = await startDrains(log, file.path, "copy");
  const deadline = performance.now() + 2000;
  let lost = 0;
  let rounds = 0;
  while (rounds < 10 ** 6 && performance.now() < deadline) {
    bitmap.setBit(0);
    store(log, Control.ROUND, ++rounds);
    page.writeObj(u32, rounds, 0);
    for (let turn = 0; load(log, Control.DONE) !== rounds; turn++) {
      assert(turn < 10 ** 9, `The other process does not end round ${rounds}`);
    }
    if (load(log, Control.COPY) !== rounds && !bitmap.isBitSet(0)) lost++;
  }
  store(log, Control.ROUND, -1);
  assertEquals((await output).code, 0);
  assertEquals(lost, 0, `${lost} writes of ${rounds} are neither copied nor marked`);
});
