import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { DataRuns } from "../../ffi/file_space.ts";
import { AtomicBitmap, Backing, GuestMemoryMmap, takeDirty } from "../../mod.ts";
import { applyDiff, restore, writeDiff, writeSnapshot } from "../../src/snapshot/mod.ts";
import { gpa } from "../support/values.ts";
import { PAGE, type ScratchFile, scratchFile } from "./memories.ts";
import { restoreTest } from "./tracking.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Pages that have content: where each is in the file, and the byte that it is filled with. */
type Pages = Map<number, number>;

// Regions of which some are larger than 2 GiB, and few are multiples of 2 MiB.
const layouts = fc.array(
  fc.record({
    gap: fc.constantFrom(0, PAGE, 2 * MIB, 3 * GIB),
    length: fc.oneof(
      fc.constantFrom(2 * MIB, 2 * MIB + PAGE, 2 * GIB, 3 * GIB + 7 * PAGE, 4 * GIB),
      fc.integer({ min: 1, max: 2000 }).map((pages) => pages * PAGE),
      fc.integer({ min: 1, max: 5 * MIB }),
    ),
  }),
  { minLength: 1, maxLength: 4 },
);
// Where a page is, as a part of a region's pages, or at such a place of the file.
const PLACES = [0, 2 * MIB, 2 ** 31, 2 ** 32, 3 * GIB];
const writes = fc.array(
  fc.record({
    region: fc.nat(),
    place: fc.oneof(
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }).map((part) => ({ part })),
      fc.tuple(fc.constantFrom(...PLACES), fc.integer({ min: -2, max: 2 })).map(
        ([place, pages]) => ({ at: place + pages * PAGE }),
      ),
    ),
    pages: fc.integer({ min: 1, max: 5 }),
    value: fc.integer({ min: 1, max: 255 }),
  }),
  { minLength: 1, maxLength: 30 },
);

for (const kind of ["anonymous", "memfd"] as const) {
  restoreTest(
    `snapshots, diffs and merges equal a loop over pages in sparse memory: ${kind}`,
    async () => {
      const rounds = fc.array(writes, { minLength: 2, maxLength: 3 });
      const property = fc.asyncProperty(layouts, rounds, (layout, rounds) => {
        return check(kind, layout, rounds);
      });
      await fc.assert(property, { numRuns: 25, seed: 21 });
    },
  );
}

type Values<A> = A extends fc.Arbitrary<infer T> ? T : never;

async function check(
  kind: "anonymous" | "memfd",
  layout: Values<typeof layouts>,
  rounds: Values<typeof writes>[],
): Promise<void> {
  let at = 0;
  let total = 0;
  const ranges = layout.map(({ gap, length }) => {
    const start = at + gap;
    at = start + Math.ceil(length / PAGE) * PAGE;
    const position = Math.ceil(total / PAGE) * PAGE;
    total = position + length;
    return { start, length, position };
  });
  using memory = GuestMemoryMmap.fromRanges(
    ranges.map(({ start, length }) => [gpa(start), length] as const),
    {
      bitmap: (length) => new AtomicBitmap(length, PAGE),
      backing: kind === "memfd" ? Backing.memfd() : Backing.anonymous(),
      reserve: false,
      transparentHugePages: false,
    },
  );
  const all: Pages = new Map();
  using bases = files(2);
  const [flatBase, compactBase] = bases.files as [ScratchFile, ScratchFile];
  for (const [round, list] of rounds.entries()) {
    const dirtyPages: Pages = new Map();
    for (const { region, place, pages, value } of list) {
      const { start, length, position } = ranges[region % ranges.length]!;
      const last = Math.ceil(length / PAGE) - 1;
      const wanted = "part" in place
        ? Math.floor(place.part * (last + 1))
        : Math.floor((place.at - position) / PAGE);
      for (let page = Math.max(0, wanted); page <= Math.min(last, wanted + pages - 1); page++) {
        const count = Math.min(PAGE, length - page * PAGE);
        memory.fill(gpa(start + page * PAGE), count, value);
        dirtyPages.set(position + page * PAGE, value);
        all.set(position + page * PAGE, value);
      }
    }
    using dirty = takeDirty(memory);
    if (round === 0) {
      for (const { fd } of bases.files) await writeSnapshot(memory, fd);
    } else {
      using diffs = files(2);
      const [flat, compact] = diffs.files as [ScratchFile, ScratchFile];
      await writeDiff(memory, flat.fd, dirty);
      ensureContent(flat, dirtyPages);
      await writeDiff(memory, compact.fd, dirty, { form: "compact" });
      await applyDiff(flatBase.fd, flat.fd);
      await applyDiff(compactBase.fd, compact.fd, { form: "compact" });
    }
    for (const base of bases.files) ensureContent(base, all);
  }
  using snapshot = files(1);
  const [file] = snapshot.files as [ScratchFile];
  await writeSnapshot(memory, file.fd);
  ensureContent(file, all);
  // Its holes are none in memory either.
  const list = ranges.map(({ start, length }) => [gpa(start), length] as const);
  using restored = restore(list, file.fd, {
    mode: "eager",
    reserve: false,
    transparentHugePages: false,
  });
  using again = files(1);
  await writeSnapshot(restored, again.files[0]!.fd);
  ensureContent(again.files[0]!, all);

  // The file beside one that is written page by page: the same bytes, and the same holes.
  function ensureContent(file: ScratchFile, pages: Pages): void {
    using naive = scratchFile("/dev/shm");
    using opened = Deno.openSync(naive.path, { write: true });
    opened.truncateSync(total);
    using reader = Deno.openSync(file.path);
    assertEquals(reader.statSync().size, total);
    const bytes = new Uint8Array(PAGE);
    for (const [position, value] of pages) {
      const length = contentLength(position);
      const expected = new Uint8Array(Math.min(PAGE, total - position)).fill(value, 0, length);
      opened.seekSync(position, Deno.SeekMode.Start);
      opened.writeSync(expected);
      reader.seekSync(position, Deno.SeekMode.Start);
      reader.readSync(bytes);
      assertEquals(bytes.subarray(0, expected.length), expected, `at ${position}`);
    }
    assertEquals(dataOf(file), dataOf(naive));
    assertEquals(file.stored, naive.stored);
  }

  // Of a page, what is in its region.
  function contentLength(position: number): number {
    const range = ranges.findLast((range) => range.position <= position)!;
    return Math.min(PAGE, range.position + range.length - position);
  }
}

function dataOf(file: ScratchFile): [number, number][] {
  const runs: [number, number][] = [];
  new DataRuns(file.fd).forEach(0, Deno.statSync(file.path).size, (...run) => runs.push(run));
  return runs;
}

// In memory, where each page is stored or not.
function files(count: number): Disposable & { readonly files: readonly ScratchFile[] } {
  const files = Array.from({ length: count }, () => scratchFile("/dev/shm"));
  return {
    files,
    [Symbol.dispose]() {
      for (const file of files) file[Symbol.dispose]();
    },
  };
}
