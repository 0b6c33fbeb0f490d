/**
 * What was written to a guest's memory, in a file.
 *
 * @module
 */
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { forDataRuns } from "../../ffi/file_space.ts";
import { pageSize } from "../../ffi/memory.ts";
import type { GuestAddress } from "../address.ts";
import { InvalidGuestAddress } from "../error/guest_memory_error.ts";
import { SnapshotRefused } from "../error/snapshot_error.ts";
import type { GuestDirtyRun } from "../guest/dirty_runs.ts";
import { DirtySet, sameMarks } from "../guest/dirty_set.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import { wrongKind } from "../text/argument.ts";
import { checkRegions } from "./check_regions.ts";
import { Contents } from "./content.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { openAgain } from "./open_again.ts";
import { TargetFile } from "./target_file.ts";
import { Output, PIECE, readTransferOptions, transfer, type TransferOptions } from "./transfer.ts";
import type { SnapshotReport } from "./write_snapshot.ts";

/**
 * Writes the dirty bytes of a guest to a file of the layout of {@linkcode writeSnapshot}, each where
 * it is in the whole snapshot. All else is holes. {@linkcode applyDiff} copies them into a snapshot.
 *
 * Bytes are written in whole pages and blocks of the file system, as holes consist of those: what
 * surrounds a small run is written as it is. Dirty pages that read zero are written too.
 *
 * If it fails, or is aborted, the marks are put back: the next diff has them. What is in the file then
 * has another length, and is refused by {@linkcode applyDiff}.
 *
 * @param memory The memory whose marks were taken, with the regions that the snapshot has.
 * @param file A regular file, open to write, of a file system that knows holes: see
 * {@linkcode writeSnapshot}. What it has is replaced.
 * @param dirty What {@linkcode takeDirty} took.
 * @param options How.
 * @returns What was written.
 * @throws {SnapshotRefused} The file cannot take it, or a region maps it.
 * @throws {SnapshotFailed} A call failed: the storage is full, perhaps. The file is incomplete.
 * @throws {SnapshotMismatch} Somebody else has changed the length of the file meanwhile.
 * @throws {InvalidGuestAddress} A dirty byte is in no region of the memory.
 * @throws {MemoryClosed} The memory is closed.
 * @throws {AccessDenied} The memory cannot be read.
 * @throws The reason of the signal.
 *
 * @example
 * ```ts
 * import { AtomicBitmap, GuestAddress, GuestMemoryMmap, takeDirty } from "@vmm/guest-memory";
 * import { applyDiff, writeDiff, writeSnapshot } from "@vmm/guest-memory/snapshot";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]], {
 *   bitmap: (length) => new AtomicBitmap(length),
 * });
 * const [path, diffPath] = [Deno.makeTempFileSync(), Deno.makeTempFileSync()];
 * using base = Deno.openSync(path, { read: true, write: true });
 * await writeSnapshot(memory, base);
 *
 * memory.write(Uint8Array.of(1, 2, 3), GuestAddress(0x8000));
 * using diff = Deno.openSync(diffPath, { read: true, write: true });
 * using dirty = takeDirty(memory);
 * await writeDiff(memory, diff, dirty);
 * await applyDiff(base, diff);
 * assertEquals(Deno.readFileSync(path).subarray(0x8000, 0x8003), Uint8Array.of(1, 2, 3));
 * ```
 */
export async function writeDiff(
  memory: Iterable<GuestMemoryRegion>,
  file: Deno.FsFile | number,
  dirty: DirtySet,
  options: TransferOptions = {},
): Promise<SnapshotReport> {
  if (!(dirty instanceof DirtySet)) throw wrongKind("dirty", dirty, "what takeDirty() returned");
  // The caller may end the set before the promise is settled.
  const marks = sameMarks(dirty);
  try {
    return await write(memory, file, marks, options);
  } catch (error) {
    dirty.putBack();
    marks.putBack();
    throw error;
  }
}

async function write(
  memory: Iterable<GuestMemoryRegion>,
  file: Deno.FsFile | number,
  dirty: DirtySet,
  options: TransferOptions,
): Promise<SnapshotReport> {
  checkRegions(memory);
  const plan = readTransferOptions(options);
  plan.signal?.throwIfAborted();
  const layout = layoutOf(memory);
  using contents = new Contents(layout.places);
  using target = new TargetFile(file);
  target.ensureReplaceable(layout.places.map(({ range }) => range));
  // Both are powers of two.
  const granule = Math.max(pageSize(), target.status.blockSize);
  const runs = fileRunsOf(dirty, layout, granule);
  const output = new Output(target.fd);
  await transfer("write the diff", plan, layout.length, output, pieces());
  return { bytes: layout.length, written: output.written };

  function* pieces(): Generator<number, void, void> {
    target.begin(layout.length);
    let room = PIECE;
    let index = 0;
    for (let run = 0; run < runs.length; run += 2) {
      const end = runs[run + 1]!;
      for (let at = runs[run]!; at < end;) {
        let content = contents.all[index];
        while (content !== undefined && content.position + content.length <= at) {
          content = contents.all[++index];
        }
        if (content === undefined) break;
        const { position, length } = content;
        // A run may begin or end between two regions.
        const from = Math.max(at - position, 0);
        const to = Math.min(end - position, length, from + room);
        if (from >= to) break;
        content.save(output, from, to, "nothing");
        at = position + to;
        room -= to - from;
        if (room > 0) continue;
        room = PIECE;
        yield at;
      }
    }
    ensureHoles(target.fd, runs, layout.length);
    yield layout.length;
    target.finish(plan.sync);
  }
}

// Where dirty bytes are in the file: the start and the end of each run, by rising position. Arrays of
// two would take longer than the kernel. Runs are widened to whole blocks: smaller parts of one would
// take zeros along.
function fileRunsOf(
  dirty: Iterable<GuestDirtyRun>,
  { places, length }: Layout<GuestMemoryRegion>,
  granule: number,
): number[] {
  const runs: number[] = [];
  let index = 0;
  for (const [addr, count] of dirty) {
    for (let at: number = addr; at < addr + count;) {
      let place = places[index];
      while (place !== undefined && place.startAddr + place.len <= at) {
        place = places[++index];
      }
      if (place === undefined || at < place.startAddr) {
        throw new InvalidGuestAddress(at as GuestAddress);
      }
      const { startAddr, len, position } = place;
      const end = Math.min(addr + count, startAddr + len);
      const first = Math.floor((position + at - startAddr) / granule) * granule;
      const last = Math.min(Math.ceil((position + end - startAddr) / granule) * granule, length);
      if (runs.length > 0 && first <= runs.at(-1)!) runs[runs.length - 1] = last;
      else runs.push(first, last);
      at = end;
    }
  }
  return runs;
}

// Where holes are not known, a diff would have zeros for all that is not dirty.
function ensureHoles(fd: number, runs: readonly number[], length: number): void {
  const end = runs[0] === 0 ? runs[1]! : 0;
  const next = runs[end === 0 ? 0 : 2] ?? length;
  if (end >= next) return;
  const opened = openAgain(fd);
  if (opened === undefined) return;
  try {
    forDataRuns(opened, end, next, () => {
      throw new SnapshotRefused("its file system does not know holes");
    });
  } finally {
    closeDescriptor(opened);
  }
}
