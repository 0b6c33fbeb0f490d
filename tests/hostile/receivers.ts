/** How to come by an instance of each class that the library exports. */
import * as library from "../../mod.ts";
import { type GuestAddress, type GuestMemoryRegion, MmapRegion, VolatileSlice } from "../../mod.ts";
import * as codecs from "./codecs.ts";
import * as objects from "./objects.ts";
import * as queues from "./queues.ts";
import * as snapshots from "./snapshots.ts";
import * as making from "./making.ts";
import type { Mischief } from "./mischief.ts";
import type { Random } from "./random.ts";
import type { Subject } from "./subject.ts";
import { cut, part, type Span, STARTS, type World } from "./world.ts";
import { ElsewhereRegion } from "./worlds.ts";
import { SIZE } from "./backing.ts";

/** What an instance is made from. */
export interface Setting {
  readonly world: World;
  readonly random: Random;
  readonly mischief: Mischief;
}

/** Makes an instance. */
export type Receiver = (setting: Setting) => Subject;

const small = (random: Random) => random.int(9);

function plainly(label: string, object: object): Subject {
  return { object, label, address: small };
}

/** A memory that only finds regions and iterates over them. */
class OwnMemory extends library.GuestMemory {
  readonly #regions: readonly GuestMemoryRegion[];

  constructor(regions: readonly GuestMemoryRegion[]) {
    super();
    this.#regions = regions;
  }

  override findRegion(addr: GuestAddress): GuestMemoryRegion | undefined {
    if (typeof addr !== "number") throw new TypeError("addr must be a number");
    return this.#regions.find(({ startAddr, len }) => addr >= startAddr && addr < startAddr + len);
  }

  override [Symbol.iterator](): Iterator<GuestMemoryRegion> {
    return this.#regions.values();
  }
}

/** Memory that only cuts slices. */
class OwnVolatileMemory extends library.VolatileMemory {
  readonly #slice: VolatileSlice;

  constructor(slice: VolatileSlice) {
    super();
    this.#slice = slice;
  }

  get len(): number {
    return this.#slice.len;
  }

  getSlice(offset: number, count: number): VolatileSlice {
    return this.#slice.getSlice(offset, count);
  }
}

function madeOf<T extends { close(): void }>(world: World, made: T): T {
  world.made.push(made);
  return made;
}

function inMemory(world: World, object: object, label: string, virtual: boolean): Subject {
  const iova = virtual ? 0x10_0000 : 0;
  return {
    object,
    label,
    address: (random) => making.edge(random) + random.pick(STARTS) + iova,
    resolve: (addr, count) =>
      virtual ? world.resolve(addr, count) : world.resolvePhysical(addr, count),
  };
}

function physical({ world }: Setting): Subject {
  return inMemory(world, world.physical, `${world.name} memory`, false);
}

function ioMemory({ world }: Setting): Subject {
  return inMemory(world, world.memory, `${world.name}`, world.memory !== world.physical);
}

/** Of some bytes in a row. */
function inBytes(object: object, label: string, spans: readonly Span[]): Subject {
  const length = spans.reduce((sum, span) => sum + span.length, 0);
  return {
    object,
    label,
    spans,
    address: (random) => making.edge(random) % (length + 1),
    resolve: (addr, count) => addr < length ? cut(spans, addr, count) : [],
  };
}

function region({ world, random }: Setting): Subject {
  const index = random.int(STARTS.length);
  return inBytes(world.regions[index]!, `${world.name} region ${index}`, world.spansOf(index));
}

/** A slice of a region, or of a buffer where regions have none. */
export function slice({ world, random }: Setting): Subject & { object: VolatileSlice } {
  const index = random.int(STARTS.length);
  if (world.regions[index] instanceof ElsewhereRegion) {
    const bytes = new Uint8Array(SIZE);
    return inBytes(VolatileSlice.from(bytes), "slice of a buffer", world.loose(bytes)) as never;
  }
  const whole = world.regions[index]!.asVolatileSlice();
  const label = `${world.name} slice ${index}`;
  if (random.chance(0.3)) return inBytes(whole, label, world.spansOf(index)) as never;
  const at = making.edge(random);
  const length = Math.min(random.pick([0, 1, 8, 17, 64, SIZE]), SIZE - at);
  const [object, spans] = part(whole, world.spansOf(index), at, length);
  return inBytes(object, `${label} from ${at} of ${length}`, spans) as never;
}

function mmapRegion({ world, random }: Setting): Subject {
  const index = random.int(STARTS.length);
  const mmap = (world.regions[index] as { mmap?: unknown }).mmap;
  if (mmap instanceof MmapRegion) {
    return inBytes(mmap, `${world.name} mapping ${index}`, world.spansOf(index));
  }
  const made = new MmapRegion(SIZE);
  world.made.push(made);
  return { ...plainly("new MmapRegion", made), address: making.edge };
}

function hostMemory(setting: Setting): Subject {
  const { object, spans, label } = slice(setting);
  const { memory } = object;
  if (memory.u8.length === SIZE && spans?.[0] !== undefined) {
    return inBytes(memory, `host memory of ${label}`, setting.world.wholeOf(spans[0]));
  }
  return { ...plainly(`host memory of ${label}`, memory), address: making.edge };
}

// A reference to a value, or some, in a slice.
function reference(
  setting: Setting,
  name: "AtomicRef" | "VolatileRef" | "VolatileArrayRef",
): Subject {
  const { random } = setting;
  const codec = codecs.known(random, name === "AtomicRef").codec!;
  let from = slice(setting);
  while (from.object.len < codec.size * 4 + 8) from = slice(setting);
  const at = random.int(2) * 8;
  const count = name === "VolatileArrayRef" ? 3 : 1;
  const [bytes, spans] = part(from.object, from.spans!, at, codec.size * count);
  const label = `${name} of ${codec.name} at ${at} in ${from.label}`;
  const make = (): object => {
    if (name === "AtomicRef") {
      const start = bytes.start % codec.size;
      const aligned = start === 0
        ? bytes
        : from.object.getSlice(at + codec.size - start, codec.size);
      return new library.AtomicRef(codec.codec as never, aligned);
    }
    return name === "VolatileRef"
      ? new library.VolatileRef(codec.codec, bytes)
      : new library.VolatileArrayRef(codec.codec, bytes, 3);
  };
  const shift = name === "AtomicRef" ? (codec.size - bytes.start % codec.size) % codec.size : 0;
  const own = shift === 0 ? spans : cut(from.spans!, at + shift, codec.size);
  return { object: make(), label, codec, spans: own, address: small };
}

/** By the name of the class. */
export const RECEIVERS: Readonly<Record<string, Receiver>> = {
  ...queues.RECEIVERS,
  ...snapshots.RECEIVERS,
  AtomicBitmap: ({ random }) => plainly("new AtomicBitmap(6400, 64)", making.atomicBitmap(random)),
  AtomicRef: (setting) => reference(setting, "AtomicRef"),
  Backing: ({ random }) => plainly("Backing", objects.backing(random)),
  BitmapGroup: (setting) =>
    plainly("BitmapGroup", new library.BitmapGroup([making.atomicBitmap(setting.random)])),
  BitmapSlice: ({ random }) =>
    plainly("BitmapSlice", making.atomicBitmap(random).sliceAt(random.int(200))),
  Cursor: ({ random }) => plainly("Cursor", new library.Cursor(new Uint8Array(64), random.int(70))),
  DirtySet: ({ random }) => plainly("DirtySet", making.dirtySet(random)),
  EventFd: ({ world }) => plainly("EventFd", madeOf(world, new library.EventFd(5))),
  Fd: ({ random }) => plainly("Fd", making.descriptor(random)),
  FileOffset: () => plainly("FileOffset", new library.FileOffset(0)),
  GuestMemory: ({ world }) =>
    inMemory(world, new OwnMemory(world.regions), `own memory of ${world.name} regions`, false),
  GuestMemoryAtomic: ({ world }) => plainly("address space", world.space),
  GuestMemoryExclusiveGuard: ({ world }) => {
    const guard = world.space.tryLock() ??
      new library.GuestMemoryExclusiveGuard(world.physical, () => {});
    world.made.push(guard);
    return plainly("exclusive guard", guard);
  },
  GuestMemoryLoadGuard: ({ world }) => {
    const guard = world.space.memory();
    world.made.push(guard);
    return plainly("load guard", guard);
  },
  GuestMemoryMmap: (setting) => {
    const { world } = setting;
    const memory = objects.mappedMemory(world);
    if (memory !== world.physical) return plainly("a new GuestMemoryMmap", memory);
    return { ...physical(setting), spans: STARTS.flatMap((_, i) => world.spansOf(i)) };
  },
  GuestMemoryRegion: region,
  GuestMemoryRegionBytes: region,
  GuestRegionCollection: physical,
  GuestRegionHeap: (setting) => making.regionOf(setting, library.GuestRegionHeap, region),
  GuestRegionMmap: (setting) => making.regionOf(setting, library.GuestRegionMmap, region),
  HostMemory: hostMemory,
  HostRegion: (setting) => making.regionOf(setting, library.HostRegion, region),
  IoMemory: ioMemory,
  IommuMemory: (setting) => {
    const { world, random, mischief } = setting;
    if (world.memory instanceof library.IommuMemory && random.chance(0.8)) return ioMemory(setting);
    const { value, label } = making.iommu(random, mischief);
    const options = { enabled: random.chance(0.9) };
    const memory = new library.IommuMemory(world.physical, value as library.Iommu, options);
    const { address } = inMemory(world, memory, "", false);
    const spans = STARTS.flatMap((_, i) => world.spansOf(i));
    return { object: memory, label: `memory behind ${label}`, spans, address };
  },
  Iotlb: ({ random }) => ({
    ...plainly("Iotlb", making.iotlb(random)),
    address: (random) => random.int(0x9000),
  }),
  MmapRegion: mmapRegion,
  ReceivedMessage: () =>
    plainly("ReceivedMessage", new library.ReceivedMessage(new Uint8Array(2), [])),
  PositionedFd: ({ random }) =>
    plainly("PositionedFd", making.descriptor(random).at(random.pick([0, 2 ** 40]))),
  RefCount: () => plainly("RefCount", new library.RefCount("thing", () => {})),
  UnixListener: ({ world }) => {
    const name = `\0${crypto.randomUUID()}`;
    return plainly("UnixListener", madeOf(world, library.UnixSocket.listen(name)));
  },
  UnixSocket: ({ world, random }) => {
    const [socket, peer] = library.UnixSocket.pair();
    if (random.chance(0.5)) peer.send(new Uint8Array(9));
    peer.close();
    return plainly("UnixSocket", madeOf(world, socket));
  },
  VolatileArrayRef: (setting) => reference(setting, "VolatileArrayRef"),
  VolatileMemory: (setting) => {
    const { object, spans, label } = slice(setting);
    return inBytes(new OwnVolatileMemory(object), `own memory of ${label}`, spans!);
  },
  VolatileRef: (setting) => reference(setting, "VolatileRef"),
  VolatileSlice: slice,
};
