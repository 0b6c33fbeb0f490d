import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  GuestAddress,
  GuestMemoryAtomic,
  GuestMemoryHeap,
  GuestRegionHeap,
  MemoryClosed,
  u16,
  u32,
} from "@vmm/guest-memory";
import { MockDriver } from "@vmm/guest-memory/virtio";
import {
  DRIVER_OK,
  type DriverBuffer,
  NEGOTIATED,
  NEGOTIATION,
  TinyQueue,
  type Write,
} from "../../../examples/microvm/tiny_driver.ts";
import {
  RECEIVE_QUEUE,
  TRANSMIT_QUEUE,
  VirtioConsole,
} from "../../../examples/microvm/virtio_console.ts";
import { VirtioMmio } from "../../../examples/microvm/virtio_mmio.ts";
import {
  Feature,
  Interrupt,
  Register,
  Status,
  VIRTIO_LENGTH,
  VIRTIO_START,
} from "../../../examples/microvm/virtio_registers.ts";
import { content } from "../../support/values.ts";

const SIZE = 0x8000;
const TEXT = GuestAddress(0x3000);
const LIVE = NEGOTIATED | Status.driverOk;
const BROKEN = LIVE | Status.needsReset;

/** A console in memory, and what comes out of it. */
function connect() {
  const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), SIZE]]);
  const space = new GuestMemoryAtomic(memory);
  const printed: string[] = [];
  const levels: boolean[] = [];
  const console = new VirtioConsole((text) => printed.push(new TextDecoder().decode(text)));
  const device = new VirtioMmio(space, console, (level) => levels.push(level));
  return {
    ...{ memory, space, printed, levels, console, device },
    read: (name: keyof typeof Register) => device.read(Register[name], 4),
    write: (name: keyof typeof Register, value: number) => device.write(Register[name], value, 4),
    // What the guest of a few bytes does.
    perform: (writes: readonly Write[]) => {
      using current = space.memory();
      for (const [address, value] of writes) {
        if (address >= VIRTIO_START) device.write(address - VIRTIO_START, value, 4);
        else current.memory.writeObj(u32, value, GuestAddress(address));
      }
    },
  };
}

/** Everything up to a request in one queue. */
function request(queue: TinyQueue, buffers: readonly DriverBuffer[]): Write[] {
  return [...NEGOTIATION, ...queue.setUp(), DRIVER_OK, ...queue.request(buffers)];
}

const TRANSMIT = new TinyQueue(TRANSMIT_QUEUE, GuestAddress(0x1000));
const RECEIVE = new TinyQueue(RECEIVE_QUEUE, GuestAddress(0x2000));
const HELLO = { address: TEXT, length: 5 };
const SPACE = { address: TEXT, length: 5, isWritable: true };

Deno.test("VirtioMmio says what it is", () => {
  const { device, read, write } = connect();
  assertEquals(
    read("magicValue"),
    new DataView(new TextEncoder().encode("virt").buffer)
      .getUint32(0, true),
  );
  assertEquals([read("version"), read("deviceId"), read("status")], [2, 3, 0]);
  const features = [0, 1, 2, 0xffff_ffff].map((word) => {
    write("deviceFeaturesSel", word);
    return read("deviceFeatures");
  });
  assertEquals(features, [0x3000_0000, 1, 0, 0]);
  const sizes = [0, 1, 2, 0xffff_ffff].map((queue) => {
    write("queueSel", queue);
    return [read("queueNumMax"), read("queueReady")];
  });
  assertEquals(sizes, [[256, 0], [256, 0], [0, 0], [0, 0]]);
  assertEquals([read("shmLenLow"), read("configGeneration")], [0xffff_ffff, 0]);
  assertEquals([device.read(0, 1), device.read(2, 4), device.read(0x104, 4)], [0, 0, 0]);
});

Deno.test("VirtioMmio prints a chain for a driver that follows the specification", () => {
  const { memory, perform, printed, levels, read, write } = connect();
  memory.writeSlice(new TextEncoder().encode("helloworld"), TEXT);
  const world = { address: GuestAddress(TEXT + 5), length: 5 };
  perform(request(TRANSMIT, [HELLO, world]));
  assertEquals([printed, levels], [["helloworld"], [true]]);
  assertEquals([read("status"), read("interruptStatus")], [LIVE, Interrupt.usedBuffer]);
  assertEquals(memory.readObj(u32, GuestAddress(TRANSMIT.usedIndex)), 0x1_0000);
  write("interruptAck", Interrupt.configChange);
  assertEquals(levels, [true]);
  write("interruptAck", Interrupt.usedBuffer);
  assertEquals([levels, read("interruptStatus")], [[true, false], 0]);
});

Deno.test("VirtioMmio gives the guest what is typed, as it has space", () => {
  const { memory, perform, console, device, levels } = connect();
  console.type(new TextEncoder().encode("hello wor"));
  perform(request(RECEIVE, [SPACE]));
  console.type(new TextEncoder().encode("ld"));
  device.notify(RECEIVE_QUEUE);
  assertEquals(new TextDecoder().decode(content(memory, TEXT, 8)), "hello\0\0\0");
  assertEquals(levels, [true]);
  assertEquals(memory.readObj(u32, GuestAddress(RECEIVE.usedIndex + 8)), 5, "bytes written");
  // A driver that begins anew gets the rest.
  perform(request(RECEIVE, [{ ...SPACE, length: 100 }]));
  assertEquals(memory.readObj(u32, GuestAddress(RECEIVE.usedIndex + 8)), 6);
});

Deno.test("VirtioMmio agrees to the features that it offers, and to version 1 only", () => {
  const { perform, read, write } = connect();
  const agrees = (low: number, high: number) => {
    write("status", 0);
    write("driverFeaturesSel", 0);
    write("driverFeatures", low);
    write("driverFeaturesSel", 1);
    write("driverFeatures", high);
    write("driverFeaturesSel", 2);
    write("driverFeatures", 0xffff_ffff);
    write("status", NEGOTIATED);
    return read("status") === NEGOTIATED;
  };
  assertEquals([agrees(0, 1), agrees(Feature.indirect | Feature.eventIdx, 1)], [true, true]);
  for (const [low, high] of [[0, 0], [1, 1], [0x8000_0000, 1], [0, 3]] as const) {
    assertEquals(agrees(low, high), false);
  }
  // A reset forgets them.
  assertEquals(agrees(0, 1), true);
  write("status", 0);
  write("status", NEGOTIATED);
  assertEquals(read("status"), NEGOTIATED & ~Status.featuresOk);
  // Too late to change them.
  perform(NEGOTIATION);
  write("driverFeatures", 0);
  write("status", NEGOTIATED);
  assertEquals(read("status"), NEGOTIATED);
});

Deno.test("VirtioMmio serves queues with an event index and indirect descriptors", () => {
  const { memory, perform, printed, levels, read, write } = connect();
  const options = { size: 8, base: GuestAddress(0), length: SIZE };
  const driver = new MockDriver(memory, { ...options, eventIdx: true, indirect: true });
  const { size, descTable, availRing, usedRing } = driver.state;
  perform(NEGOTIATION.slice(0, 3));
  write("driverFeaturesSel", 0);
  write("driverFeatures", Feature.indirect | Feature.eventIdx);
  perform(NEGOTIATION.slice(5));
  write("queueSel", TRANSMIT_QUEUE);
  write("queueNum", size);
  write("queueDescLow", descTable);
  write("queueDriverLow", availRing);
  write("queueDeviceLow", usedRing);
  write("queueReady", 1);
  assertEquals(read("queueReady"), 1);
  perform([DRIVER_OK]);
  const print = (text: string) => {
    driver.add([new TextEncoder().encode(text)], [], { indirect: true });
    write("queueNotify", TRANSMIT_QUEUE);
  };
  print("one");
  write("interruptAck", Interrupt.usedBuffer);
  print("two");
  // The event index asks for a notification of the first one alone.
  assertEquals([printed, levels], [["one", "two"], [true, false]]);
  while (driver.takeUsed() !== undefined);
  print("three");
  assertEquals([printed.length, levels], [3, [true, false, true]]);
  write("queueReady", 0);
  print("four");
  assertEquals([printed.length, read("queueReady"), read("status")], [3, 0, LIVE]);
});

Deno.test("VirtioMmio serves nothing before the driver is done with its set-up", () => {
  const { perform, printed, read, write } = connect();
  perform([...NEGOTIATION, ...TRANSMIT.setUp(), ...TRANSMIT.request([HELLO])]);
  assertEquals(printed, []);
  perform([DRIVER_OK]);
  write("queueNotify", TRANSMIT_QUEUE);
  assertEquals(printed.length, 1);
  // Nor is there a queue before both agree.
  write("status", 0);
  perform([...TRANSMIT.setUp(), DRIVER_OK, ...TRANSMIT.request([HELLO])]);
  assertEquals([printed.length, read("queueReady")], [1, 0]);
});

const NOWHERE = GuestAddress(0xffff_f000);
const MISTAKES: readonly (readonly [what: string, writes: readonly Write[]])[] = [
  ["an index that is too far ahead", [
    ...NEGOTIATION,
    ...TRANSMIT.setUp(),
    DRIVER_OK,
    [0x1100, 5 << 16],
    [VIRTIO_START + Register.queueNotify, TRANSMIT_QUEUE],
  ]],
  ["a chain that leads to itself", [
    ...request(TRANSMIT, [HELLO]).slice(0, -1),
    [0x100c, 1],
    [VIRTIO_START + Register.queueNotify, TRANSMIT_QUEUE],
  ]],
  ["a descriptor that is not in the table", [
    ...request(TRANSMIT, [HELLO]).slice(0, -1),
    [0x1104, 4],
    [VIRTIO_START + Register.queueNotify, TRANSMIT_QUEUE],
  ]],
  ["a buffer that is in no memory", request(TRANSMIT, [{ ...HELLO, address: NOWHERE }])],
  ["a buffer that ends in no memory", [
    ...request(TRANSMIT, [{ address: GuestAddress(SIZE - 4), length: 5 }]),
  ]],
  ["a text of 84 KiB", [
    ...request(TRANSMIT, Array(3).fill({ address: GuestAddress(0), length: 0x7000 })),
  ]],
  ["a text of 4 GiB", request(TRANSMIT, [{ ...HELLO, length: 0xffff_ffff }])],
  ["a queue that is in no memory", [
    ...NEGOTIATION,
    DRIVER_OK,
    ...new TinyQueue(TRANSMIT_QUEUE, NOWHERE).setUp().slice(2),
  ]],
  ["a queue beyond what any memory has", [
    ...NEGOTIATION,
    DRIVER_OK,
    ...TRANSMIT.setUp().slice(0, -1),
    [VIRTIO_START + Register.queueDescHigh, 0xffff_ffff],
    [VIRTIO_START + Register.queueReady, 1],
  ]],
  ["a queue of three", [
    ...NEGOTIATION,
    DRIVER_OK,
    ...TRANSMIT.setUp().slice(0, -1),
    [VIRTIO_START + Register.queueNum, 3],
    [VIRTIO_START + Register.queueReady, 1],
  ]],
];

for (const [what, writes] of MISTAKES) {
  Deno.test(`VirtioMmio needs a reset after ${what}`, () => {
    const { perform, printed, levels, read, write } = connect();
    write("queueSel", TRANSMIT_QUEUE);
    perform(writes);
    assertEquals([read("status"), read("queueReady"), printed], [BROKEN, 0, []]);
    assertEquals([read("interruptStatus"), levels], [Interrupt.configChange, [true]]);
    // It cannot be talked out of it,
    write("status", Status.driver);
    assertEquals(read("status"), Status.driver | Status.needsReset);
    write("status", LIVE);
    perform([...TRANSMIT.setUp(), ...TRANSMIT.request([HELLO])]);
    assertEquals([read("status"), printed], [BROKEN, []]);
    // but by a reset.
    perform(request(TRANSMIT, [HELLO]));
    assertEquals([read("status"), printed.length], [LIVE, 1]);
    assertEquals(levels, [true, false, true]);
  });
}

Deno.test("VirtioMmio raises no interrupt for a driver that is not done with its set-up", () => {
  const { perform, levels, read } = connect();
  perform([...NEGOTIATION, ...new TinyQueue(TRANSMIT_QUEUE, NOWHERE).setUp().slice(2)]);
  assertEquals([read("status"), levels], [NEGOTIATED | Status.needsReset, []]);
});

Deno.test("VirtioMmio makes no queue larger than it says", () => {
  const { perform, read, write } = connect();
  perform([...NEGOTIATION, ...TRANSMIT.setUp()]);
  for (const [size, ready] of [[512, 0], [256, 1]] as const) {
    write("queueNum", size);
    write("queueReady", 1);
    assertEquals(read("queueReady"), ready);
  }
});

Deno.test("VirtioMmio takes the newest map, and needs a reset where a queue is in none", () => {
  const { space, perform, printed, device, read } = connect();
  const region = new GuestRegionHeap(GuestAddress(SIZE), 0x1000);
  perform([...NEGOTIATION, ...TRANSMIT.setUp(), DRIVER_OK]);
  {
    using lock = space.lockSync();
    lock.replace(lock.memory.insertRegion(region));
  }
  device.refresh();
  perform(TRANSMIT.request([{ address: GuestAddress(SIZE), length: 4 }]));
  assertEquals([read("status"), printed], [LIVE, ["\0\0\0\0"]]);
  {
    using lock = space.lockSync();
    const [smaller, low] = lock.memory.removeRegion(GuestAddress(0), SIZE);
    low.close();
    lock.replace(smaller);
  }
  device.refresh();
  assertEquals(read("status"), BROKEN);
});

// xorshift32: the same numbers in each run.
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor((state >>> 0) / 2 ** 32 * below);
  };
}

Deno.test("VirtioMmio survives any writes, and serves the next driver", () => {
  const next = random(42);
  const offsets = Object.values(Register);
  const statuses = [0, NEGOTIATED, LIVE];
  const { memory, perform, device, printed, console } = connect();
  const seen = new Set<number>();
  for (let round = 0; round < 2000; round++) {
    if (next(2) === 0) {
      // A driver that gets one thing wrong.
      const writes = request(next(2) === 0 ? TRANSMIT : RECEIVE, [HELLO, SPACE]);
      const wrong = writes[next(writes.length)]!;
      perform(writes.map((write) => write === wrong ? [write[0], next(2 ** 32)] : write));
    }
    for (let i = 0; i < 10; i++) {
      const offset = next(8) === 0 ? next(VIRTIO_LENGTH) : offsets[next(offsets.length)]!;
      const any = [next(4), next(2 ** 32), statuses[next(3)]!, next(8) * 0x1000];
      device.write(offset, any[next(4)]!, [1, 2, 4, 4, 4][next(5)]!);
      const value = device.read(next(VIRTIO_LENGTH), 4);
      assert(Number.isInteger(value) && value >= 0 && value < 2 ** 32);
      memory.writeObj(u16, next(2 ** 16), GuestAddress(0x1000 + next(0x1300)));
      if (next(4) === 0) console.type(Uint8Array.of(next(256)));
    }
    if (next(4) === 0) device.refresh();
    seen.add(device.read(Register.status, 4) & (LIVE | Status.needsReset));
  }
  assert(seen.has(LIVE) && seen.has(BROKEN), `${[...seen]}`);
  memory.writeSlice(new TextEncoder().encode("hello"), TEXT);
  perform(request(TRANSMIT, [HELLO]));
  assertEquals(printed.at(-1), "hello");
});

Deno.test("VirtioMmio lets the memory go when disposed of", () => {
  const { memory, space, perform, device } = connect();
  perform([...NEGOTIATION, ...TRANSMIT.setUp(), ...RECEIVE.setUp(), DRIVER_OK]);
  space.close();
  assertEquals(memory.numRegions, 1);
  device[Symbol.dispose]();
  assertThrows(() => memory.numRegions, MemoryClosed);
});
