/**
 * The consumer's side of dirty tracking: which bytes were written.
 *
 * @module
 */

/** Bytes that were written: where they begin, and how many they are. */
export type DirtyRun = readonly [offset: number, length: number];

/** Gets one run of dirty bytes. */
export type RunCallback = (offset: number, length: number) => void;

/** A bitmap whose marks can be listed. */
export interface RunSource {
  /**
   * Calls a function for each run of dirty bytes in a range, by rising offset. Runs are as long as
   * possible, and cut off at the ends of the range. Marks that are made meanwhile may be missed.
   *
   * @param callback The function.
   * @param offset Where the range begins; 0 by default.
   * @param length Bytes of the range; all by default.
   */
  forEachDirtyRun(callback: RunCallback, offset?: number, length?: number): void;
}

/** The runs of a range as a list. */
export function runsOf(bitmap: RunSource, offset: number, length: number): DirtyRun[] {
  const runs: DirtyRun[] = [];
  bitmap.forEachDirtyRun((start, count) => runs.push([start, count]), offset, length);
  return runs;
}
