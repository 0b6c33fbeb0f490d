/**
 * What was written to a guest's memory, by whomever: for snapshots and migration.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode WriteTracker} | marks what anybody in this process writes, as the kernel knows it |
 * | {@linkcode writtenSinceRestore} | what was written to a copy-on-write mapping of a file |
 *
 * @module
 */
export { RegionNotTrackable, TrackingError, TrackingUnavailable } from "../error/tracking_error.ts";
export { WriteTracker } from "./write_tracker.ts";
export { writtenSinceRestore } from "./written_since_restore.ts";
