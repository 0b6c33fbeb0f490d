/**
 * What a snapshot or a diff consists of, for whoever uses it.
 *
 * @module
 */
import { pageSize } from "../../ffi/memory.ts";
import type { GuestAddress } from "../address.ts";
import { InvalidManifest, SnapshotMismatch } from "../error/snapshot_error.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { shown } from "../text/argument.ts";
import { hex } from "../text/number_format.ts";
import { checkRegions } from "./check_regions.ts";
import type { DiffForm } from "./diff_form.ts";
import { type GuestRange, type Layout, layoutOf } from "./layout.ts";

/** What a file of a snapshot consists of: numbers and text alone, for JSON. */
export interface FileManifest {
  /** The version of this format. */
  readonly version: 1;
  /** Bytes of a page of the host that wrote it. */
  readonly pageSize: number;
  /** Bytes of the file. */
  readonly length: number;
  /** The regions by rising address. */
  readonly regions: readonly SnapshotRegion[];
  /** Which state of the memory the file makes: an integer from 0. Each diff makes the next. */
  readonly generation: number;
  /** The SHA-256 of the file, its holes included, as `sha256sum` prints it. */
  readonly sha256?: string;
}

/** What a snapshot consists of. */
export interface SnapshotManifest extends FileManifest {
  /** Only diffs have it. */
  readonly since?: undefined;
}

/** What a diff consists of. */
export interface DiffManifest extends FileManifest {
  /** The generation that it is applied to. */
  readonly since: number;
  /** What the file looks like. */
  readonly form: DiffForm;
}

/** A region of a snapshot. */
export interface SnapshotRegion {
  /** The guest address of its first byte. */
  readonly startAddr: number;
  /** Its bytes. */
  readonly len: number;
  /** Where it begins in the snapshot. */
  readonly position: number;
}

/**
 * Describes a snapshot of a memory which another program wrote, such as Firecracker: its generation is
 * 0. {@linkcode writeSnapshot} returns that of its own.
 *
 * @param memory The memory, or some regions.
 * @returns The manifest, to be kept beside the file. {@linkcode restore} takes it in place of ranges,
 * and checks it.
 *
 * @example
 * ```ts
 * import { GuestAddress } from "@vmm/guest-memory";
 * import { restore, snapshotManifest } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * Deno.truncateSync(path, 2 ** 20);
 * using file = Deno.openSync(path);
 * using memory = restore([[GuestAddress(0x8000_0000), 2 ** 20]], file, { mode: "copyOnWrite" });
 * const text = JSON.stringify(snapshotManifest(memory));
 *
 * using again = restore(JSON.parse(text), file, { mode: "copyOnWrite" });
 * assertEquals(again.lastAddr, memory.lastAddr);
 * ```
 */
export function snapshotManifest(memory: Iterable<GuestMemoryRegion>): SnapshotManifest {
  checkRegions(memory);
  const layout = layoutOf(memory);
  return manifestOf(layout, layout.length, 0, undefined);
}

/** Makes a manifest of what was written. */
export function manifestOf(
  { places }: Layout<GuestRange>,
  length: number,
  generation: number,
  sha256: string | undefined,
): SnapshotManifest {
  const regions = places.map(({ startAddr, len, position }) => {
    return { startAddr, len, position };
  });
  const manifest = { version: 1, pageSize: pageSize(), length, regions, generation } as const;
  return sha256 === undefined ? manifest : { ...manifest, sha256 };
}

/**
 * Reads the manifest of a snapshot.
 *
 * @param manifest What may be one: it comes from elsewhere.
 * @returns A copy that was checked.
 * @throws {InvalidManifest} It is none, of a diff, or not for this host.
 */
export function readSnapshotManifest(manifest: SnapshotManifest): SnapshotManifest {
  const read = readManifest(manifest);
  if (read.since === undefined) return read;
  throw new InvalidManifest("it is of a diff: apply that to its snapshot");
}

/** The same for a diff. */
export function readDiffManifest(manifest: DiffManifest): DiffManifest {
  const read = readManifest(manifest);
  if (read.since !== undefined) return read;
  throw new InvalidManifest("it is of a snapshot, not of a diff");
}

/** The same for either. */
export function readManifest(
  manifest: SnapshotManifest | DiffManifest,
): SnapshotManifest | DiffManifest {
  const { version, pageSize: page, length, regions, generation, sha256, since, form } =
    (manifest ?? {}) as Partial<Record<keyof DiffManifest, unknown>>;
  if (version !== 1) {
    throw new InvalidManifest(`its version is ${shown(version)}, and 1 is known`);
  }
  if (!Array.isArray(regions)) throw new InvalidManifest("it has no list of regions");
  const own = [...regions as readonly (SnapshotRegion | undefined)[]].map((region, index) => {
    const { startAddr = NaN, len = NaN, position = NaN } = region ?? {};
    for (const [name, value] of Object.entries({ startAddr, len, position })) {
      checkInteger(`${name} of region ${index}`, value);
    }
    return { startAddr, len, position };
  });
  checkInteger("its generation", generation);
  checkInteger("its length", length);
  checkInteger("its pageSize", page);
  if (sha256 !== undefined && !(typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256))) {
    throw new InvalidManifest(`its sha256 is ${shown(sha256)}: 64 hexadecimal digits are needed`);
  }
  if (since !== undefined) {
    checkInteger("its since", since);
    if (form !== "flat" && form !== "compact") {
      throw new InvalidManifest(`its form is ${shown(form)}: it must be "flat" or "compact"`);
    }
  }
  const here = layoutOf(own);
  const isCompact = since !== undefined && form === "compact";
  const isSame = (isCompact || here.length === length) &&
    here.places.every(({ range, position }, i) => range === own[i] && range.position === position);
  if (!isSame) {
    throw new InvalidManifest(
      page === pageSize()
        ? "its regions are not one after the other"
        : `pages of the host that wrote it have ${shown(page)} bytes, and ${pageSize()} here`,
    );
  }
  const read = { version, pageSize: page, length, regions: own, generation };
  return {
    ...read,
    ...sha256 !== undefined && { sha256 },
    ...since !== undefined && { since, form: form as DiffForm },
  } as SnapshotManifest | DiffManifest;
}

function checkInteger(what: string, value: unknown): asserts value is number {
  if (Number.isSafeInteger(value) && value as number >= 0) return;
  throw new InvalidManifest(`${what} is no integer from 0`);
}

/**
 * Refuses other regions than those that a manifest has.
 *
 * @param what What has the other regions.
 * @param expected The regions.
 * @param found The others.
 * @throws {SnapshotMismatch} They differ.
 */
export function ensureSameRegions(
  what: string,
  expected: readonly GuestRange[],
  found: readonly GuestRange[],
): void {
  const text = (range: GuestRange | undefined) =>
    range === undefined ? "none" : `${hex(range.startAddr)} with ${range.len} bytes`;
  for (let i = 0; i < Math.max(expected.length, found.length); i++) {
    const [one, other] = [text(expected[i]), text(found[i])];
    if (one !== other) throw new SnapshotMismatch(what, one, other, "regions");
  }
}

/**
 * The ranges of a manifest.
 *
 * @param manifest What may be one: it comes from elsewhere.
 * @throws {InvalidManifest} It is none, of a diff, or not for this host.
 */
export function rangesOfManifest(manifest: SnapshotManifest): [GuestAddress, number][] {
  const { regions } = readSnapshotManifest(manifest);
  return regions.map(({ startAddr, len }) => [startAddr as GuestAddress, len]);
}
