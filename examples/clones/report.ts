/**
 * Measures a snapshot and its clones.
 *
 * @module
 */
import { capabilities, FileOffset, GuestMemoryMmap, u64 } from "@vmm/guest-memory";
import { restore, writeSnapshot, writtenSinceRestore } from "@vmm/guest-memory/snapshot";
import { openUnnamedFile } from "../lib/unnamed_file.ts";
import { Kvm } from "../microvm/kvm.ts";
import { memoryRanges } from "../microvm/layout.ts";
import type { Options } from "./arguments.ts";
import { type Base, FILE_PREFIX, makeBase, type Snapshot } from "./base.ts";
import { type Clone, type CloneTimes, problemsOf, startClone } from "./clone.ts";
import { PATTERN } from "./guest.ts";
import { ProcessMemory } from "./own_memory.ts";
import { type Spread, spreadOf } from "./statistics.ts";

/** All that is known: see `USAGE` for each field. */
export interface Report {
  readonly memory: number;
  readonly clones: number;
  readonly snapshot: Snapshot;
  readonly times: Readonly<Record<keyof CloneTimes, Times>>;
  readonly exits: readonly number[];
  readonly own: Spread & { readonly total: number };
  readonly shared: Spread;
  readonly sizes: readonly SizeTimes[];
  readonly eager: Eager;
  readonly problems: readonly string[];
}

/** Times of all clones. The first one is apart: code runs for the first time then. */
export interface Times extends Spread {
  readonly first: number;
}

/** How long it takes to get memory of a size, of which only a page is in the file, with no machine. */
export interface SizeTimes {
  readonly memory: number;
  readonly access: Times;
}

/** What a clone costs that has all of the snapshot from the beginning. */
export interface Eager {
  readonly access: number;
  readonly exit: number;
  readonly own: number;
}

const GIB = 2 ** 30;
/** Sizes that are measured beside that of the guest. */
const SIZES: readonly number[] = [4 * GIB, 64 * GIB];
const RESTORES = 100;

/**
 * Makes the snapshot, starts the clones, and measures what they take.
 *
 * @param options What is asked for.
 * @param onClone Called before each clone, with its number.
 */
export async function measure(
  { device, memory, clones: count }: Options,
  onClone: (number: number) => void = () => {},
): Promise<Report> {
  using kvm = new Kvm(device);
  // Before there are machines: with each, the kernel takes longer to map anything.
  const sizes = await measureSizes([...new Set([memory, ...SIZES])].toSorted((a, b) => a - b));
  using base = await makeBase(kvm, memory);
  using stack = new DisposableStack();
  const clones: Clone[] = [];
  for (let number = 0; number < count; number++) {
    onClone(number);
    clones.push(stack.use(startClone(base, number, "copyOnWrite")));
  }
  const inRam = new ProcessMemory();
  const usages = clones.map(({ memory }) => inRam.usageOf(memory));
  const owns = usages.map(({ own }) => own);
  const problems = [...problemsOf(clones), ...disagreements(clones, owns)];
  const times = (name: keyof CloneTimes) => timesOf(clones.map(({ times }) => times[name]));
  return {
    memory,
    clones: count,
    snapshot: base.snapshot,
    times: {
      access: times("access"),
      machine: times("machine"),
      load: times("load"),
      run: times("run"),
      exit: times("exit"),
    },
    exits: clones.map(({ times }) => times.exit),
    own: { ...spreadOf(owns), total: owns.reduce((sum, own) => sum + own) },
    shared: spreadOf(usages.map(({ shared }) => shared)),
    sizes,
    ...measureEager(base, count, problems),
  };
}

function timesOf(values: readonly number[]): Times {
  const [first, ...others] = values as [number, ...number[]];
  return { first, ...spreadOf(others.length === 0 ? [first] : others) };
}

// The library finds the copies by the page tables, which have to say what smaps adds up.
function disagreements(clones: readonly Clone[], owns: readonly number[]): string[] {
  if (!capabilities().trackers.writtenSinceRestore.available) return [];
  return clones.flatMap(({ number, memory }, i) => {
    let written = 0;
    for (const [, length] of writtenSinceRestore(memory)) written += length;
    if (written === owns[i]) return [];
    return [`clone ${number} has ${owns[i]} private bytes, and has written ${written}`];
  });
}

// In turns, so that all sizes meet the code as V8 has compiled it until then.
async function measureSizes(sizes: readonly number[]): Promise<SizeTimes[]> {
  using stack = new DisposableStack();
  const snapshots = [];
  for (const size of sizes) snapshots.push(await sparseSnapshot(size, stack));
  const accesses: number[][] = sizes.map(() => []);
  for (let round = 0; round < RESTORES; round++) {
    snapshots.forEach(({ ranges, fd }, i) => {
      const start = performance.now();
      const memory = stack.use(restore(ranges, fd, { mode: "copyOnWrite" }));
      memory.readObj(u64, PATTERN);
      accesses[i]!.push(performance.now() - start);
    });
  }
  return sizes.map((memory, i) => ({ memory, access: timesOf(accesses[i]!) }));
}

async function sparseSnapshot(
  size: number,
  stack: DisposableStack,
): Promise<Pick<Base, "ranges" | "fd">> {
  const ranges = memoryRanges(size);
  const file = stack.use(openUnnamedFile(FILE_PREFIX));
  using memory = GuestMemoryMmap.fromRanges(ranges);
  memory.writeObj(u64, 1n, PATTERN);
  await writeSnapshot(memory, file);
  return { ranges, fd: new FileOffset(file).fd };
}

function measureEager(
  base: Base,
  number: number,
  problems: readonly string[],
): Pick<Report, "eager" | "problems"> {
  using clone = startClone(base, number, "eager");
  const { access, exit } = clone.times;
  const { own } = new ProcessMemory().usageOf(clone.memory);
  return { eager: { access, exit, own }, problems: [...problems, ...problemsOf([clone])] };
}
