/**
 * Snapshots of a guest's memory, and what was written to it, by whomever.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode writeSnapshot} | writes all memory to a file |
 * | {@linkcode snapshotWhileRunning} | does so while the guest runs, with what it had at one moment |
 * | {@linkcode restore} | makes memory of such a file, or many that share it |
 * | {@linkcode FaultHandler} | loads the pages of such memory when they are touched |
 * | {@linkcode FaultServer} | does so for another process |
 * | {@linkcode verifySnapshot} | compares such a file with its manifest |
 * | {@linkcode snapshotManifest} | the manifest of a file that another program wrote |
 * | {@linkcode writeDiff} | writes what was changed since |
 * | {@linkcode applyDiff} | brings a snapshot up to date |
 * | {@linkcode WriteTracker} | marks what anybody in this process writes, as the kernel knows it |
 * | {@linkcode writtenSinceRestore} | what was written to a copy-on-write mapping of a file |
 *
 * @module
 */
export {
  InvalidDiff,
  InvalidManifest,
  type MismatchedProperty,
  SnapshotError,
  SnapshotFailed,
  SnapshotMismatch,
  SnapshotRefused,
} from "../error/snapshot_error.ts";
export {
  FaultsUnavailable,
  NotRestoring,
  PageLoadFailed,
  RestoreUnfinished,
} from "../error/fault_error.ts";
export { RegionNotTrackable, TrackingError, TrackingUnavailable } from "../error/tracking_error.ts";
export {
  type AppliedManifests,
  applyDiff,
  type ApplyOptions,
  type ApplyReport,
} from "./apply_diff.ts";
export type { SkippedPages } from "./content.ts";
export type { DiffForm } from "./diff_form.ts";
export { FaultHandler, type FaultRange, type LazyOptions } from "./lazy/fault_handler.ts";
export { FaultServer } from "./lazy/fault_server.ts";
export type { LoadOptions } from "./lazy/loading.ts";
export type { WorkingSet } from "./lazy/working_set.ts";
export {
  type DiffManifest,
  type FileManifest,
  type SnapshotManifest,
  snapshotManifest,
  type SnapshotRegion,
} from "./manifest.ts";
export {
  type CopyOnWriteOptions,
  type EagerOptions,
  type LazyRestoreOptions,
  restore,
  type RestoreRange,
} from "./restore.ts";
export {
  type RunningSnapshotOptions,
  snapshotWhileRunning,
} from "./running/snapshot_while_running.ts";
export type { TransferOptions, TransferProgress } from "./transfer.ts";
export { type VerifyOptions, verifySnapshot } from "./verify_snapshot.ts";
export { type DiffOptions, type DiffReport, writeDiff } from "./write_diff.ts";
export { type SnapshotOptions, type SnapshotReport, writeSnapshot } from "./write_snapshot.ts";
export { WriteTracker } from "./write_tracker.ts";
export { writtenSinceRestore } from "./written_since_restore.ts";
