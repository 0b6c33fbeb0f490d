/** Arguments of snapshots: files, manifests, options, memory that is being loaded. */
import { AtomicBitmap, GuestMemoryHeap, GuestMemoryMmap, takeDirty } from "../../mod.ts";
import {
  type DiffManifest,
  FaultHandler,
  type FaultRange,
  FaultServer,
  restore,
  type SnapshotManifest,
  writeDiff,
  writeSnapshot,
  WriteTracker,
} from "../../src/snapshot/mod.ts";
import type { Argument } from "./argument.ts";
import { SIZE } from "./backing.ts";
import { type Access, harmless, TestFile, unusual } from "./files.ts";
import * as junk from "./junk.ts";
import * as making from "./making.ts";
import { altered } from "./altered.ts";
import * as objects from "./objects.ts";
import type { Place } from "./parameters.ts";
import type { Random } from "./random.ts";
import type { Receiver, Setting } from "./receivers.ts";
import { STARTS, type World } from "./world.ts";

/** A snapshot of the regions that every world has, with diffs. */
export interface Template {
  readonly content: Uint8Array;
  readonly manifest: SnapshotManifest;
  readonly flat: Diff;
  readonly compact: Diff;
  /** The snapshot with a diff. */
  readonly applied: Uint8Array;
}

export interface Diff {
  readonly content: Uint8Array;
  readonly manifest: DiffManifest;
}

let template: Template | undefined;

/** What {@linkcode prepare} made. */
export function prepared(): Template {
  return template!;
}

/** Makes what the arguments are made of. */
export async function prepare(): Promise<void> {
  if (template !== undefined) return;
  const memory = GuestMemoryHeap.fromRanges(STARTS.map((start) => [start, SIZE]), {
    bitmap: (length) => new AtomicBitmap(length, SIZE),
  });
  const path = Deno.makeTempFileSync();
  using file = Deno.openSync(path, { read: true, write: true });
  const written = () => Deno.readFileSync(path);
  const fill = (index: number) => memory.writeSlice(page(index), STARTS[index]!);
  try {
    fill(0);
    fill(2);
    const { manifest } = await writeSnapshot(memory, file, { sha256: true });
    const content = written();
    takeDirty(memory);
    fill(1);
    const diff = async (form: "flat" | "compact"): Promise<Diff> => {
      const dirty = takeDirty(memory);
      const { manifest: made } = await writeDiff(memory, file, dirty, {
        form,
        since: manifest,
        sha256: true,
      });
      dirty.putBack();
      return { content: written(), manifest: made };
    };
    const [flat, compact] = [await diff("flat"), await diff("compact")];
    await writeSnapshot(memory, file);
    template = { content, manifest, flat, compact, applied: written() };
  } finally {
    Deno.removeSync(path);
  }
}

function page(seed: number): Uint8Array {
  return Uint8Array.from({ length: SIZE }, (_, i) => (i * 31 + seed * 7) % 251);
}

/** What a file is for. */
export type Use = "output" | "snapshot" | "base" | "diff";

const ACCESS = { output: "both", snapshot: "read", base: "both", diff: "read" } as const;

function contentFor(use: Use, random: Random): [content: Uint8Array, label: string] {
  const { content, flat, compact } = template!;
  if (use === "output") {
    const length = random.pick([0, 100, 3 * SIZE]);
    return [new Uint8Array(length).fill(7), `a file of ${length} bytes`];
  }
  if (use !== "diff") return [content, "a snapshot"];
  return random.chance(0.5) ? [flat.content, "a flat diff"] : [compact.content, "a compact diff"];
}

/** A file as it should be. */
export function file(place: Place, use: Use): Argument {
  const { world, random } = place;
  const [content, label] = contentFor(use, random);
  return { ...opened(place, new TestFile(world, content), ACCESS[use], label), right: true };
}

function opened({ random }: Place, file: TestFile, access: Access, label: string): Argument {
  const value = file.open(random, access);
  return { value, label: `${label}${typeof value === "number" ? "'s descriptor" : ""}`, file };
}

/** A file that is not. */
export function hostileFile(place: Place, use: Use): Argument {
  const { world, random, mischief, before } = place;
  const kind = random.int(5);
  if (kind === 0) return harmless(junk.anything(random, mischief));
  if (kind === 1) return unusual(world, random);
  const other = before.find(({ file }) => file !== undefined);
  if (other?.file !== undefined && random.chance(0.3)) {
    if (random.chance(0.5)) return { ...other, label: `the same: ${other.label}` };
    return opened(place, other.file, ACCESS[use], "the same file, opened again");
  }
  const [content, label] = contentFor(random.pick(["output", "snapshot", "base", "diff"]), random);
  if (kind === 2) {
    const access = random.pick<Access>(["read", "write", "append"]);
    return opened(place, new TestFile(world, content), access, `${label} to ${access}`);
  }
  const length = random.pick([0, 1, 15, SIZE, content.length - 1, content.length + 1, 4 * SIZE]);
  const changed = new Uint8Array(random.chance(0.5) ? Math.max(0, length) : content.length);
  changed.set(content.subarray(0, changed.length));
  for (let i = random.int(4); i > 0 && changed.length > 0; i--) {
    // The head of a compact diff is at its beginning.
    changed[random.int(random.chance(0.7) ? Math.min(64, changed.length) : changed.length)] = random
      .pick([0, 1, 16, 127, 255]);
  }
  const made = new TestFile(world, changed);
  return opened(place, made, ACCESS[use], `${label}, changed, of ${changed.length} bytes`);
}

/** The regions that are saved, or some of them. */
export function memory(place: Place): Argument {
  const { world, random, entry } = place;
  const kind = random.int(10);
  const old = () => world.backings.map((backing) => backing.old(0, SIZE));
  if (kind < 5) return { value: world.physical, label: `${world.name} memory`, old };
  if (kind === 5) return { value: world.regions.slice(random.int(3)), label: "some regions" };
  if (kind === 6) return { value: [...world.regions].reverse(), label: "regions", old };
  const isLoaded = /^(writeDiff)$/.test(entry);
  if (kind === 7 && !isLoaded && random.chance(0.3)) {
    return { value: loading(place), label: "memory that is being loaded" };
  }
  if (kind === 8 && random.chance(0.5)) {
    const own = template!.manifest.regions.map(({ startAddr }) => [startAddr, SIZE] as const);
    const file = new TestFile(world, template!.content);
    const bitmap = random.chance(0.5) ? { bitmap: tracked } : {};
    const options = { mode: "copyOnWrite", ...bitmap } as const;
    const value = restore(own as never, file.open(random, "read"), options);
    world.made.push(value);
    // A file that is mapped must not be cut off.
    world.files.pop();
    return { value, label: "a copy on write", file };
  }
  const value = GuestMemoryMmap.fromRanges(STARTS.map((start) => [start, SIZE]), {
    bitmap: tracked,
  });
  value.fill(STARTS[0]!, SIZE, random.int(256));
  world.made.push(value);
  return { value, label: "tracked memory" };
}

const tracked = (length: number) => new AtomicBitmap(length, SIZE);

/** Memory whose pages are being loaded, or will never be. Nobody may touch it. */
function loading(
  { world, random }: Setting,
  thread: boolean = random.chance(0.7),
): GuestMemoryMmap {
  const file = new TestFile(world, template!.content);
  const made = restore(template!.manifest, file.open(random, "read"), {
    ...{ mode: "lazy", thread, prefetch: random.chance(0.6), record: random.chance(0.5) },
    ...random.chance(0.5) && { bitmap: tracked },
  });
  world.made.push(made);
  if (random.chance(0.2)) file.spoil(random);
  return made;
}

/** What was taken of a memory, or of another one. */
export function dirty({ before, random }: Place): Argument {
  const memory = before[0]?.value;
  if (memory instanceof GuestMemoryMmap && random.chance(0.8)) {
    return { value: takeDirty(memory), label: "its marks" };
  }
  return { value: making.dirtySet(random), label: "other marks" };
}

/** A manifest of the snapshot, or of a diff. */
export function manifest(random: Random): Argument {
  const { manifest, flat, compact } = template!;
  return random.pick([
    { value: manifest, label: "manifest" },
    { value: flat.manifest, label: "manifest of a flat diff" },
    { value: compact.manifest, label: "manifest of a compact diff" },
  ]);
}

/** The ranges of a snapshot, or its manifest. */
export function ranges({ random }: Place): Argument {
  const { manifest } = template!;
  if (random.chance(0.5)) return { value: manifest, label: "its manifest", right: true };
  return { value: STARTS.map((start) => [start, SIZE]), label: "its ranges", right: true };
}

/** Those that are not right. */
export function hostileRanges(place: Place): Argument {
  const { random, mischief } = place;
  const kind = random.int(4);
  if (kind === 0) return junk.anything(random, mischief);
  if (kind === 1) return objects.ranges(random);
  return altered(place, kind === 2 ? ranges(place) : manifest(random));
}

/** Ranges of faults: those of the handler whose descriptor is given. */
export function faultRanges({ before }: Place): Argument {
  return { value: before[0]?.ranges ?? [], label: "its ranges" };
}

/** Those that are not right. */
export function hostileFaultRanges(place: Place): Argument {
  const { random, mischief } = place;
  if (random.chance(0.3)) return junk.anything(random, mischief);
  return altered(place, faultRanges(place));
}

/** A descriptor of faults, with its ranges. */
export function faults(setting: Setting): Argument & { ranges: readonly FaultRange[] } {
  const handler = FaultHandler.of(loading(setting, false));
  return { value: handler.fd, label: "the descriptor of faults", ranges: handler.ranges };
}

/** One that is not right, or another thing. */
export function hostileFaults(place: Place): Argument {
  const { random, mischief, world } = place;
  return random.chance(0.3) ? harmless(junk.anything(random, mischief)) : unusual(world, random);
}

function plainly(label: string, object: object) {
  return { object, label, address: (random: Random) => random.int(9) };
}

/** By the name of the class. */
export const RECEIVERS: Readonly<Record<string, Receiver>> = {
  FaultHandler: (setting) => {
    const memory = loading(setting);
    const handler = FaultHandler.of(memory);
    if (setting.random.chance(0.2)) attempt(() => WriteTracker.start(memory), setting.world);
    if (setting.random.chance(0.1)) memory.close();
    return plainly("FaultHandler", handler);
  },
  FaultServer: (setting) => {
    const { world, random } = setting;
    const { value, ranges } = faults(setting);
    const file = new TestFile(world, template!.content).open(random, "read");
    const server = new FaultServer(value as number, ranges, file);
    world.made.push(server);
    return plainly("FaultServer", server);
  },
  WriteTracker: ({ world, random }) => {
    const memory = GuestMemoryMmap.fromRanges(STARTS.map((start) => [start, SIZE]), {
      bitmap: tracked,
    });
    const tracker = WriteTracker.start(memory);
    world.made.push(tracker, memory);
    memory.fill(STARTS[1]!, 1 + random.int(SIZE), 1);
    if (random.chance(0.2)) memory.close();
    return plainly("WriteTracker", tracker);
  },
};

// Not all memory can be tracked.
function attempt(make: () => { close(): unknown }, world: World): void {
  try {
    world.made.push(make());
  } catch {
    // Then it is not.
  }
}
