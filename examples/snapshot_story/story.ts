/**
 * A guest that counts, its snapshot, a diff, and clones: what happens, step by step.
 *
 * @module
 */
import {
  AtomicBitmap,
  capabilities,
  dirtyRuns,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  takeDirty,
} from "@vmm/guest-memory";
import {
  applyDiff,
  restore,
  type SnapshotReport,
  writeDiff,
  writeSnapshot,
  WriteTracker,
  writtenSinceRestore,
} from "@vmm/guest-memory/snapshot";
import { openUnnamedFile } from "../lib/unnamed_file.ts";
import { type CounterState, countIn, type Counting, MEMORY_SIZE, PAGE } from "./counter.ts";
import { type Content, contentsOf, pagesIn } from "./pages.ts";

/** What reports of snapshots and of diffs have in common. */
type Counts = Pick<SnapshotReport, "bytes" | "written">;

/** Something that was written to a file. */
export interface Written extends Counts {
  /** How long it took, in milliseconds. */
  readonly time: number;
  /** Bytes of the file's blocks. */
  readonly stored: number;
}

/** A clone that has counted on. */
export interface CloneStory {
  /** From the call of `restore` to the end of the first read of memory, in milliseconds. */
  readonly access: number;
  /** How far it has counted. */
  readonly count: number;
  /** How far it should have. */
  readonly due: number;
  /** The pages that it has private copies of. */
  readonly own: ReadonlySet<number>;
}

/** All that happened. */
export interface Story {
  /** How far the guest had counted at the snapshot, and what was in its memory. */
  readonly base: { readonly count: number; readonly contents: readonly Content[] };
  readonly full: Written;
  /** The same, without pages of zeros. */
  readonly withoutZeros: Written;
  /** How far it had counted at the diff, what was in its memory, and what it had written since. */
  readonly later: Story["base"] & { readonly dirty: ReadonlySet<number> };
  readonly diff: Written;
  /** How long it took to bring the snapshot up to date, in milliseconds. */
  readonly apply: number;
  readonly clones: readonly CloneStory[];
  /** How far the snapshot has been counted, after all clones. */
  readonly snapshotCount: number;
}

/** How far the guest counts until its snapshot, and from there to the diff. */
const [BEFORE, BETWEEN] = [24, 16];
/** How much farther than the clone before each clone counts. */
const STEP = 2;
const RANGES = [[GuestAddress(0), MEMORY_SIZE]] as const;

/**
 * Lets it happen.
 *
 * @param counting Who counts.
 * @param clones How many clones there are.
 */
export async function play(counting: Counting, clones: number): Promise<Story> {
  using stack = new DisposableStack();
  const open = () => stack.use(openUnnamedFile("guest-memory-snapshot-"));
  const [snapshot, other, changes] = [open(), open(), open()];
  const memory = GuestMemoryMmap.fromRanges(RANGES, { bitmap });
  await using guest = counting.start(memory);

  await guest.count(BEFORE);
  const base = { count: countIn(memory), contents: contentsOf(memory) };
  const full = await written(snapshot, () => writeSnapshot(memory, snapshot));
  const withoutZeros = await written(other, () => writeSnapshot(memory, other, { skip: "zero" }));
  // The guest is paused still: nothing is written between the snapshot and the tracker's start. Before,
  // a tracker would protect pages that are not there, and the snapshot would have to read them all.
  using tracker = startTracker(memory);
  takeDirty(memory)[Symbol.dispose]();

  await guest.count(BETWEEN);
  const state = guest.save();
  tracker?.collect();
  using dirty = takeDirty(memory);
  const later = {
    count: countIn(memory),
    contents: contentsOf(memory),
    dirty: pagesIn(dirty),
  };
  const diff = await written(changes, () => writeDiff(memory, changes, dirty));
  const start = performance.now();
  await applyDiff(snapshot, changes);
  const apply = performance.now() - start;

  const { fd } = new FileOffset(snapshot);
  const stories = await playClones(counting, state, fd, later.count, clones);
  using last = restore(RANGES, fd, { mode: "copyOnWrite" });
  return {
    ...{ base, full, withoutZeros, later, diff, apply },
    clones: stories,
    snapshotCount: countIn(last),
  };
}

// All of them are there together, and look at their memory when the last one has counted.
async function playClones(
  counting: Counting,
  state: CounterState,
  fd: number,
  count: number,
  clones: number,
): Promise<CloneStory[]> {
  await using stack = new AsyncDisposableStack();
  const all = [];
  for (let number = 1; number <= clones; number++) {
    const start = performance.now();
    const memory = restore(RANGES, fd, { mode: "copyOnWrite", bitmap });
    countIn(memory);
    const access = performance.now() - start;
    const clone = stack.use(counting.resume(memory, state));
    await clone.count(number * STEP);
    all.push({ access, memory, due: count + number * STEP });
  }
  return all.map(({ access, memory, due }) => {
    return { access, count: countIn(memory), due, own: pagesIn(ownRuns(memory)) };
  });
}

// Without the kernel's word, what was written by the library is known.
function ownRuns(memory: GuestMemoryMmap): Iterable<readonly [number, number]> {
  const isListed = capabilities().trackers.writtenSinceRestore.available;
  return isListed ? writtenSinceRestore(memory) : dirtyRuns(memory);
}

/** Tracks what anybody writes, where the kernel can; the library's own writes are marked anyway. */
function startTracker(memory: GuestMemoryMmap): WriteTracker | undefined {
  return capabilities().trackers.writeTracker.available ? WriteTracker.start(memory) : undefined;
}

function bitmap(length: number): AtomicBitmap {
  return new AtomicBitmap(length, PAGE);
}

async function written(file: Deno.FsFile, write: () => Promise<Counts>): Promise<Written> {
  const start = performance.now();
  const { bytes, written } = await write();
  const time = performance.now() - start;
  return { bytes, written, time, stored: (file.statSync().blocks ?? 0) * 512 };
}
