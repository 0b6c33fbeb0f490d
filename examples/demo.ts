/**
 * Loads a real ELF file into the memory of an x86-64 guest, proves that it is there, and draws the
 * map.
 *
 * Run it with `deno task demo [FILE]`, or `deno run --allow-ffi --allow-read examples/demo.ts`.
 *
 * @module
 */
import { GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { pathOf, USAGE } from "./demo/arguments.ts";
import { DemoError } from "./demo/demo_error.ts";
import { type Elf, ElfError, parseElf } from "./lib/elf.ts";
import { RegularFile } from "./lib/regular_file.ts";
import { bytesInFile, load, type OnProgress, readPlainly, STEP, verify } from "./demo/loader.ts";
import { drawMemory } from "./demo/memory_picture.ts";
import { place, type Placement } from "./demo/placement.ts";
import { residentBytes } from "./demo/residency.ts";
import { bestOf, drawBars, time } from "./demo/speed.ts";
import { regionTable, segmentTable } from "./demo/tables.ts";
import { openOutput } from "./lib/output.ts";
import { Progress } from "./lib/progress.ts";
import { crossBoundary, meetHole, shareDescriptor } from "./demo/tour.ts";
import { count, duration, hex, size } from "./lib/units.ts";
import { runProgram } from "./lib/program.ts";

const GIB = 2 ** 30;
// The memory of a PC with 6 GiB: below 4 GiB is a hole for devices, and what it displaces is above.
// Low RAM is in two regions, so that there is a boundary to cross.
const RAM = [
  [GuestAddress(0), 1 * GIB],
  [GuestAddress(1 * GIB), 2 * GIB],
  [GuestAddress(4 * GIB), 3 * GIB],
] as const;
const ROUNDS = 5;

const output = openOutput();
const { paint, print } = output;

function demonstrate(path: string): void {
  using file = new RegularFile(path);
  using memory = GuestMemoryMmap.fromRanges(RAM);
  const [elf, placement] = examine(file, memory);
  const { segments } = placement;
  const total = bytesInFile(segments);
  describe(file, elf, placement, total);

  const firstLoad = time(() =>
    withProgress("Loading", total, (onProgress) => load(memory, file, segments, onProgress))
  );
  const hashes = withProgress(
    "Verifying",
    total,
    (onProgress) => verify(memory, file, segments, onProgress),
  );

  const resident = residentBytes(memory);
  heading("Memory map");
  print(drawMemory(memory, segments, paint, output.columns));
  print(["", ...regionTable(memory, segments, resident, paint)]);
  print(["", ...segmentTable(segments, hashes, paint)]);

  heading("Accesses");
  const image = segments.find(({ fileSize }) => fileSize > 0) ?? segments[0]!;
  for (
    const { title, seen } of [
      crossBoundary(memory),
      meetHole(memory),
      shareDescriptor(memory, image.start),
    ]
  ) {
    print([`  ${paint("green", "✓")} ${title}`, ...seen.map((line) => `      ${line}`)]);
  }

  if (total > 0) {
    heading("Speed");
    print(compareSpeed(memory, file, placement, firstLoad));
  }
  print(["", `Everything as it should be. Total time: ${duration(performance.now())}`]);
}

function examine(file: RegularFile, memory: GuestMemoryMmap): [Elf, Placement] {
  try {
    const elf = parseElf(file);
    return [elf, place(elf, memory)];
  } catch (error) {
    if (!(error instanceof ElfError || error instanceof DemoError)) throw error;
    throw new DemoError(`cannot load ${file.name}: ${error.message}`, { cause: error });
  }
}

function describe(file: RegularFile, elf: Elf, placement: Placement, total: number): void {
  const { base, lowest, entry, segments } = placement;
  const facts = {
    "Guest memory": `${size(RAM.reduce((sum, [, length]) => sum + length, 0))} of RAM in ` +
      `${count(RAM.length, "region")}, with a hole below 4 GiB`,
    "ELF file": shortened(file.name.slice(1, -1)),
    "": `${size(file.size)}, ${elf.machine}, ${elf.type}`,
    "To load": `${size(total)} in ${count(segments.length, "segment")}`,
    "Load base": base === 0
      ? "none: segments lie at their physical addresses"
      : `${hex(base)}: ${size(base)} is added to addresses that count from ${hex(lowest)}`,
    "Entry point": entry === undefined ? "in no segment" : hex(entry),
  };
  print(Object.entries(facts).map(([name, fact]) => `${paint("bold", name.padEnd(14))}${fact}`));
}

function compareSpeed(
  memory: GuestMemoryMmap,
  file: RegularFile,
  { segments }: Placement,
  firstLoad: number,
): string[] {
  const total = bytesInFile(segments);
  // The heap does not align a buffer to pages, as a mapping is: the kernel copies to it a bit slower.
  const buffer = new Uint8Array(STEP);
  const [loading, reading] = bestOf(
    ROUNDS,
    () => load(memory, file, segments),
    () => readPlainly(file, segments, buffer),
  );
  const bars = [
    { label: "first load", time: firstLoad, note: "into fresh pages" },
    { label: "load", time: loading, note: `best of ${ROUNDS}` },
    { label: "plain read", time: reading, note: `best of ${ROUNDS}, heap buffer` },
  ];
  return [
    ...drawBars(total, bars, paint, output.columns),
    `  Loading runs at ${(reading / loading).toFixed(2)} of the speed of a plain read.`,
  ];
}

function withProgress<T>(label: string, total: number, step: (onProgress: OnProgress) => T): T {
  using progress = new Progress();
  return step((done) => progress.update(`${label}: ${size(done)} of ${size(total)}`, done, total));
}

function heading(text: string): void {
  print(["", paint("bold", text)]);
}

function shortened(text: string): string {
  const room = 64;
  return text.length <= room ? text : `…${text.slice(1 - room)}`;
}

if (import.meta.main) {
  const program = { name: "demo", usage: USAGE, optionsOf: pathOf, run: demonstrate };
  Deno.exitCode = await runProgram(program, Deno.args);
}
