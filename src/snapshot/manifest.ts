/**
 * What a snapshot consists of, for whoever restores it.
 *
 * @module
 */
import { pageSize } from "../../ffi/memory.ts";
import type { GuestAddress } from "../address.ts";
import { InvalidManifest } from "../error/snapshot_error.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { shown } from "../text/argument.ts";
import { checkRegions } from "./check_regions.ts";
import { layoutOf } from "./layout.ts";

/** The regions of a snapshot: numbers and text alone, for JSON. */
export interface SnapshotManifest {
  /** The version of this format. */
  readonly version: 1;
  /** Bytes of a page of the host that wrote it. */
  readonly pageSize: number;
  /** Bytes of the file. */
  readonly length: number;
  /** The regions by rising address. */
  readonly regions: readonly SnapshotRegion[];
}

/** A region of a snapshot. */
export interface SnapshotRegion {
  /** The guest address of its first byte. */
  readonly startAddr: number;
  /** Its bytes. */
  readonly len: number;
  /** Where it begins in the file. */
  readonly position: number;
}

/**
 * Describes the snapshot that {@linkcode writeSnapshot} writes of a memory, to be kept beside it:
 * {@linkcode restore} takes it in place of ranges, and checks it.
 *
 * @param memory The memory, or some regions.
 * @returns The manifest.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
 * import { restore, snapshotManifest, writeSnapshot } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * using file = Deno.openSync(path, { read: true, write: true });
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0x8000_0000), 2 ** 20]]);
 * await writeSnapshot(memory, file);
 * const text = JSON.stringify(snapshotManifest(memory));
 *
 * using restored = restore(JSON.parse(text), file, { mode: "copyOnWrite" });
 * assertEquals(restored.lastAddr, memory.lastAddr);
 * ```
 */
export function snapshotManifest(memory: Iterable<GuestMemoryRegion>): SnapshotManifest {
  checkRegions(memory);
  const { places, length } = layoutOf(memory);
  const regions = places.map(({ startAddr, len, position }) => {
    return { startAddr, len, position };
  });
  return { version: 1, pageSize: pageSize(), length, regions };
}

/**
 * The ranges of a manifest.
 *
 * @param manifest What may be one: it comes from elsewhere.
 * @throws {InvalidManifest} It is none, or not for this host.
 */
export function rangesOfManifest(manifest: SnapshotManifest): [GuestAddress, number][] {
  const { version, pageSize: page, length, regions } = (manifest ?? {}) as Partial<
    SnapshotManifest
  >;
  if (version !== 1) {
    throw new InvalidManifest(`its version is ${shown(version)}, and 1 is known`);
  }
  if (!Array.isArray(regions)) throw new InvalidManifest("it has no list of regions");
  const own = [...regions as readonly (SnapshotRegion | undefined)[]].map((region, index) => {
    const { startAddr = NaN, len = NaN, position = NaN } = region ?? {};
    for (const [name, value] of Object.entries({ startAddr, len, position })) {
      if (Number.isSafeInteger(value) && value >= 0) continue;
      throw new InvalidManifest(`${name} of region ${index} is no integer from 0`);
    }
    return { startAddr, len, position };
  });
  const here = layoutOf(own);
  const isSame = here.length === length &&
    here.places.every(({ range, position }, i) => range === own[i] && range.position === position);
  if (isSame) return own.map(({ startAddr, len }) => [startAddr as GuestAddress, len]);
  throw new InvalidManifest(
    page === pageSize()
      ? "its regions are not one after the other"
      : `pages of the host that wrote it have ${shown(page)} bytes, and ${pageSize()} here`,
  );
}
