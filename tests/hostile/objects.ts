/** Arguments that are objects: memories, regions, options, lists. */
import * as library from "../../mod.ts";
import { GuestAddress, GuestMemoryMmap, GuestRegionHeap, MmapRegion } from "../../mod.ts";
import { type Argument, HostileError } from "./argument.ts";
import { SIZE } from "./backing.ts";
import * as codecs from "./codecs.ts";
import * as junk from "./junk.ts";
import * as making from "./making.ts";
import type { Maker, Place } from "./parameters.ts";
import type { Random } from "./random.ts";
import { slice } from "./receivers.ts";
import { type Span, STARTS, type World } from "./world.ts";

/** Advice that the kernel has, and some that it does not have. */
export const ADVICE: readonly string[] = [
  ...["normal", "random", "sequential", "willneed", "dontneed", "remove", "dontfork", "dofork"],
  ...["mergeable", "unmergeable", "hugepage", "nohugepage", "dontdump", "dodump", "cold"],
  ...["pageout", "populate-read", "populate-write", "x", "__proto__", "constructor"],
];

function given(value: unknown, label: string): Argument {
  return { value, label };
}

/** Where codecs read and write, where maps are replaced, and memory behind an IOMMU. */
export function memory(place: Place): Argument {
  const { entry, world, random } = place;
  if (/\.(read|write|elements)$/.test(entry)) {
    const { object, spans, label } = slice(place);
    const { memory } = object;
    // A codec asks nobody: memory calls it where it may be read and written.
    if (memory.openLength === 0) {
      const made = new library.HostMemory(new ArrayBuffer(SIZE));
      return { value: made, label: "new HostMemory", wild: true };
    }
    const whole = spans?.[0] === undefined ? [] : world.wholeOf(spans[0]);
    return { value: memory, label: `host memory of ${label}`, spans: whole, wild: true };
  }
  if (entry === "new GuestMemoryAtomic" || entry === "GuestMemoryExclusiveGuard#replace") {
    return given(anotherMemory(random), "another memory");
  }
  if (/Stream$/.test(entry) && random.chance(0.5)) {
    const { object, spans, label } = slice(place);
    return { value: object, label, ...spans && { spans } };
  }
  const spans = STARTS.flatMap((_, i) => world.spansOf(i));
  return { value: world.physical, label: "the memory", spans };
}

function anotherMemory(random: Random): library.GuestRegionCollection {
  if (random.chance(0.2)) return new library.GuestRegionCollection();
  return library.GuestMemoryHeap.fromRanges([[GuestAddress(random.int(9) * SIZE), SIZE]]);
}

/** The world's mapping, or one that is made for it. */
export function mapping(world: World): MmapRegion {
  const { mmap } = world.regions[0] as { mmap?: MmapRegion };
  if (mmap !== undefined && !mmap.closed) return mmap;
  const made = new MmapRegion(SIZE);
  world.made.push(made);
  return made;
}

/** The world's memory if it is mapped, or one that is. */
export function mappedMemory(world: World): library.GuestMemoryMmap {
  const { physical } = world;
  if (physical instanceof GuestMemoryMmap && !physical.closed) return physical;
  const made = GuestMemoryMmap.fromRanges([[GuestAddress(0), SIZE]]);
  world.made.push(made);
  return made;
}

/** What memory may consist of. A foreign address may be anything's: here it cannot be used. */
export function backing(random: Random): library.Backing {
  const hugePages = random.pick([undefined, undefined, 2 ** 21, 4096]);
  const size = hugePages === undefined ? {} : { hugePages };
  return random.pick([
    () => library.Backing.anonymous({ shared: random.chance(0.5), ...size }),
    () => library.Backing.memfd({ name: "hostile", seal: random.chance(0.5), ...size }),
    () => library.Backing.file(making.openFile(random), { private: random.chance(0.7) }),
    () => library.Backing.foreign(random.pick(UNUSABLE)),
  ])();
}

/** Host addresses where nothing can be. */
export const UNUSABLE: readonly bigint[] = [0n, 1n, -1n, -4096n, 2n ** 64n, 2n ** 53n + 1n];

/** Where pages are placed. */
function placement(random: Random): unknown {
  const nodes = random.pick<unknown>([[0], [0, 1], [], [1023], [1024], [-1], ["0"], undefined, 7]);
  return { nodes, policy: random.pick(["bind", "preferred", "interleave", "x", 1]) };
}

/** How something is made. */
export function options({ random, mischief, before }: Place): Argument {
  const odd = () => junk.anything(random, mischief);
  const bitmap = () => making.bitmap(random, mischief);
  const parts: Record<string, () => unknown> = {
    shared: () => random.chance(0.5),
    bitmap: () => random.pick<unknown>([bitmap, () => undefined, () => odd().value]),
    protection: () => random.int(4),
    backing: () => backing(random),
    reserve: () => true,
    transparentHugePages: () => random.chance(0.5),
    mergeable: () => random.chance(0.5),
    dontDump: () => true,
    dontFork: () => true,
    guardPages: () => random.chance(0.5),
    numa: () => placement(random),
    // These take all of the memory.
    prefault: () => !isLarge,
    lock: () => isLarge ? false : random.pick([true, false, "onfault"]),
    name: () => random.pick(["text", "", "x".repeat(300), "\0", "/"]),
    hugePages: () => random.pick([2 ** 21, 2 ** 30, 4096, 3, 0]),
    seal: () => random.chance(0.5),
    private: () => random.chance(0.5),
    lease: () => () => {},
    lanes: () => 1 + random.int(4),
    chunk: () => random.pick([1, 4096, 2 ** 26]),
    onProgress: () => mischief.then(() => {}),
    signal: () =>
      random.chance(0.5)
        ? AbortSignal.abort(new HostileError("aborted"))
        : new AbortController().signal,
    packed: () => true,
    enabled: () => false,
    cause: () => odd().value,
    flags: () => random.pick([0, 0x4000, 0x10, 0x10_0000, 0x8000_0000, 0x4_0000]),
  };
  const isLarge = before.some(({ value }) => typeof value === "number" && value > 2 ** 22);
  const made: Record<string, unknown> = {};
  const labels: string[] = [];
  for (const [name, make] of Object.entries(parts)) {
    if (!random.chance(0.2)) continue;
    const junky = !UNSPOILT.has(name) && random.chance(0.3);
    const argument = junky ? odd() : undefined;
    const value = argument === undefined ? make() : argument.value;
    labels.push(`${name}: ${argument?.label ?? String(value)}`);
    const get = mischief.then(() => value);
    if (random.chance(0.8)) made[name] = value;
    else Object.defineProperty(made, name, { get, enumerable: true });
  }
  return given(made, `{ ${labels.join(", ")} }`);
}

// Some numbers would take as much memory, or as many promises.
const UNSPOILT: ReadonlySet<string> = new Set(["flags", "lanes"]);

/** What memory is, for another process, and what it may be taken for. */
export function descriptions({ world, random, mischief }: Place): Argument {
  const real = mappedMemory(world).describe();
  const changed = real.map((region) => {
    const name = random.pick(Object.keys(region));
    const { value, label } = name === "len" ? junk.size(random) : junk.anything(random, mischief);
    return { value: { ...region, fd: 3, [name]: value }, label: `${name}: ${label}` };
  });
  if (random.chance(0.3)) return given(real, "its descriptions");
  return given(
    changed.map(({ value }) => value),
    `its descriptions with ${changed.map(({ label }) => label).join(", ")}`,
  );
}

/** A real handle in which something is different. */
export function alteredHandle(place: Place): Argument {
  const { random, mischief, world } = place;
  const { value, label } = junk.anything(random, mischief);
  const alter = (object: object): object => {
    const name = random.pick(Object.keys(object));
    const inner = (object as Record<string, unknown>)[name];
    const isInner = Object.getPrototypeOf(inner ?? 0) === Object.prototype;
    return { ...object, [name]: isInner ? alter(inner as object) : value };
  };
  const isRegion = place.entry === "MmapRegion.attach";
  const altered = isRegion
    ? alter(mapping(world).share())
    : mappedMemory(world).share().map((part) => random.chance(0.5) ? alter(part) : part);
  return given(altered, `a handle with ${label}`);
}

/** A list of what a maker makes. */
export function list(random: Random, maker: Maker): Argument {
  const items = Array.from({ length: random.int(3) }, () => maker.good({ random } as Place));
  return given(items.map(({ value }) => value), `[${items.map(({ label }) => label).join(", ")}]`);
}

/** Some slices. */
export function slices(place: Place): Argument {
  const made = Array.from({ length: place.random.int(3) }, () => slice(place));
  return {
    value: made.map(({ object }) => object),
    label: `[${made.map(({ label }) => label).join(", ")}]`,
    spans: made.flatMap(({ spans }) => spans ?? []),
  };
}

/** The fields of a structure. */
export function fields({ random, mischief }: Place): Argument {
  const made: Record<string, unknown> = {};
  const labels: string[] = [];
  for (const name of ["a", "b", "__proto__", "8", "constructor", '"'].slice(random.int(6))) {
    const codec = random.chance(0.7) ? codecs.known(random) : codecs.hostile(random, mischief);
    Object.defineProperty(made, name, { value: codec.value, enumerable: true });
    labels.push(`${JSON.stringify(name)}: ${codec.label}`);
  }
  return given(made, `{ ${labels.join(", ")} }`);
}

/** A file, or a place in one. */
export function file(random: Random): Argument {
  const fd = making.openFile(random);
  if (random.chance(0.3)) return given(fd, `descriptor ${fd}`);
  return given(new library.FileOffset(fd), `new FileOffset(${fd})`);
}

/** A bitmap or a log to merge. */
export function marks(random: Random): Argument {
  if (random.chance(0.5)) return given(making.atomicBitmap(random), "AtomicBitmap");
  return given(new Uint8Array(random.int(16)).fill(1), "a log");
}

/** Ranges of memory to make. */
export function ranges(random: Random): Argument {
  const odd = () => {
    const { value, label } = random.chance(0.5) ? junk.size(random) : junk.wrongPrimitive(random);
    return { value, label };
  };
  const made: unknown[] = [];
  const labels: string[] = [];
  for (let i = random.int(3); i >= 0; i--) {
    const start = random.chance(0.7) ? given(made.length * SIZE, "aligned") : odd();
    const size = random.chance(0.7) ? given(SIZE, "SIZE") : odd();
    const own = random.chance(0.7) ? [] : [{ backing: backing(random) }];
    made.push([start.value, size.value, ...own]);
    labels.push(`[${start.label}, ${size.label}${own.length > 0 ? ", { backing }" : ""}]`);
  }
  return given(made, `[${labels.join(", ")}]`);
}

/** Ranges of a memory, to be transferred; hostile ones are wrong, change, or do mischief. */
export function segments(place: Place, hostile: boolean): Argument {
  const { subject, random, mischief } = place;
  const made: unknown[] = [];
  const labels: string[] = [];
  const spans: Span[] = [];
  const part = (addr: unknown, length: unknown): readonly Span[] => {
    const isRange = Number.isSafeInteger(addr) && Number.isSafeInteger(length);
    if (!isRange || addr as number < 0 || length as number < 0) return [];
    const count = Math.min(length as number, 2 ** 20);
    return subject!.resolve?.(addr as number, count) ?? subject!.spans ?? [];
  };
  for (let i = random.int(4); i >= 0; i--) {
    const addr = subject!.address(random);
    const length = random.int(60);
    const range: unknown[] = [addr, length];
    let label = `[${addr}, ${length}]`;
    if (hostile && random.chance(0.3)) {
      const index = random.int(2);
      const { value, label: shown } = random.chance(0.5)
        ? junk.anything(random, mischief)
        : junk.number(random);
      const honest = range[index];
      let asked = random.int(2);
      range[index] = undefined;
      Object.defineProperty(range, index, {
        get: mischief.then(() => asked++ === 0 ? honest : value),
      });
      label += ` whose [${index}] does ${mischief.last} and becomes ${shown}`;
      // It may be read so the first time.
      spans.push(...index === 0 ? part(value, length) : part(addr, value));
    }
    spans.push(...part(addr, length));
    made.push(range);
    labels.push(label);
  }
  const label = `[${labels.join(", ")}]`;
  if (!hostile || random.chance(0.5)) return { value: made, label, spans };
  const step = mischief.then(() => {});
  const value = function* () {
    for (const range of made) {
      step();
      yield range;
    }
  }();
  return { value, label: `a generator of ${label} that does ${mischief.last}`, spans };
}

/** A region to insert. */
export function region(random: Random): Argument {
  const start = random.pick([0, 0x1800, 0x4000, 0x9000]);
  return given(new GuestRegionHeap(GuestAddress(start), SIZE), `region at ${start}`);
}

/** Regions of a memory: real ones, and ones that lie. */
export function regions({ random, mischief }: Place): Argument {
  const made: unknown[] = [];
  const labels: string[] = [];
  for (let i = random.int(3); i > 0; i--) {
    if (random.chance(0.6)) {
      made.push(new GuestRegionHeap(GuestAddress(made.length * SIZE), SIZE));
      labels.push("heap");
    } else {
      const lying = new GuestRegionHeap(GuestAddress(made.length * SIZE), SIZE);
      const name = random.pick([
        "len",
        "startAddr",
        "lastAddr",
        "retain",
        "onInserted",
        "hostSlice",
      ]);
      const { value, label } = junk.anything(random, mischief);
      const get = mischief.then(() => value);
      Object.defineProperty(lying, name, { get });
      made.push(lying);
      labels.push(`heap whose ${name} does ${mischief.last}, then ${label}`);
    }
  }
  return given(made, `[${labels.join(", ")}]`);
}

/** A web stream with a little in it, or for a little. */
export function webStream(entry: string, random: Random): Argument {
  if (entry.startsWith("write")) {
    const failing = random.chance(0.2);
    const write = () => {
      if (failing) throw new TypeError("the stream fails");
    };
    return given(new WritableStream({ write }), failing ? "failing stream" : "stream");
  }
  const chunks = Array.from({ length: random.int(3) }, () => new Uint8Array(random.int(64)));
  return given(ReadableStream.from(chunks), `stream of ${chunks.length} chunks`);
}
