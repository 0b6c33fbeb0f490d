/** The kinds of memory that the calls are made on. */
import {
  AtomicBitmap,
  Backing as Mapped,
  type Bitmap,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestMemoryRegion,
  type GuestRegionCollection,
  GuestRegionHeap,
  GuestRegionMmap,
  type IoMemory,
  IommuMemory,
  Iotlb,
  type MemoryRegionAddress,
  type MmapOptions,
  MmapRegion,
  NoBitmap,
  OutOfBounds,
  Permissions,
  VolatileSlice,
} from "../../mod.ts";
import { Backing, SIZE } from "./backing.ts";
import { type Parts, STARTS, World } from "./world.ts";
import type { Random } from "./random.ts";

const PATTERN = Uint8Array.from({ length: 16 * SIZE }, (_, i) => (i * 167 + (i >> 8) * 13) & 255);

/** Makes a bitmap for a region. */
export type BitmapMaker = (length: number, start: number) => Bitmap;

// Regions over the caller's buffers.
function heap(
  name: string,
  make: () => ArrayBuffer | SharedArrayBuffer,
  bitmap?: BitmapMaker,
): Parts {
  const buffers = STARTS.map(make);
  const views = buffers.map((buffer, i) => {
    const view = new Uint8Array(buffer, 0, SIZE);
    view.set(PATTERN.subarray(i * 999, i * 999 + SIZE));
    return view;
  });
  return {
    name,
    buffers,
    modelled: true,
    regions: buffers.map((buffer, i) =>
      new GuestRegionHeap(STARTS[i]!, buffer, bitmap === undefined ? {} : { bitmap })
    ),
    backings: views.map((view, i) => new Backing(`${name} ${i}`, 0, () => view)),
  };
}

// Six pages: a guard, two adjacent regions, a guard, a region, a guard.
const PLACES = [1, 2, 4];

function isReadable({ protection }: MmapRegion): boolean {
  return protection === Permissions.Read || protection === Permissions.ReadWrite;
}

let guarded: MmapRegion | undefined;

function mapped(name: string, bitmap?: BitmapMaker): Parts {
  guarded ??= new MmapRegion(6 * SIZE);
  // A foreign mapping may have protected pages of it: only a change reaches the kernel.
  guarded.protect(Permissions.Read);
  guarded.protect(Permissions.ReadWrite);
  const all = guarded.asVolatileSlice().rawView();
  all.set(PATTERN.subarray(0, all.length));
  const address = guarded.hostAddress();
  const mappings = PLACES.map((place, i) =>
    new MmapRegion(SIZE, {
      backing: Mapped.foreign(address + BigInt(place * SIZE)),
      ...bitmap === undefined ? {} : { bitmap: (length) => bitmap(length, STARTS[i]!) },
    })
  );
  return {
    name,
    modelled: true,
    regions: mappings.map((mmap, i) => new GuestRegionMmap(mmap, STARTS[i]!)),
    // The guards belong to the region before them, and the first to the first.
    backings: [[0, 2 * SIZE, SIZE], [2 * SIZE, 4 * SIZE, 0], [4 * SIZE, 6 * SIZE, 0]].map(
      ([from, to, begin], i) => {
        const view = all.subarray(from, to);
        // A page that may not be read is not looked at.
        const readable = () => mappings.every(isReadable);
        return new Backing(`${name} ${i}`, begin!, () => readable() ? view : undefined);
      },
    ),
  };
}

function anonymous(name: string, bitmap?: BitmapMaker, options: MmapOptions = {}): Parts {
  const memory = GuestMemoryMmap.fromRanges(
    STARTS.map((start) => [start, SIZE] as const),
    bitmap === undefined ? options : { ...options, bitmap },
  );
  const regions = [...memory];
  for (const [i, region] of regions.entries()) {
    region.asVolatileSlice().rawView().set(PATTERN.subarray(i * 777, i * 777 + SIZE));
  }
  return {
    name,
    modelled: true,
    physical: memory,
    regions,
    backings: regions.map((region, i) => new Backing(`${name} ${i}`, 0, () => observed(region))),
  };
}

// Views become empty when the protection changes, so the bytes are asked for each time.
function observed(region: GuestRegionMmap): Uint8Array | undefined {
  try {
    return region.asVolatileSlice().readOnlyView();
  } catch {
    // It is closed, or may not be read.
    return undefined;
  }
}

let file: { handle: Deno.FsFile; observer: MmapRegion } | undefined;

// The file is mapped a second time, where the bytes are seen whatever happens to the first mapping.
function ofFile(name: string): Parts {
  if (file === undefined) {
    const path = Deno.makeTempFileSync();
    const handle = Deno.openSync(path, { read: true, write: true });
    Deno.removeSync(path);
    handle.truncateSync(6 * SIZE);
    file = { handle, observer: MmapRegion.fromFile(new FileOffset(handle), 6 * SIZE) };
  }
  const { handle, observer } = file;
  const all = observer.asVolatileSlice().rawView();
  all.set(PATTERN.subarray(5000, 5000 + all.length));
  return {
    name,
    modelled: true,
    regions: PLACES.map((place, i) =>
      GuestRegionMmap.fromRange(STARTS[i]!, SIZE, {
        backing: Mapped.file(new FileOffset(handle, place * SIZE)),
      })
    ),
    backings: [[0, 2 * SIZE, SIZE], [2 * SIZE, 4 * SIZE, 0], [4 * SIZE, 6 * SIZE, 0]].map(
      ([from, to, begin], i) => new Backing(`${name} ${i}`, begin!, () => all.subarray(from, to)),
    ),
  };
}

const { prototype } = Object.getPrototypeOf(Uint8Array) as { prototype: object };

// The bytes that a buffer really has.
function plain(buf: Uint8Array): Uint8Array {
  const [buffer, start, length] = ["buffer", "byteOffset", "byteLength"].map((name) =>
    Object.getOwnPropertyDescriptor(prototype, name)!.get!.call(buf)
  );
  return new Uint8Array(buffer, start, length);
}

/** A region that has only `read` and `write`. */
export class ElsewhereRegion extends GuestMemoryRegion {
  readonly startAddr: GuestAddress;
  readonly len: number = SIZE;
  readonly bitmap: Bitmap = NoBitmap;
  readonly #bytes: Uint8Array;

  constructor(startAddr: GuestAddress, bytes: Uint8Array) {
    super();
    this.startAddr = startAddr;
    this.#bytes = bytes;
  }

  override read(given: Uint8Array, addr: MemoryRegionAddress): number {
    const buf = plain(given);
    const count = this.#clamp(buf, addr);
    new Uint8Array(buf.buffer, buf.byteOffset, count).set(this.#bytes.subarray(addr, addr + count));
    return count;
  }

  override write(given: Uint8Array, addr: MemoryRegionAddress): number {
    const buf = plain(given);
    const count = this.#clamp(buf, addr);
    this.#bytes.set(new Uint8Array(buf.buffer, buf.byteOffset, count), addr);
    return count;
  }

  #clamp({ length }: Uint8Array, addr: number): number {
    if (length === 0) return 0;
    if (typeof addr !== "number") throw new TypeError("addr must be a number");
    if (!(Number.isInteger(addr) && addr >= 0 && addr < SIZE)) throw new OutOfBounds(addr, SIZE);
    return Math.min(length, SIZE - addr);
  }
}

/** A region that gives slices, of memory between canaries. */
export class SlicedRegion extends GuestMemoryRegion {
  readonly startAddr: GuestAddress;
  readonly len: number = SIZE;
  readonly bitmap: Bitmap = NoBitmap;
  readonly #slice: VolatileSlice;

  constructor(startAddr: GuestAddress, bytes: Uint8Array) {
    super();
    this.startAddr = startAddr;
    this.#slice = VolatileSlice.from(bytes);
  }

  override getSlice(offset: MemoryRegionAddress, count: number): VolatileSlice {
    return this.#slice.getSlice(offset, count);
  }
}

const CANARY = 32;

function custom(
  name: string,
  Region: new (start: GuestAddress, bytes: Uint8Array) => GuestMemoryRegion,
): Parts {
  const views = STARTS.map((_, i) => PATTERN.slice(i * 555, i * 555 + CANARY + SIZE + CANARY));
  return {
    name,
    modelled: true,
    regions: views.map((view, i) => new Region(STARTS[i]!, view.subarray(CANARY, CANARY + SIZE))),
    backings: views.map((view, i) => new Backing(`${name} ${i}`, CANARY, () => view)),
  };
}

// The two adjacent regions change places, and all of it is elsewhere.
const IOVA = 0x10_0000;
const TARGETS = [0x2000, 0x1000, 0x3000, 0x4000, 0x5000];

function behindIommu(parts: Parts, bitmap?: Bitmap): Parts {
  const iotlb = new Iotlb();
  for (const [i, target] of TARGETS.entries()) {
    const iova = GuestAddress(IOVA + 0x1000 + i * SIZE);
    iotlb.setMapping(iova, GuestAddress(target), SIZE, Permissions.ReadWrite);
  }
  const iommu = {
    translate: (iova: GuestAddress, length: number, permissions: Permissions) =>
      iotlb.lookup(iova, length, permissions),
  };
  return {
    ...parts,
    name: `${parts.name} behind an IOMMU`,
    behind: (physical: GuestRegionCollection): IoMemory =>
      new IommuMemory(physical, iommu, bitmap === undefined ? {} : { bitmap }),
    translate(addr) {
      const index = Math.floor((addr - IOVA - 0x1000) / SIZE);
      return index in TARGETS ? TARGETS[index]! + addr % SIZE : NaN;
    },
  };
}

const tracked: BitmapMaker = (length) => new AtomicBitmap(length, 64);

const KINDS: readonly (() => Parts)[] = [
  () => heap("heap", () => new ArrayBuffer(SIZE)),
  () => heap("shared heap", () => new SharedArrayBuffer(SIZE)),
  () => heap("resizable heap", () => new ArrayBuffer(SIZE, { maxByteLength: 2 * SIZE })),
  () => heap("growable heap", () => new SharedArrayBuffer(SIZE, { maxByteLength: 2 * SIZE })),
  () => heap("tracked heap", () => new ArrayBuffer(SIZE), tracked),
  () => mapped("mapped"),
  () => mapped("tracked mapped", tracked),
  () => anonymous("anonymous"),
  () => anonymous("tracked anonymous", tracked),
  () => anonymous("memfd", undefined, { backing: Mapped.memfd() }),
  () => anonymous("guarded", tracked, { guardPages: true, lock: "onfault" }),
  () => ofFile("file"),
  () => custom("region with read and write", ElsewhereRegion),
  () => custom("region with getSlice", SlicedRegion),
  () => behindIommu(heap("heap", () => new ArrayBuffer(SIZE))),
  () => behindIommu(mapped("tracked mapped", tracked), new AtomicBitmap(IOVA * 2, 64)),
  () => behindIommu(custom("region with read and write", ElsewhereRegion)),
];

/** A world of a random kind. */
export function anyWorld(random: Random, hostileBitmap: BitmapMaker): World {
  if (random.chance(0.9)) return new World(random.pick(KINDS)());
  return new World(
    random.chance(0.5)
      ? heap("heap with a hostile bitmap", () => new ArrayBuffer(SIZE), hostileBitmap)
      : mapped("mapped with a hostile bitmap", hostileBitmap),
  );
}
