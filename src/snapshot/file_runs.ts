/**
 * Where the dirty bytes of a guest are in a file.
 *
 * @module
 */
import type { GuestAddress } from "../address.ts";
import { InvalidGuestAddress } from "../error/guest_memory_error.ts";
import type { GuestDirtyRun } from "../guest/dirty_runs.ts";
import type { GuestMemoryRegion } from "../guest/region.ts";
import type { Content } from "./content.ts";
import type { Layout } from "./layout.ts";
import { type Output, PIECE } from "./transfer.ts";

/**
 * Where dirty bytes are in the flat layout.
 *
 * @param dirty The runs by rising address.
 * @param layout Of the memory.
 * @param granule What runs are widened to multiples of: a page, or more. Nothing extends beyond the
 * file.
 * @param endsAtRegion Whether a run ends where its region does, and not with the page.
 * @returns The start and the end of each run, by rising position: none touches the next.
 * @throws {InvalidGuestAddress} A dirty byte is in no region.
 */
export function fileRunsOf(
  dirty: Iterable<GuestDirtyRun>,
  { places, length }: Layout<GuestMemoryRegion>,
  granule: number,
  endsAtRegion: boolean,
): number[] {
  // Arrays of two would take longer than the kernel.
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
      const last = Math.min(
        Math.ceil((position + end - startAddr) / granule) * granule,
        endsAtRegion ? position + len : length,
      );
      if (runs.length > 0 && first <= runs.at(-1)!) runs[runs.length - 1] = last;
      else runs.push(first, last);
      at = end;
    }
  }
  return runs;
}

/**
 * Writes runs.
 *
 * @param runs Of {@linkcode fileRunsOf}.
 * @param contents The content of each region, in the order of the file.
 * @param output Where to.
 * @returns Up to which byte of the layout it came, after each piece.
 */
export function* saveRuns(
  runs: readonly number[],
  contents: readonly Content[],
  output: Output,
): Generator<number, void, void> {
  let room = PIECE;
  let index = 0;
  for (let run = 0; run < runs.length; run += 2) {
    const end = runs[run + 1]!;
    for (let at = runs[run]!; at < end;) {
      let content = contents[index];
      while (content !== undefined && content.position + content.length <= at) {
        content = contents[++index];
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
      output.flush();
      yield at;
    }
  }
  output.flush();
}
