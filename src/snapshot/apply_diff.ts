/**
 * Brings a snapshot up to date.
 *
 * @module
 */
import type { OpenFile } from "../../ffi/descriptor_of.ts";
import { fileStatus } from "../../ffi/file.ts";
import { SnapshotMismatch, SnapshotRefused } from "../error/snapshot_error.ts";
import { checkFlag } from "../text/argument.ts";
import { readHead } from "./compact_diff.ts";
import { copyParts, copyRuns } from "./copy_diff.ts";
import { type DiffForm, readForm } from "./diff_form.ts";
import {
  type DiffManifest,
  ensureSameRegions,
  readDiffManifest,
  readSnapshotManifest,
  type SnapshotManifest,
} from "./manifest.ts";
import { ensureLength, SourceFile } from "./source_file.ts";
import { TargetFile } from "./target_file.ts";
import { Output, readTransferOptions, transfer, type TransferOptions } from "./transfer.ts";
import { WrittenHash } from "./written_hash.ts";

/** What a snapshot and a diff of it consist of. */
export interface AppliedManifests {
  /** That of the snapshot. */
  readonly base: SnapshotManifest;
  /** That of the diff. */
  readonly diff: DiffManifest;
}

/** How a diff is applied. */
export interface ApplyOptions extends TransferOptions {
  /** What the file of the diff looks like: `"flat"` by default, or what `manifests` has. */
  readonly form?: DiffForm;
  /** What both files are: a diff of another generation, or of other regions, is refused. */
  readonly manifests?: AppliedManifests;
  /** With `manifests`: see {@linkcode SnapshotOptions.sha256}. */
  readonly sha256?: boolean;
}

/** What was applied. */
export interface ApplyReport {
  /** Bytes of the snapshot. */
  readonly bytes: number;
  /** Bytes that were written to it. */
  readonly written: number;
  /** What the snapshot consists of now, if `manifests` was given. */
  readonly manifest?: SnapshotManifest;
}

/**
 * Copies what a diff has into a snapshot. Linux only: elsewhere holes are not known.
 *
 * The form has to be that in which the diff was written: the file of a flat diff has the bytes of the
 * guest, which may look like any other file. Of a flat diff all is copied that is no hole, within a file
 * system by the kernel itself (`copy_file_range(2)`). A compact diff is checked before anything is
 * applied; it may come from elsewhere.
 *
 * If it fails, is aborted, or the process is killed, the snapshot has a part of the diff. It has
 * another length then, so that {@linkcode restore} refuses it, until the same diff is applied again.
 *
 * @param base The snapshot: a regular file, open to write. No memory may map it, or it has the changes.
 * @param diff What {@linkcode writeDiff} wrote, flat ones with their holes: a regular file, open to read.
 * @param options How, with the form of the diff.
 * @returns What was copied; with `manifests`, what the snapshot consists of now.
 * @throws {SnapshotMismatch} The files differ in their length, from the start or meanwhile: one was
 * never finished, perhaps. Or the manifests do not belong together.
 * @throws {InvalidManifest} What is given as a manifest is none, or not for this host.
 * @throws {InvalidDiff} It is no compact diff, or one that was changed.
 * @throws {SnapshotRefused} A file cannot be used, or both are the same.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps.
 * @throws The reason of the signal.
 *
 * @example
 * ```ts
 * import { AtomicBitmap, GuestAddress, GuestMemoryMmap, takeDirty, u64 } from "@vmm/guest-memory";
 * import { applyDiff, restore, writeDiff, writeSnapshot } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * if (Deno.build.os === "linux") {
 *   using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]], {
 *     bitmap: (length) => new AtomicBitmap(length),
 *   });
 *   const folder = Deno.makeTempDirSync();
 *   const open = (name: string) =>
 *     Deno.openSync(`${folder}/${name}`, { read: true, write: true, create: true });
 *   using base = open("base");
 *   using diff = open("diff");
 *   const { manifest: first } = await writeSnapshot(memory, base);
 *   memory.writeObj(u64, 7n, GuestAddress(0x1000));
 *   using dirty = takeDirty(memory);
 *   const { manifest: second } = await writeDiff(memory, diff, dirty, { since: first });
 *
 *   const manifests = { base: first, diff: second };
 *   const { manifest } = await applyDiff(base, diff, { manifests });
 *   using restored = restore(manifest, base, { mode: "eager" });
 *   assertEquals(restored.readObj(u64, GuestAddress(0x1000)), 7n);
 *   Deno.removeSync(folder, { recursive: true });
 * }
 * ```
 */
export function applyDiff(
  base: OpenFile,
  diff: OpenFile,
  options: ApplyOptions & { readonly manifests: AppliedManifests },
): Promise<Required<ApplyReport>>;
/** {@linkcode applyDiff} without manifests. */
export function applyDiff(
  base: OpenFile,
  diff: OpenFile,
  options?: ApplyOptions,
): Promise<ApplyReport>;
export async function applyDiff(
  base: OpenFile,
  diff: OpenFile,
  options: ApplyOptions = {},
): Promise<ApplyReport> {
  const { form, manifests, sha256 } = readApplyOptions(options);
  const plan = readTransferOptions(options);
  plan.signal?.throwIfAborted();
  using target = new TargetFile(base);
  using source = new SourceFile(diff);
  const [to, from] = [target.status, fileStatus(source.fd)];
  if (to.device === from.device && to.inode === from.inode) {
    throw new SnapshotRefused("base and diff are the same");
  }
  if (manifests !== undefined && from.size !== manifests.diff.length) {
    throw new SnapshotMismatch("the diff", manifests.diff.length, from.size);
  }
  const compact = form === "compact" ? readHead(source.fd, from.size) : undefined;
  const length = compact?.length ?? from.size;
  if (manifests !== undefined && length !== manifests.base.length) {
    throw new SnapshotMismatch("the diff", manifests.base.length, length);
  }
  if (to.size !== length && !TargetFile.isUnfinishedUpdate(to.size, length)) {
    throw manifests === undefined
      ? new SnapshotMismatch(`the diff as a ${form} one`, to.size, length)
      : new SnapshotMismatch("the snapshot", length, to.size);
  }
  using hash = sha256 ? new WrittenHash(target, length) : undefined;
  const output = new Output(target.fd);
  const steps = hash === undefined ? length : 2 * length;
  await transfer("apply the diff", plan, length, output, pieces(), steps);
  const report = { bytes: length, written: output.written };
  if (manifests === undefined) return report;
  const { sha256: _, ...rest } = manifests.base;
  const manifest = { ...rest, generation: manifests.diff.generation };
  return {
    ...report,
    manifest: hash === undefined ? manifest : { ...manifest, sha256: hash.digest() },
  };

  function* pieces(): Generator<number, void, void> {
    target.beginUpdate(length, plan.sync);
    if (compact === undefined) yield* copyParts(source.fd, output, length);
    else yield* copyRuns(source.fd, output, compact);
    // What was cut off meanwhile looks like holes.
    ensureLength("the diff", source.fd, from.size);
    yield length;
    if (hash !== undefined) yield* hash.pieces();
    target.finish(plan.sync);
  }
}

interface ApplyPlan {
  readonly form: DiffForm;
  readonly manifests: AppliedManifests | undefined;
  readonly sha256: boolean;
}

function readApplyOptions(options: ApplyOptions): ApplyPlan {
  const { manifests, sha256 = false } = options;
  checkFlag("sha256", sha256);
  if (manifests === undefined) {
    if (!sha256) return { form: readForm(options), manifests, sha256 };
    throw new TypeError("Cannot have a SHA-256 without a manifest: use the option manifests");
  }
  const { base, diff } = manifests;
  const own = { base: readSnapshotManifest(base), diff: readDiffManifest(diff) };
  const form = readForm({ form: options.form ?? own.diff.form });
  if (form !== own.diff.form) {
    throw new TypeError(`Cannot apply the diff in the form "${form}": its manifest has another`);
  }
  ensureSameRegions("the diff", own.base.regions, own.diff.regions);
  const { generation } = own.base;
  const { since } = own.diff;
  if (since !== generation) {
    throw new SnapshotMismatch("the diff", generation, since, "generation");
  }
  return { form, manifests: own, sha256 };
}
