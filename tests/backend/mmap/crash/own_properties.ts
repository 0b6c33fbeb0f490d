/** Own properties and prototypes that claim more of a mapping than there is. */
import {
  GuestAddress,
  GuestMemoryMmap,
  HostMemory,
  MmapRegion,
  Permissions,
  type VolatileSlice,
} from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

const SIZE = 2 ** 20;
const FAR = 2 ** 40;
const outcomes: Record<string, unknown> = {};

// deno-lint-ignore no-explicit-any
type Anything = any;

function map(count: number = 1, protection: Permissions = Permissions.ReadWrite): GuestMemoryMmap {
  const ranges = Array.from({ length: count }, (_, i) => [GuestAddress(i * SIZE), SIZE] as const);
  return GuestMemoryMmap.fromRanges(ranges, { protection });
}

function sliceOf(memory: GuestMemoryMmap, index: number = 0): VolatileSlice {
  return memory.findRegion(GuestAddress(index * SIZE))!.asVolatileSlice();
}

function lie(memory: HostMemory, properties: Record<string, unknown>): void {
  for (const [key, value] of Object.entries(properties)) {
    // New ones are refused: memory is not extensible.
    Reflect.defineProperty(memory, key, { value, writable: true, configurable: true });
  }
}

// Memory that claims to be longer, and open.
{
  const { memory } = sliceOf(map());
  lie(memory, { openLength: 2 ** 45, length: 2 ** 45, canAccess: () => true, closed: false });
  const buf = new Uint8Array(8);
  outcomes.longer = [memory.copyOut(FAR, buf, 8), memory.copyIn(FAR, buf, 8)];
}
// Memory that claims to permit everything.
{
  const slice = sliceOf(map(1, Permissions.Read));
  lie(slice.memory, { permits: () => true, closed: false });
  outcomes.permits = [9, 8].map((length) => attempt(() => slice.write(new Uint8Array(length), 0)));
}
// The arrays over memory that may be read only, by the class they could be made with.
{
  const { setBuffer, copyOut } = HostMemory.prototype as Anything;
  const seen: Uint8Array[] = [];
  Object.assign(HostMemory.prototype, {
    setBuffer(buffer: ArrayBuffer) {
      seen.push(new Uint8Array(buffer));
      setBuffer.call(this, buffer);
    },
    copyOut(...args: unknown[]) {
      seen.push((this as unknown as HostMemory).u8);
      return copyOut.apply(this, args);
    },
  });
  sliceOf(map(1, Permissions.Read)).readSlice(new Uint8Array(3), 0);
  for (const view of seen) view.fill(1);
  Object.assign(HostMemory.prototype, { setBuffer, copyOut });
  outcomes.prototype = seen.every(({ length }) => length === 0);
}
// Closed memory that claims to be open, and other memory in its place.
{
  const memory = map();
  const { mmap } = memory.findRegion(GuestAddress(0))!;
  const { memory: host } = sliceOf(memory);
  host.close();
  const next = map();
  lie(host, { u8: new Uint8Array(8), ensureOpen: () => {}, closed: false });
  const { share, protect, retain } = host as Anything;
  outcomes.closed = [
    attempt(() => share.call(host)),
    attempt(() => mmap.share()),
    attempt(() => protect.call(host, Permissions.No)),
    attempt(() => mmap.protect(Permissions.No)),
    attempt(() => retain.call(host)),
    attempt(() => host.hostAddress()),
    attempt(() => next.write(new Uint8Array(8), GuestAddress(0))),
  ];
}
// Views across boundaries that do not close, and claim another buffer.
{
  const memory = map(3);
  const [a, b, c] = [0, 1, 2].map((i) => sliceOf(memory, i).memory) as [
    HostMemory,
    HostMemory,
    HostMemory,
  ];
  const across = a.boundaryView(b)!;
  const view = across.u8.fill(7);
  lie(across, { close: () => {}, buffer: new ArrayBuffer(8) });
  b.boundaryView(c);
  b.close();
  outcomes.boundary = [view.length, view[view.length - 1]];
  memory.close();
}
// Setters of the arrays that close the memory in the middle of a change.
{
  const region = new MmapRegion(SIZE);
  const { memory } = region.asVolatileSlice();
  let { u16 } = memory;
  const closing = attempt(() => {
    Object.defineProperty(memory, "u16", {
      get: () => u16,
      set(array) {
        u16 = array;
        memory.close();
      },
    });
    region.protect(Permissions.Read);
  });
  outcomes.setter = [
    closing,
    attempt(() => region.asVolatileSlice().readSlice(new Uint8Array(8), 0)),
    memory.u8.length,
  ];
}
// Memory that cannot be changed is unmapped all the same.
{
  const region = new MmapRegion(SIZE);
  const { memory } = region.asVolatileSlice();
  const address = memory.hostAddress()!.toString(16);
  Object.freeze(memory);
  const closed = attempt(() => region.close());
  const isMapped = Deno.readTextFileSync("/proc/self/maps").includes(`${address}-`);
  outcomes.frozen = [closed, isMapped, memory.u8.length];
}
// A region that claims every range to be in it, and that is longer.
{
  const region: Anything = new MmapRegion(SIZE);
  region.computeEndOffset = () => 0;
  region.len = 2 ** 45;
  outcomes.range = [
    attempt(() => region.discard(-(2 ** 32), 2 ** 33)),
    attempt(() => region.advise("dontneed", SIZE, 2 ** 32)),
    attempt(() => region.fill(0, -5, 1)),
    attempt(() => region.isZero(FAR, 8)),
    attempt(() => region.discard(SIZE + 1)),
  ];
}
// What all mappings share.
{
  const { constructor: Class } = sliceOf(map()).memory as Anything;
  outcomes.shared = [
    attempt(() => Object.assign(Class, { locate: () => 8 })),
    attempt(() => Object.assign(Class.prototype, { close() {} })),
    attempt(() => Object.assign(Permissions, { allow: () => true })),
  ];
}
console.log(JSON.stringify(outcomes));
