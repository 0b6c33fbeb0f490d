/** Virtqueues in the memory of a world, whose rings are right or not, and what is made of them. */
import { type GuestAddress, u16, u32 } from "../../mod.ts";
import {
  type DescriptorChain,
  MockDriver,
  type ReadablePart,
  Virtqueue,
  type VirtqueueState,
  type WritablePart,
} from "../../src/virtio/mod.ts";
import type { Argument } from "./argument.ts";
import * as junk from "./junk.ts";
import type { Random } from "./random.ts";
import type { Receiver, Setting } from "./receivers.ts";
import type { Subject } from "./subject.ts";
import type { Span, World } from "./world.ts";

// Bytes for the rings and the buffers: a region, and half of the next one.
const LENGTH = 0x1800;

interface Queue {
  readonly driver: MockDriver;
  readonly queue: Virtqueue;
  /** Whether the driver does as the specification says. */
  readonly isRight: boolean;
}

// Where the world's memory begins, as its user sees it.
function startOf(world: World): number {
  return world.memory === world.physical ? 0x1000 : 0x10_1000;
}

function plan({ world, random }: Setting): {
  size: number;
  base: GuestAddress;
  length: number;
  eventIdx: boolean;
  indirect: boolean;
  firstIndex: number;
} {
  return {
    size: random.pick([4, 8, 16]),
    base: startOf(world) + 16 * random.int(64) as GuestAddress,
    length: LENGTH,
    eventIdx: random.chance(0.5),
    indirect: random.chance(0.5),
    firstIndex: random.pick([0, 0, 65_533]),
  };
}

// Rings with a few requests, to which a hostile driver does something.
function queueOf(setting: Setting): Queue {
  const { world, random } = setting;
  const driver = new MockDriver(world.memory, plan(setting));
  const given = random.chance(0.2) && world.memory === world.physical ? world.space : world.memory;
  const queue = new Virtqueue(given, driver.state);
  world.made.push(queue);
  for (let i = 1 + random.int(4); i > 0; i--) {
    const lengths = () => Array.from({ length: random.int(3) }, () => random.pick([0, 1, 40, 300]));
    const readable = lengths().map((length) => new Uint8Array(length).fill(i));
    const indirect = driver.state.indirect && random.chance(0.5);
    driver.add(readable, [...lengths(), 30], { indirect });
  }
  const isRight = random.chance(0.5);
  if (!isRight) { for (let i = random.int(4); i >= 0; i--) spoil(world, driver, random); }
  return { driver, queue, isRight };
}

// Changes a number of the rings to one that it should not be.
function spoil(world: World, driver: MockDriver, random: Random): void {
  const { descTable, availRing, usedRing, size } = driver.state;
  const odd = random.pick([0, 1, 2, 3, 5, size - 1, size, 0x1000, 0x4fff, 0xffff]);
  const [at, isWide] = random.pick<[number, boolean]>([
    [descTable + 4 * random.int(16), true],
    [descTable + 4 * random.int(16), true],
    [descTable + 2 * random.int(32), false],
    [availRing + 2 * random.int(3 + size), false],
    [usedRing + 2 * random.int(3 + 4 * size), false],
  ]);
  const wide = random.pick([odd, 2 ** 31, 2 ** 32 - 1]);
  if (isWide) world.memory.writeObj(u32, wide, at as GuestAddress);
  else world.memory.writeObj(u16, odd, at as GuestAddress);
}

function usedRing(world: World, { usedRing, size }: VirtqueueState): Span[] {
  return world.resolve(usedRing, 6 + 8 * size);
}

const small = (random: Random) => random.int(9);

function chainOf(setting: Setting): Queue & { chain: DescriptorChain } {
  for (let attempt = 0; attempt < 9; attempt++) {
    const made = queueOf(setting);
    try {
      const chain = made.queue.pop();
      if (chain !== undefined) return { ...made, chain };
    } catch (error) {
      if (made.isRight) throw error;
    }
  }
  // No driver of nine made a chain: it is closed memory.
  return { ...queueOf(setting), chain: undefined as never };
}

function part(
  setting: Setting,
  choose: (chain: DescriptorChain) => ReadablePart | WritablePart,
  isWritten: boolean,
): Subject {
  const { world, random } = setting;
  const { chain, queue, isRight } = chainOf(setting);
  const object = choose(chain);
  if (random.chance(0.3)) object.skip(random.int(object.remaining + 1));
  const spans = object.ranges().flatMap(([addr, length]) => world.resolve(addr, length));
  const label = `a ${isRight ? "" : "hostile "}chain's ${object.remaining} bytes in ${world.name}`;
  if (random.chance(0.05)) queue.close();
  const subject = {
    object,
    label,
    at: 0,
    address: small,
    spans,
    ...isWritten && { writes: spans },
  };
  // Buffers of a hostile chain may have the same bytes.
  if (!isRight || world.closed) return subject;
  return { ...subject, resolve: (_addr, count) => cut(spans, count) };
}

function cut(spans: readonly Span[], count: number): Span[] {
  const result: Span[] = [];
  for (const { backing, at, length } of spans) {
    const bytes = Math.min(length, count);
    if (bytes > 0) result.push({ backing, at, length: bytes });
    count -= bytes;
  }
  return result;
}

/** By the name of the class. */
export const RECEIVERS: Readonly<Record<string, Receiver>> = {
  ChainPart: (setting) => part(setting, ({ writable }) => writable, false),
  ReadablePart: (setting) => part(setting, ({ readable }) => readable, false),
  WritablePart: (setting) => part(setting, ({ writable }) => writable, true),
  DescriptorChain: (setting) => {
    const { chain } = chainOf(setting);
    return { object: chain, label: "chain", address: small };
  },
  MockDriver: (setting) => {
    const { world, random } = setting;
    const { driver, queue } = queueOf(setting);
    // The device gives some back.
    for (let i = random.int(3); i > 0; i--) attempt(() => queue.addUsed(queue.pop()!, 0));
    const writes = world.resolve(driver.state.descTable, LENGTH);
    return { object: driver, label: `driver in ${world.name}`, address: small, writes };
  },
  Virtqueue: (setting) => {
    const { world, random } = setting;
    const { driver, queue, isRight } = queueOf(setting);
    for (let i = random.int(3); i > 0; i--) attempt(() => queue.pop());
    const writes = usedRing(world, driver.state);
    const label = `${isRight ? "" : "hostile "}queue in ${world.name}`;
    return { object: queue, label, address: small, writes };
  },
};

// A hostile driver's queue throws.
function attempt(use: () => unknown): void {
  try {
    use();
  } catch {
    // It is called again.
  }
}

/** What a device may give back: a chain of the queue, of another one, or an index. */
export function chain(setting: Setting, subject: Subject | undefined): Argument {
  const { random } = setting;
  const { object } = subject ?? {};
  if (object instanceof Virtqueue && random.chance(0.6)) {
    return { value: object.pop() ?? 0, label: "its chain" };
  }
  if (random.chance(0.5)) return { value: random.int(9), label: "an index" };
  const { value, label } = junk.anything(random, setting.mischief);
  return { value, label };
}

/** Where a queue is, or how one is made: right, but for a few properties. */
export function state({ world, random, mischief }: Setting, hostile: boolean): Argument {
  const { base, firstIndex, ...rest } = plan({ world, random, mischief });
  const made: Record<string, unknown> = {
    ...{ ...rest, base, firstIndex, descTable: base, availRing: base + 16 * rest.size },
    ...{ usedRing: base + 0x400, nextAvail: firstIndex, nextUsed: firstIndex },
    unsignalled: random.int(3),
  };
  const labels: string[] = [];
  for (let i = hostile ? 1 + random.int(2) : 0; i > 0; i--) {
    const name = random.pick(Object.keys(made));
    const { value, label } = random.chance(0.5)
      ? junk.number(random)
      : junk.anything(random, mischief);
    if (random.chance(0.5)) made[name] = value;
    else {
      const right = made[name];
      let asked = random.int(2);
      const get = mischief.then(() => asked++ === 0 ? right : value);
      Object.defineProperty(made, name, { get, enumerable: true, configurable: true });
    }
    labels.push(`${name}: ${label}`);
  }
  // Rings that are laid out are cleared, wherever they are.
  return { value: made, label: `a state with { ${labels.join(", ")} }`, wild: true };
}
