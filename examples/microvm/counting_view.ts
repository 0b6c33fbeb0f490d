/**
 * A guest that counts, its host, and snapshots of both, to look at in a browser.
 *
 * @module
 */
import { AtomicBitmap, capabilities, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { writeSnapshot, WriteTracker } from "@vmm/guest-memory/snapshot";
import { openUnnamedFile } from "../lib/unnamed_file.ts";
import { duration, size } from "../lib/units.ts";
import { CANVAS, countIn, MEMORY_SIZE, PAGE } from "../snapshot_story/counter.ts";
import { KvmCounting } from "../snapshot_story/kvm_counting.ts";
import { serveView } from "../view/server.ts";
import { TrackedSource } from "../view/tracked_source.ts";
import { MicrovmError } from "./microvm_error.ts";

const SNAPSHOT_EVERY = 5000;
/** Where the host writes: a ring of pages of its own, before the guest's. */
const NOTES = 16;
const NOTES_START = CANVAS - NOTES * PAGE;
const NOTE_EVERY = 5;

/**
 * Shows the guest until a signal comes. It counts while somebody looks.
 *
 * @param device KVM's device.
 * @param port The port of 127.0.0.1; 0 takes a free one.
 * @param print Shows where to look.
 * @throws {MicrovmError} There is no KVM, or the kernel does not track writes.
 */
export async function viewCounting(
  device: string,
  port: number,
  print: (line: string) => void,
): Promise<void> {
  const { available, reason } = capabilities().trackers.writeTracker;
  if (!available) throw new MicrovmError(`--view needs the kernel to track writes: ${reason}`);
  await using counting = new KvmCounting(device);
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), MEMORY_SIZE]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  await using guest = counting.start(memory);
  // Each snapshot replaces the one before.
  using file = openUnnamedFile("guest-memory-view-");
  using tracker = WriteTracker.start(memory);
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  let steps = 0;
  let snapshotAt = 0;
  await using source = new TrackedSource({
    title: "A guest that counts",
    about: `Each count writes a page above ${size(CANVAS)}; the host writes to the ${NOTES} below`,
    memory,
    pageSize: PAGE,
    collect: () => void tracker.collect(),
    onError: reject,
    async step() {
      await guest.count(1);
      if (steps++ % NOTE_EVERY === 0) note(memory, steps / NOTE_EVERY | 0);
      if (source.now() < snapshotAt) return;
      snapshotAt = source.now() + SNAPSHOT_EVERY;
      source.mark(await snapshot(memory, file));
    },
  });
  await using server = serveView(source, port);
  print(server.url);
  using _signals = onSignals(resolve);
  await ended;
}

// The guest is paused meanwhile.
async function snapshot(memory: GuestMemoryMmap, file: Deno.FsFile): Promise<string> {
  const start = performance.now();
  const { written } = await writeSnapshot(memory, file);
  const took = duration(performance.now() - start);
  return `at count ${countIn(memory)}: ${size(written)} in ${took}`;
}

function note(memory: GuestMemoryMmap, number: number): void {
  const text = new TextEncoder().encode(`the host's note ${number}`);
  memory.writeSlice(text, GuestAddress(NOTES_START + number % NOTES * PAGE));
}

/** Calls a function when the user, or the system, ends the program. */
function onSignals(end: () => void): Disposable {
  const signals: Deno.Signal[] = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) Deno.addSignalListener(signal, end);
  return {
    [Symbol.dispose]() {
      for (const signal of signals) Deno.removeSignalListener(signal, end);
    },
  };
}
