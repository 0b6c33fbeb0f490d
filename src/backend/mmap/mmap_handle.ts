/**
 * Mappings on their way to another thread.
 *
 * @module
 */
import type { BitmapHandle } from "../../bitmap/bitmap_handle.ts";
import type { Permissions } from "../../permissions.ts";

/**
 * Memory on its way to another thread: see {@linkcode MmapRegion.share}. It can be cloned with
 * `postMessage`; its content is for {@linkcode MmapRegion.attach} only.
 */
export interface MmapRegionHandle {
  /** The host address. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  /** Whether the last thread that closes it unmaps it. */
  readonly owned: boolean;
  /** Counts the references of threads. */
  readonly holders: SharedArrayBuffer | undefined;
  /** Says whether the handle was attached. */
  readonly claimed: SharedArrayBuffer;
  /** The permissions of the memory. */
  readonly protection: Permissions;
  /** `MAP_*` bits it was mapped with. */
  readonly flags: number;
  /** The file it maps. */
  readonly file: { readonly fd: number; readonly start: number } | undefined;
  /** What is known of huge pages. */
  readonly hugetlbfs: boolean | undefined;
  /** The bitmap, if there is one. */
  readonly bitmap: BitmapHandle | undefined;
}
