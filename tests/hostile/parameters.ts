/** How to come by an argument for each parameter that the library has, by its name. */
import { MmapRegion } from "../../mod.ts";
import type { Argument } from "./argument.ts";
import { SIZE } from "./backing.ts";
import * as buffers from "./buffers.ts";
import * as codecs from "./codecs.ts";
import * as junk from "./junk.ts";
import * as making from "./making.ts";
import * as objects from "./objects.ts";
import { type Setting, slice } from "./receivers.ts";
import * as streams from "./streams.ts";
import type { Subject } from "./subject.ts";

/** What an argument is made for. */
export interface Place extends Setting {
  readonly subject: Subject | undefined;
  /** The function's full name. */
  readonly entry: string;
  /** The arguments before it. */
  readonly before: readonly Argument[];
}

/** Makes arguments. */
export interface Maker {
  good(place: Place): Argument;
  bad(place: Place): Argument;
  /** Whether a wrong primitive has to be refused by the parameter's name. */
  readonly named?: boolean;
}

const anything = ({ random, mischief }: Place) => junk.anything(random, mischief);

function given(value: unknown, label: string = String(value)): Argument {
  return { value, label };
}

function numeric(
  good: (place: Place) => number,
  make: typeof junk.number = junk.number,
): Maker {
  return {
    named: true,
    good: (place) => given(good(place)),
    bad({ random, mischief }) {
      const kind = random.int(5);
      if (kind < 2) return make(random);
      return kind < 4 ? junk.wrongPrimitive(random) : junk.object(random, mischief);
    },
  };
}

/** Anything but what the good one makes. */
function other(good: (place: Place) => Argument): Maker {
  return { good, bad: (place) => place.random.chance(0.2) ? good(place) : anything(place) };
}

const address = numeric(({ subject, random }) => subject?.address(random) ?? random.int(64));
const amount = numeric(({ random }) => 1 + random.int(random.pick([8, 200])));
const byte = numeric(({ random }) => random.int(256));
const small = numeric(({ random }) => random.int(3));
// For what allocates as much memory as it is asked for.
const costly = numeric(({ random }) => random.pick([1, 64, SIZE, 2 * SIZE]), junk.size);
const buffer: Maker = {
  good: ({ random }) => buffers.plain(random, 1 + random.int(90)),
  bad: ({ random, mischief }) => buffers.hostile(random, mischief),
};
const stream: Maker = {
  good: ({ random }) => streams.cursor(random),
  bad: ({ random, mischief }) => streams.hostile(random, mischief),
};
const bitmap: Maker = {
  good: ({ random }) => given(making.atomicBitmap(random), "AtomicBitmap"),
  bad: ({ random, mischief }) =>
    random.chance(0.5)
      ? given(making.bitmap(random, mischief), `hostile bitmap: ${mischief.last}`)
      : junk.anything(random, mischief),
};
const callback: Maker = {
  good: () => given((_total: number, count: number) => count, "(_total, count) => count"),
  bad(place) {
    const { value, label } = anything(place);
    if (place.random.chance(0.2)) return { value, label };
    const call = place.mischief.then(() => value);
    return given(call, `() => ${place.mischief.last}, then ${label}`);
  },
};
const value: Maker = {
  good(place) {
    const codec = codecOf(place);
    if (codec === undefined) return given(place.random.int(5000));
    const made = codec.value(place.random);
    return given(made, typeof made === "bigint" ? `${made}n` : String(made));
  },
  bad(place) {
    const made = anything(place);
    if (!made.wrong) return made;
    const takes = /^[iu]128\./.test(place.entry) ? "bigint" : codecOf(place)?.takes;
    const kind: string = typeof made.value;
    return takes === kind ? { ...made, wrong: false } : made;
  },
  named: true,
};
const slices = other((place) => {
  const { object, label, spans } = slice(place);
  return { value: object, label, ...spans && { spans } };
});
const memory = other((place) => objects.memory(place));
const permissions = other(({ random }) => given(making.permissions(random)));
const options: Maker = {
  good: ({ random }) => random.chance(0.5) ? given({}, "{}") : given(undefined),
  bad: (place) => place.random.chance(0.8) ? objects.options(place) : anything(place),
};
const text = other(() => given("text"));

// The codec that says which values are due.
function codecOf({ subject, entry, before }: Place): codecs.KnownCodec | undefined {
  if (entry.endsWith(".write")) return codecs.named(entry.slice(0, -".write".length));
  return before.find(({ codec }) => codec !== undefined)?.codec ?? subject?.codec;
}

function isAtomic(entry: string): boolean {
  return /#(load|store|getAtomicRef)$|^new AtomicRef$/.test(entry);
}

/** By the name of the parameter, or of the function and the parameter. */
export const MAKERS: Readonly<Record<string, Maker>> = {
  ...{ addr: address, address, base: address, iova: address, offset: address },
  ...{ count: amount, length: amount, size: amount, total: amount },
  ...{ index: small, page: small, mid: small, mask: amount, additionalSize: costly },
  ...{ byteSize: costly, pageSize: costly, position: small, start: small, len: amount },
  ...{ bitmapStart: small, powerOfTwo: numeric(({ random }) => 2 ** random.int(13)) },
  mapTo: numeric(({ random }) => random.int(0x6000)),
  startAddr: numeric(({ random }) => 0x1000 * (1 + random.int(9))),
  ...{ buf: buffer, bytes: buffer, from: buffer, to: buffer },
  codec: {
    good: ({ random, entry }) => codecs.known(random, isAtomic(entry)),
    bad: ({ random, mischief }) => codecs.hostile(random, mischief),
  },
  ...{ value, expected: value, replacement: value },
  ...{ src: stream, dst: stream },
  ...{ access: callback, callback, onRelease: callback, end: callback },
  ...{ bitmap, member: bitmap, members: other(({ random }) => objects.list(random, bitmap)) },
  ...{ slice: slices, slices: other((place) => objects.slices(place)) },
  ...{ memory, backend: memory, permissions, granted: permissions, wanted: permissions },
  protection: permissions,
  "new EventFd.#1": options,
  ...{ options, fields: other((place) => objects.fields(place)) },
  advice: other(({ random }) => given(random.pick(objects.ADVICE))),
  buffer: other(({ random }) => given(new ArrayBuffer(random.pick([0, 8, SIZE])), "ArrayBuffer")),
  fd: other(({ random }) => given(making.openFile(random))),
  "FileOffset.file": other(({ random }) => given(making.openFile(random))),
  file: other(({ random }) => objects.file(random)),
  handle: {
    good: ({ world }) => given(MmapRegion.prototype.share.call(objects.mapping(world)), "handle"),
    bad: handleOrAnything,
  },
  "GuestMemoryMmap.attach.handle": {
    good: ({ world }) => given(objects.mappedMemory(world).share(), "handles"),
    bad: handleOrAnything,
  },
  "GuestMemoryMmap.attach.bitmap": other(({ random, mischief }) => {
    return given(() => making.bitmap(random, mischief), "a maker of hostile bitmaps");
  }),
  backing: other(({ random }) => given(objects.backing(random), "Backing")),
  // A foreign address may be anything's, so nothing is mapped there.
  hostAddress: other(({ random }) => given(random.pick(objects.UNUSABLE))),
  plan: other(() => given({ kind: "anonymous" }, "a plan")),
  descriptions: other((place) => objects.descriptions(place)),
  files: other(({ random }) => objects.list(random, MAKERS.fd!)),
  ...{ "MmapRegion#fill.value": byte, "GuestMemoryMmap#fill.value": byte },
  "GuestRegionMmap#fill.value": byte,
  "HostMemory#permits.access": other(({ random }) => given(random.pick(["read", "write"]))),
  iommu: other(({ random, mischief }) => making.iommu(random, mischief)),
  marks: other(({ random }) => objects.marks(random)),
  target: other(({ random }) => given(making.atomicBitmap(random), "AtomicBitmap")),
  words: other(({ random }) => given(new Uint32Array(random.pick([0, 4, 400])), "Uint32Array")),
  mmap: other(({ world }) => given(objects.mapping(world), "mapping")),
  other: other(({ world }) => given(objects.mapping(world), "mapping")),
  next: other((place) => given(slice(place).object.memory, "host memory")),
  parts: other(({ random }) => given([...Array(random.int(2))].map(() => ({})), "parts")),
  ranges: {
    good: (place) => rangesFor(place, () => objects.segments(place, false)),
    bad: (place) =>
      place.random.chance(0.3)
        ? anything(place)
        : rangesFor(place, () => objects.segments(place, true)),
  },
  region: other(({ random }) => objects.region(random)),
  regions: other((place) => objects.regions(place)),
  stream: other(({ entry, random }) => objects.webStream(entry, random)),
  wait: other(() => given(true)),
  "UnixSocket.path": other(() => given("\0nobody listens here", "an abstract name")),
  ...{ descriptor: other(({ random }) => given(making.openFile(random))), accepted: callback },
  "UnixListener.path": other(() => given("path")),
  "UnixSocket#send.fds": other(() => given([], "no descriptors")),
  initial: small,
  // Arguments of errors, which are shown and kept.
  ...{ accessFails: text, misses: text, alignment: small, args: text, call: text, code: text },
  ...{ completed: small, continuousLength: small, errno: small, iovaRange: text, kind: text },
  ...{ nelements: small, reason: text, what: text, holders: small, option: text, cause: text },
  ...{ received: small, waiting: small },
  "GuestRegionHeap.memory": costly,
  "VolatileSlice.memory": other((place) => given(slice(place).object.memory, "host memory")),
  // A number or a bigint is welcome.
  "EventFd.value": { ...small, bad: withoutBigints },
  "GuestAddress.value": { ...address, bad: withoutBigints },
  "MemoryRegionAddress.value": { ...address, bad: withoutBigints },
};

// Of memory to make, or in memory that there is.
function rangesFor({ subject, random }: Place, inMemory: () => Argument): Argument {
  return subject === undefined ? objects.ranges(random) : inMemory();
}

function handleOrAnything(place: Place): Argument {
  return place.random.chance(0.5) ? objects.alteredHandle(place) : anything(place);
}

function withoutBigints(place: Place): Argument {
  const made = anything(place);
  return typeof made.value === "bigint" ? { ...made, wrong: false } : made;
}

/** The maker of a parameter. */
export function makerOf(entry: string, owner: string, parameter: string): Maker | undefined {
  return MAKERS[`${entry}.${parameter}`] ?? MAKERS[`${owner}.${parameter}`] ?? MAKERS[parameter];
}
