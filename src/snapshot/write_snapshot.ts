/**
 * The whole memory of a guest in a file.
 *
 * @module
 */
import type { OpenFile } from "../../ffi/descriptor_of.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { checkCount, checkFlag, shown } from "../text/argument.ts";
import { checkRegions } from "./check_regions.ts";
import { Contents, type SkippedPages } from "./content.ts";
import { layoutOf } from "./layout.ts";
import { ensureLoaded } from "./lazy/ensure_loaded.ts";
import { manifestOf, type SnapshotManifest } from "./manifest.ts";
import { TargetFile } from "./target_file.ts";
import {
  Output,
  PIECE,
  readTransferOptions,
  transfer,
  type TransferOptions,
  type TransferPlan,
} from "./transfer.ts";
import { WrittenHash } from "./written_hash.ts";

/** How a snapshot is written. */
export interface SnapshotOptions extends TransferOptions {
  /**
   * Which pages become holes of the file: `"absent"`, by default, those that nobody has written since
   * the memory was mapped or discarded; `"zero"` pages of zeros too, which takes reading them all;
   * `"nothing"` none.
   */
  readonly skip?: SkippedPages;
  /** The generation of its manifest: 0 by default. */
  readonly generation?: number;
  /**
   * Whether to read the file again, and have its SHA-256 in the manifest, for
   * {@linkcode verifySnapshot}. False by default.
   */
  readonly sha256?: boolean;
}

/** What was written. */
export interface SnapshotReport {
  /** Bytes of the file. */
  readonly bytes: number;
  /** Bytes that were written to it. The others are holes. */
  readonly written: number;
  /** What the file consists of, to be kept beside it. */
  readonly manifest: SnapshotManifest;
}

/**
 * Writes the memory of a guest to a file, in the flat layout that Firecracker uses: one region after
 * the other by rising address, each from a multiple of the page size on. Data goes straight from guest
 * memory to the file.
 *
 * What the guest never wrote becomes holes, which neither take storage nor host memory. The kernel says
 * what that is (`PAGEMAP_SCAN`, Linux 6.7) for private memory, and the holes of its file for shared
 * memory. All is written where it cannot be known: anonymous shared memory, memory on the heap, older
 * kernels. `skip: "zero"` finds the zeros there too.
 *
 * Pause the guest, or what is written meanwhile may be in the file or not. With a bitmap, take the
 * marks before, and write those that follow with {@linkcode writeDiff}. Marks are neither read nor
 * changed here.
 *
 * The transfer is made in pieces of up to 16 MiB, between which the event loop runs. It ends with an
 * error if the memory is closed meanwhile.
 *
 * @param memory The memory, or some regions.
 * @param file A regular file, open to write. What it has is replaced, so no other process may map it:
 * truncating it ends that. Better use a new file, and rename it afterwards. Its position does not
 * count, and is not moved. Until everything is written, it has another length than the ranges: what is
 * left if the transfer fails, or the process is killed, is refused by {@linkcode restore}.
 * @param options How.
 * @returns What was written, with the manifest for {@linkcode restore} and {@linkcode writeDiff}.
 * @throws {SnapshotRefused} The file cannot take a snapshot, or a region maps it, or other memory
 * of this process does and it is not empty. It is as before.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps. It says how far it came. The
 * file is incomplete.
 * @throws {SnapshotMismatch} Somebody else has changed the length of the file meanwhile.
 * @throws {RestoreUnfinished} Pages of the memory are still to be loaded: see {@linkcode FaultHandler}.
 * @throws {MemoryClosed} The memory is closed.
 * @throws {AccessDenied} The memory cannot be read.
 * @throws The reason of the signal.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
 * import { writeSnapshot } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20], [GuestAddress(2 ** 32), 2 ** 20]]);
 * memory.write(Uint8Array.of(1, 2, 3), GuestAddress(2 ** 32 + pageSize()));
 *
 * const path = Deno.makeTempFileSync();
 * using file = Deno.openSync(path, { write: true });
 * const { manifest } = await writeSnapshot(memory, file);
 * assertEquals(manifest.length, 2 ** 21);
 * assertEquals(Deno.readFileSync(path)[2 ** 20 + pageSize() + 2], 3);
 * ```
 */
export async function writeSnapshot(
  memory: Iterable<GuestMemoryRegion>,
  file: OpenFile,
  options: SnapshotOptions = {},
): Promise<SnapshotReport> {
  checkRegions(memory);
  const { skip, generation, sha256, plan } = readSnapshotOptions(options);
  plan.signal?.throwIfAborted();
  const layout = layoutOf(memory);
  const { places, length } = layout;
  ensureLoaded(places);
  using contents = new Contents(places);
  using target = new TargetFile(file);
  target.ensureReplaceable(places.map(({ range }) => range));
  using hash = sha256 ? new WrittenHash(target, length) : undefined;
  const output = new Output(target.fd);
  const steps = hash === undefined ? length : 2 * length;
  await transfer("write the snapshot", plan, length, output, pieces(), steps);
  const manifest = manifestOf(layout, length, generation, hash?.digest());
  return { bytes: length, written: output.written, manifest };

  function* pieces(): Generator<number, void, void> {
    target.begin(length);
    for (const content of contents.all) {
      for (let from = 0; from < content.length; from += PIECE) {
        const to = Math.min(from + PIECE, content.length);
        content.save(output, from, to, skip);
        yield content.position + to;
      }
    }
    if (hash !== undefined) yield* hash.pieces();
    target.finish(plan.sync);
  }
}

/** Options as they were read from the caller, once. */
export interface SnapshotPlan {
  readonly skip: SkippedPages;
  readonly generation: number;
  readonly sha256: boolean;
  readonly plan: TransferPlan;
}

/**
 * Reads options.
 *
 * @throws {TypeError} One is of another kind.
 * @throws {RangeError} The generation is no integer from 0.
 */
export function readSnapshotOptions(options: SnapshotOptions): SnapshotPlan {
  const { skip = "absent", generation = 0, sha256 = false } = options;
  if (!["absent", "zero", "nothing"].includes(skip)) {
    throw new TypeError(`Cannot skip ${shown(skip)}: it must be "absent", "zero" or "nothing"`);
  }
  checkCount(generation, "generation");
  checkFlag("sha256", sha256);
  return { skip, generation, sha256, plan: readTransferOptions(options) };
}
