/**
 * What was written to a guest's memory, in a file.
 *
 * @module
 */
import type { OpenFile } from "../../ffi/descriptor_of.ts";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { DataRuns } from "../../ffi/file_space.ts";
import { pageSize } from "../../ffi/memory.ts";
import { SnapshotRefused } from "../error/snapshot_error.ts";
import { DirtySet, sameMarks } from "../guest/dirty_set.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { checkFlag, wrongKind } from "../text/argument.ts";
import { checkRegions } from "./check_regions.ts";
import { compactDiffOf, writeHead } from "./compact_diff.ts";
import { type Content, Contents } from "./content.ts";
import { type DiffForm, readForm } from "./diff_form.ts";
import { fileRunsOf, saveRuns } from "./file_runs.ts";
import { type Layout, layoutOf } from "./layout.ts";
import {
  type DiffManifest,
  ensureSameRegions,
  manifestOf,
  readManifest,
  type SnapshotManifest,
} from "./manifest.ts";
import { openAgain } from "./open_again.ts";
import { PackedOutput } from "./packed_output.ts";
import { TargetFile } from "./target_file.ts";
import { Output, readTransferOptions, transfer, type TransferOptions } from "./transfer.ts";
import { WrittenHash } from "./written_hash.ts";

/** How a diff is written. */
export interface DiffOptions extends TransferOptions {
  /** What its file looks like: `"flat"` by default. */
  readonly form?: DiffForm;
  /** The manifest of the snapshot that it is applied to, or of the diff before. */
  readonly since?: SnapshotManifest | DiffManifest;
  /** With `since`: see {@linkcode SnapshotOptions.sha256}. */
  readonly sha256?: boolean;
}

/** What was written of a diff. */
export interface DiffReport {
  /** Bytes of the file. */
  readonly bytes: number;
  /** Bytes that were written to it. */
  readonly written: number;
  /** What the file consists of, if `since` was given. */
  readonly manifest?: DiffManifest;
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
 * @returns What was written; with `since`, its manifest too, for {@linkcode applyDiff}.
 * @throws {SnapshotRefused} The file cannot take it, or a region maps it.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps. The file is incomplete.
 * @throws {SnapshotMismatch} Somebody else has changed the length of the file meanwhile; or `since` has
 * other regions.
 * @throws {InvalidManifest} `since` is no manifest, or not for this host.
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
 * const { manifest: first } = await writeSnapshot(memory, base);
 *
 * memory.write(Uint8Array.of(1, 2, 3), GuestAddress(0x8000));
 * using diff = Deno.openSync(diffPath, { read: true, write: true });
 * using dirty = takeDirty(memory);
 * const { manifest } = await writeDiff(memory, diff, dirty, { form: "compact", since: first });
 * const manifests = { base: first, diff: manifest };
 * const { manifest: second } = await applyDiff(base, diff, { manifests });
 * assertEquals(second.generation, 1);
 * assertEquals(Deno.readFileSync(path).subarray(0x8000, 0x8003), Uint8Array.of(1, 2, 3));
 * ```
 */
export function writeDiff(
  memory: Iterable<GuestMemoryRegion>,
  file: OpenFile,
  dirty: DirtySet,
  options: DiffOptions & { readonly since: SnapshotManifest | DiffManifest },
): Promise<Required<DiffReport>>;
/** {@linkcode writeDiff} without a manifest. */
export function writeDiff(
  memory: Iterable<GuestMemoryRegion>,
  file: OpenFile,
  dirty: DirtySet,
  options?: DiffOptions,
): Promise<DiffReport>;
export async function writeDiff(
  memory: Iterable<GuestMemoryRegion>,
  file: OpenFile,
  dirty: DirtySet,
  options: DiffOptions = {},
): Promise<DiffReport> {
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
  file: OpenFile,
  dirty: DirtySet,
  options: DiffOptions,
): Promise<DiffReport> {
  checkRegions(memory);
  const form = readForm(options);
  const { since, sha256 = false } = options;
  checkFlag("sha256", sha256);
  if (sha256 && since === undefined) {
    throw new TypeError("Cannot have a SHA-256 without a manifest: use the option since");
  }
  const base = since === undefined ? undefined : readManifest(since);
  const plan = readTransferOptions(options);
  plan.signal?.throwIfAborted();
  const layout = layoutOf(memory);
  if (base !== undefined) ensureSameRegions("the memory", base.regions, layout.places);
  using contents = new Contents(layout.places);
  using target = new TargetFile(file);
  target.ensureReplaceable(layout.places.map(({ range }) => range));
  const written = form === "flat"
    ? flatFile(layout, contents.all, target, dirty)
    : compactFile(layout, contents.all, target, dirty);
  const { length, output } = written;
  using hash = sha256 ? new WrittenHash(target, length) : undefined;
  const steps = hash === undefined ? length : 2 * length;
  await transfer("write the diff", plan, length, output, pieces(), steps);
  const report = { bytes: length, written: output.written };
  if (base === undefined) return report;
  const { generation } = base;
  const manifest = manifestOf(layout, length, generation + 1, hash?.digest());
  return { ...report, manifest: { ...manifest, since: generation, form } };

  function* pieces(): Generator<number, void, void> {
    target.begin(length);
    yield* written.pieces();
    yield length;
    if (hash !== undefined) yield* hash.pieces();
    target.finish(plan.sync);
  }
}

/** A diff of one form, that is to be written. */
interface DiffFile {
  /** Bytes of the file. */
  readonly length: number;
  readonly output: Output;
  /** Writes it, and says up to which byte it came. */
  pieces(): Generator<number, void, void>;
}

function flatFile(
  layout: Layout<GuestMemoryRegion>,
  contents: readonly Content[],
  { fd, status }: TargetFile,
  dirty: DirtySet,
): DiffFile {
  const { length } = layout;
  // Both are powers of two. Parts of a block would take zeros along.
  const granule = Math.max(pageSize(), status.blockSize);
  const runs = fileRunsOf(dirty, layout, granule, false);
  const output = new Output(fd);
  return {
    length,
    output,
    *pieces() {
      yield* saveRuns(runs, contents, output);
      ensureHoles(fd, runs, length);
    },
  };
}

function compactFile(
  layout: Layout<GuestMemoryRegion>,
  contents: readonly Content[],
  { fd }: TargetFile,
  dirty: DirtySet,
): DiffFile {
  const diff = compactDiffOf(layout.length, fileRunsOf(dirty, layout, pageSize(), true));
  const output = new PackedOutput(fd);
  return {
    length: diff.fileLength,
    output,
    *pieces() {
      writeHead(output, diff);
      for (const _ of saveRuns(diff.runs, contents, output)) yield output.position;
    },
  };
}

// Where holes are not known, a diff would have zeros for all that is not dirty.
function ensureHoles(fd: number, runs: readonly number[], length: number): void {
  const end = runs[0] === 0 ? runs[1]! : 0;
  const next = runs[end === 0 ? 0 : 2] ?? length;
  if (end >= next) return;
  const opened = openAgain(fd);
  if (opened === undefined) return;
  try {
    new DataRuns(opened).forEach(end, next, () => {
      throw new SnapshotRefused("its file system does not know holes");
    });
  } finally {
    closeDescriptor(opened);
  }
}
