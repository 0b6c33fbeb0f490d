import type { Bitmap } from "../../mod.ts";

/** A range of bytes that was marked: where it begins and how long it is. */
export type Mark = [offset: number, length: number];

/** A bitmap that remembers every mark exactly, in order, and not by page. */
export class RecordingBitmap implements Bitmap {
  #marks: Mark[] = [];
  readonly #onMark: (() => void) | undefined;

  constructor(onMark?: () => void) {
    this.#onMark = onMark;
  }

  markDirty(offset: number, length: number): void {
    if (length === 0) return;
    this.#marks.push([offset, length]);
    this.#onMark?.();
  }

  dirtyAt(offset: number): boolean {
    return this.#marks.some(([start, length]) => offset >= start && offset < start + length);
  }

  sliceAt(base: number): Bitmap {
    return {
      markDirty: (offset, length) => this.markDirty(base + offset, length),
      dirtyAt: (offset) => this.dirtyAt(base + offset),
      sliceAt: (offset) => this.sliceAt(base + offset),
    };
  }

  /** The marks since the last call. */
  take(): Mark[] {
    const marks = this.#marks;
    this.#marks = [];
    return marks;
  }
}
