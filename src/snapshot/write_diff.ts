/**
 * What was written to a guest's memory, in a file.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { forDataRuns } from "../../ffi/file_space.ts";
import { pageSize } from "../../ffi/memory.ts";
import { SnapshotRefused } from "../error/snapshot_error.ts";
import { DirtySet, sameMarks } from "../guest/dirty_set.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { wrongKind } from "../text/argument.ts";
import { checkRegions } from "./check_regions.ts";
import { compactDiffOf, writeHead } from "./compact_diff.ts";
import { type Content, Contents } from "./content.ts";
import { type DiffForm, readForm } from "./diff_form.ts";
import { fileRunsOf, saveRuns } from "./file_runs.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { openAgain } from "./open_again.ts";
import { PackedOutput } from "./packed_output.ts";
import { TargetFile } from "./target_file.ts";
import {
  Output,
  readTransferOptions,
  transfer,
  type TransferOptions,
  type TransferPlan,
} from "./transfer.ts";
import type { SnapshotReport } from "./write_snapshot.ts";

/** How a diff is written. */
export interface DiffOptions extends TransferOptions {
  /** What its file looks like: `"flat"` by default. */
  readonly form?: DiffForm;
}

/**
 * Writes the dirty bytes of a guest to a file. {@linkcode applyDiff} copies them into a snapshot that
 * {@linkcode writeSnapshot} wrote of the same regions.
 *
 * Bytes are written in whole pages, and in the flat form in whole blocks of the file system, as holes
 * consist of those: what surrounds a small run is written as it is. Dirty pages that read zero are
 * written too.
 *
 * If it fails, or is aborted, the marks are put back: the next diff has them. What is in the file then
 * has another length, and is refused by {@linkcode applyDiff}.
 *
 * @param memory The memory whose marks were taken, with the regions that the snapshot has.
 * @param file A regular file, open to write: see {@linkcode writeSnapshot}. What it has is replaced.
 * @param dirty What {@linkcode takeDirty} took.
 * @param options How.
 * @returns What was written.
 * @throws {SnapshotRefused} The file cannot take it, or a region maps it.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps. The file is incomplete.
 * @throws {SnapshotMismatch} Somebody else has changed the length of the file meanwhile.
 * @throws {InvalidGuestAddress} A dirty byte is in no region of the memory.
 * @throws {MemoryClosed} The memory is closed.
 * @throws {AccessDenied} The memory cannot be read.
 * @throws The reason of the signal.
 *
 * @example
 * ```ts
 * import { AtomicBitmap, GuestAddress, GuestMemoryMmap, takeDirty } from "@vmm/guest-memory";
 * import { applyDiff, writeDiff, writeSnapshot } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]], {
 *   bitmap: (length) => new AtomicBitmap(length),
 * });
 * const [path, diffPath] = [Deno.makeTempFileSync(), Deno.makeTempFileSync()];
 * using base = Deno.openSync(path, { read: true, write: true });
 * await writeSnapshot(memory, base);
 *
 * memory.write(Uint8Array.of(1, 2, 3), GuestAddress(0x8000));
 * using diff = Deno.openSync(diffPath, { read: true, write: true });
 * using dirty = takeDirty(memory);
 * await writeDiff(memory, diff, dirty);
 * await applyDiff(base, diff);
 * assertEquals(Deno.readFileSync(path).subarray(0x8000, 0x8003), Uint8Array.of(1, 2, 3));
 * ```
 */
export async function writeDiff(
  memory: Iterable<GuestMemoryRegion>,
  file: Deno.FsFile | number,
  dirty: DirtySet,
  options: DiffOptions = {},
): Promise<SnapshotReport> {
  if (!(dirty instanceof DirtySet)) throw wrongKind("dirty", dirty, "what takeDirty() returned");
  // The caller may end the set before the promise is settled.
  const marks = sameMarks(dirty);
  try {
    return await writeMarked(memory, file, marks, options);
  } catch (error) {
    dirty.putBack();
    marks.putBack();
    throw error;
  }
}

async function writeMarked(
  memory: Iterable<GuestMemoryRegion>,
  file: Deno.FsFile | number,
  dirty: DirtySet,
  options: DiffOptions,
): Promise<SnapshotReport> {
  checkRegions(memory);
  const form = readForm(options);
  const plan = readTransferOptions(options);
  plan.signal?.throwIfAborted();
  const layout = layoutOf(memory);
  using contents = new Contents(layout.places);
  using target = new TargetFile(file);
  target.ensureReplaceable(layout.places.map(({ range }) => range));
  const write = form === "flat" ? writeFlat : writeCompact;
  return await write({ layout, contents: contents.all, target, dirty, plan });
}

/** A diff that is written. */
interface Diff {
  readonly layout: Layout<GuestMemoryRegion>;
  readonly contents: readonly Content[];
  readonly target: TargetFile;
  readonly dirty: DirtySet;
  readonly plan: TransferPlan;
}

async function writeFlat(diff: Diff): Promise<SnapshotReport> {
  const { layout, contents, target, dirty, plan } = diff;
  const { length } = layout;
  // Both are powers of two. Parts of a block would take zeros along.
  const granule = Math.max(pageSize(), target.status.blockSize);
  const runs = fileRunsOf(dirty, layout, granule, false);
  const output = new Output(target.fd);
  await transfer("write the diff", plan, length, output, pieces());
  return { bytes: length, written: output.written };

  function* pieces(): Generator<number, void, void> {
    target.begin(length);
    yield* saveRuns(runs, contents, output);
    ensureHoles(target.fd, runs, length);
    yield length;
    target.finish(plan.sync);
  }
}

async function writeCompact(diff: Diff): Promise<SnapshotReport> {
  const { layout, contents, target, dirty, plan } = diff;
  const compact = compactDiffOf(layout.length, fileRunsOf(dirty, layout, pageSize(), true));
  const { fileLength: length, runs } = compact;
  const output = new PackedOutput(target.fd);
  await transfer("write the diff", plan, length, output, pieces());
  return { bytes: length, written: output.written };

  function* pieces(): Generator<number, void, void> {
    target.begin(length);
    writeHead(output, compact);
    for (const _ of saveRuns(runs, contents, output)) yield output.position;
    yield length;
    target.finish(plan.sync);
  }
}

// Where holes are not known, a diff would have zeros for all that is not dirty.
function ensureHoles(fd: number, runs: readonly number[], length: number): void {
  const end = runs[0] === 0 ? runs[1]! : 0;
  const next = runs[end === 0 ? 0 : 2] ?? length;
  if (end >= next) return;
  const opened = openAgain(fd);
  if (opened === undefined) return;
  try {
    forDataRuns(opened, end, next, () => {
      throw new SnapshotRefused("its file system does not know holes");
    });
  } finally {
    closeDescriptor(opened);
  }
}
