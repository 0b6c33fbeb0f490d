/**
 * A device whose bitmaps, streams and codecs do at random what can be done to a queue, its memory
 * and its chains: close, protect, take, give back. Prints how many chains it took, and how often each
 * error was thrown. Arguments: a seed, and how many devices.
 *
 * @module
 */
import { closeSync, openSync } from "node:fs";
import {
  AtomicBitmap,
  type ByteValued,
  Cursor,
  Fd,
  GuestMemoryError,
  GuestMemoryMmap,
  Permissions,
  type ReadVolatile,
  type VolatileSlice,
  type WriteVolatile,
} from "../../mod.ts";
import { type DescriptorChain, MockDriver, Virtqueue } from "../../src/virtio/mod.ts";
import { gpa } from "../support/values.ts";

const LENGTH = 0x1_0000;
const files = [openSync("/dev/zero", "r"), openSync("/dev/null", "w")] as const;
const [zero, nowhere] = files.map((fd) => new Fd(fd)) as [Fd, Fd];
const seen: Record<string, number> = {};
let taken = 0;
let seed = Number(Deno.args[0]);

function below(end: number): number {
  seed = Math.imul(seed, 1_664_525) + 1_013_904_223 >>> 0;
  return Math.floor((seed >>> 4) / 2 ** 28 * end);
}

function count(error: unknown): void {
  const name = error instanceof GuestMemoryError ? error.name : String(error);
  seen[name] = (seen[name] ?? 0) + 1;
}

/** Code that is called in the middle of an access. */
let interfere: () => void = () => {};

class ActingBitmap extends AtomicBitmap {
  override markDirty(offset: number, length: number): void {
    super.markDirty(offset, length);
    interfere();
  }
}

const codec: ByteValued<number> = {
  byteLength: 8,
  alignment: 1,
  read(memory, offset) {
    interfere();
    const value = memory.u8[offset] ?? 0;
    interfere();
    return value;
  },
  write(memory, offset, value) {
    interfere();
    memory.u8[offset] = value;
    interfere();
  },
};

const stream: Required<ReadVolatile & WriteVolatile> = {
  readVolatile(slice) {
    interfere();
    const bytes = new Uint8Array(below(slice.len + 1));
    if (bytes.length > 0) slice.writeSlice(bytes, 0);
    interfere();
    return bytes.length;
  },
  writeVolatile(slice) {
    interfere();
    return below(slice.len + 1);
  },
  readVectoredVolatile(slices: readonly VolatileSlice[]) {
    interfere();
    return zero.readVectoredVolatile(slices);
  },
  writeVectoredVolatile(slices: readonly VolatileSlice[]) {
    interfere();
    return nowhere.writeVectoredVolatile(slices);
  },
};

function source() {
  return [zero, zero.at(0), stream, new Cursor(new Uint8Array(50))][below(4)]!;
}

function sink() {
  return [nowhere, nowhere.at(0), stream, new Cursor(new Uint8Array(50))][below(4)]!;
}

function serve(): void {
  const boundary = [0x1000, 0x2000, 0x3000][below(3)]!;
  using memory = GuestMemoryMmap.fromRanges(
    below(2) === 0 ? [[gpa(0), LENGTH]] : [[gpa(0), boundary], [gpa(boundary), LENGTH - boundary]],
    { bitmap: (length: number) => new ActingBitmap(length, 64) },
  );
  // A queue does not retain what is no address space.
  if (below(2) === 0) Object.defineProperty(memory, "memory", { value: undefined });
  const base = gpa([0, 0xff0, 0x1f80][below(3)]!);
  const features = { indirect: true, eventIdx: below(2) === 0 };
  const driver = new MockDriver(memory, { size: 8, base, length: 0xe000, ...features });
  using queue = new Virtqueue(memory, driver.state);
  const chains: DescriptorChain[] = [];

  const takeOne = () => {
    const chain = queue.pop();
    if (chain === undefined) return;
    const { head, readable, writable } = chain;
    if (!(head < 8 && readable.remaining >= 0 && writable.remaining >= 0)) throw new Error("wrong");
    chains.push(chain);
    taken++;
  };
  const protect = () => {
    for (const region of memory) {
      region.mmap.protect(below(4) === 0 ? Permissions.Read : Permissions.ReadWrite);
    }
  };
  const onQueue = [
    ...[takeOne, takeOne, takeOne, protect],
    () => queue.needsNotification(),
    () => queue.notifyOnAvail(below(2) === 0),
    () => queue.refresh(),
    () => below(10) === 0 && queue.close(),
    () => below(6) === 0 && memory.close(),
  ];
  const onChain: ((chain: DescriptorChain) => unknown)[] = [
    (chain) => queue.addUsed(chain, 0),
    (chain) => chain.readable.read(new Uint8Array(below(60))),
    (chain) => chain.writable.write(new Uint8Array(below(60))),
    (chain) => chain.readable.readObj(codec),
    (chain) => chain.writable.writeObj(codec, 1),
    (chain) => chain.readable.writeVolatileTo(sink(), below(60)),
    (chain) => chain.writable.readVolatileFrom(source(), below(60)),
    (chain) => memory.readVectoredFrom(chain.writable.ranges(), source()),
    (chain) => chain.writable.splitAt(below(20)),
  ];
  const act = () => {
    try {
      const chain = chains[below(chains.length)];
      if (chain === undefined || below(2) === 0) onQueue[below(onQueue.length)]!();
      else onChain[below(onChain.length)]!(chain);
    } catch (error) {
      count(error);
    }
  };

  let depth = 0;
  for (let i = 0; i < 60; i++) {
    interfere = () => {};
    try {
      if (below(3) === 0) {
        const lengths = [below(80), below(80)].map((length) => new Uint8Array(length));
        driver.add(lengths, [below(100), below(100)], { indirect: below(2) === 0 });
      } else if (below(6) === 0) driver.takeUsed();
    } catch (error) {
      count(error);
    }
    interfere = () => {
      if (depth > 2 || below(6) > 0) return;
      depth++;
      act();
      depth--;
    };
    act();
  }
  interfere = () => {};
}

for (let devices = Number(Deno.args[1]); devices > 0; devices--) serve();
for (const fd of files) closeSync(fd);
console.log(JSON.stringify({ taken, seen }));
