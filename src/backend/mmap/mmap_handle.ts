/**
 * Mappings on their way to another thread.
 *
 * @module
 */
import type { BitmapHandle } from "../../bitmap/bitmap_handle.ts";
import type { RegionFile } from "../../guest/region.ts";
import type { MappingHandle } from "./mapping.ts";

/**
 * Memory on its way to another thread: see {@linkcode MmapRegion.share}. It can be cloned with
 * `postMessage`, and attached once; its content is for {@linkcode MmapRegion.attach} only, which
 * refuses it when it was altered.
 */
export interface MmapRegionHandle {
  /** The mapping. */
  readonly mapping: MappingHandle;
  /** The file it maps, as it was given. */
  readonly file: RegionFile | undefined;
  /** The bitmap, if there is one. */
  readonly bitmap: BitmapHandle | undefined;
}
