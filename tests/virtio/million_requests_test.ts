import { type GuestAddress, GuestMemoryHeap, type GuestRegionHeap } from "../../mod.ts";
import { type DescriptorChain, MockDriver, Virtqueue } from "../../src/virtio/mod.ts";
import { gpa } from "../support/values.ts";
import { ReferenceQueue } from "../support/virtqueue_reference.ts";

const SIZES = [1, 2, 8, 256, 4096, 32_768];
/** With each size, with and without event index, with and without indirect tables: 10^6 in all. */
const REQUESTS = Math.ceil(10 ** 6 / (SIZES.length * 4));
const LENGTH = 2 ** 23;

type Random = (end: number) => number;

interface Setup {
  readonly size: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  readonly seed: number;
}

type State = "awake" | "dozing" | "asleep";

/** What the driver waits for of a request. */
interface Asked {
  readonly first: number;
  readonly length: number;
}

/** A driver and a device that take turns by chance, and sleep until they are notified. */
class Pair {
  readonly #setup: Setup;
  readonly #random: Random;
  readonly #driver: MockDriver;
  readonly #queue: Virtqueue;
  readonly #reference: ReferenceQueue;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #asked: Map<number, Asked> = new Map();
  readonly #chains: DescriptorChain[] = [];
  readonly #buffer: Uint8Array = new Uint8Array(64);
  #added = 0;
  #done = 0;
  // What each side did since it last asked whether the other has to be notified.
  #unkicked = 0;
  // Each side looks once more, and falls asleep a turn later: the other one may act between.
  #driverState: State = "awake";
  #deviceState: State = "awake";
  #polls = false;
  #driverPolls = false;
  /** Notifications of each side. */
  readonly sent = { driver: 0, device: 0 };

  constructor(setup: Setup) {
    const { size, eventIdx, indirect, seed } = setup;
    this.#setup = setup;
    this.#random = randomOf(seed);
    const usedLength = 6 + 8 * size;
    // The reference writes a used ring of its own, behind the memory of the driver.
    const memory = GuestMemoryHeap.fromRanges([[gpa(0), LENGTH + usedLength]]);
    const [region] = [...memory] as [GuestRegionHeap];
    const bytes = this.#bytes = new Uint8Array(region.buffer);
    this.#view = new DataView(region.buffer);
    const firstIndex = 65_536 - 1 - seed % 200;
    const options = { size, eventIdx, indirect, firstIndex, base: gpa(0), length: LENGTH };
    this.#driver = new MockDriver(memory, options);
    const { state } = this.#driver;
    this.#queue = new Virtqueue(memory, state);
    const { usedRing } = state;
    bytes.copyWithin(LENGTH, usedRing, usedRing + usedLength);
    const place = (addr: number) =>
      addr >= usedRing && addr < usedRing + usedLength ? addr - usedRing + LENGTH : addr;
    this.#reference = new ReferenceQueue({ bytes, place }, state);
  }

  run(requests: number): void {
    const random = this.#random;
    while (this.#done < requests) {
      if (this.#driverState === "asleep" && this.#deviceState === "asleep") {
        throw new Error(`both sleep: ${this.#done} of ${this.#added} requests are done`);
      }
      const isDriver = this.#deviceState === "asleep" ||
        this.#driverState !== "asleep" && random(2) === 0;
      if (isDriver) this.#drive(requests);
      else this.#serve();
    }
    this.#compareRings();
  }

  /** A turn of the driver: some requests, some answers, and perhaps sleep. */
  #drive(requests: number): void {
    const random = this.#random;
    const { size } = this.#setup;
    if (this.#driverState === "dozing") {
      this.#driverState = "asleep";
      return;
    }
    if (random(8) === 0) {
      this.#driver.notifyOnUsed(false);
      this.#driverPolls = true;
    }
    let isFull = false;
    for (let batch = this.#batch(); batch > 0 && !isFull; batch--) {
      isFull = this.#added === requests || !this.#add();
    }
    // Not always before it looks for answers: the device may empty the ring before.
    if (random(4) !== 0) this.#kick();
    const some = random(3) === 0 ? random(size) : Infinity;
    let taken = 0;
    while (taken < some && this.#takeUsed()) taken++;
    if (!isFull || taken > 0 || some === 0) return;
    // Nothing to do until the device gives something back. Finding nothing, takeUsed() asked to be
    // notified, but for a driver that polls.
    this.#kick();
    if (this.#driverPolls || random(2) === 0) {
      this.#driverPolls = false;
      if (this.#driver.notifyOnUsed(true)) return;
    }
    this.#driverState = random(2) === 0 ? "asleep" : "dozing";
  }

  // Some requests; sometimes up to a whole queue.
  #batch(): number {
    const { size } = this.#setup;
    return 1 + this.#random(this.#random(16) === 0 ? size : Math.min(size, 64));
  }

  #add(): boolean {
    const random = this.#random;
    const { size, indirect } = this.#setup;
    const first = this.#added & 0xff;
    const readable: Uint8Array[] = [];
    const writable: number[] = [];
    const most = Math.min(size, 4);
    const descriptors = 1 + random(most);
    const given = random(descriptors + 1);
    for (let i = 0; i < given; i++) {
      readable.push(new Uint8Array(random(9)).fill(first + i));
    }
    for (let i = given; i < descriptors; i++) writable.push(random(9));
    const options = { indirect: indirect && random(2) === 0 };
    const head = this.#driver.add(readable, writable, options);
    if (head === undefined) return false;
    if (this.#asked.has(head)) throw new Error(`chain ${head} is used twice`);
    this.#asked.set(head, { first, length: writable.reduce((sum, length) => sum + length, 0) });
    this.#added++;
    this.#unkicked++;
    return true;
  }

  #kick(): void {
    const { size, availRing, usedRing } = this.#queue.state;
    const index = this.#view.getUint16(availRing + 2, true);
    const event = this.#view.getUint16(usedRing + 4 + 8 * size, true);
    const flags = this.#view.getUint16(usedRing, true);
    let isWanted = this.#unkicked > 0 && (flags & 1) === 0;
    if (this.#setup.eventIdx) {
      isWanted = false;
      for (let i = 1; i <= this.#unkicked; i++) {
        if ((index - i & 0xffff) === event) isWanted = true;
      }
    }
    this.#unkicked = 0;
    equal(this.#driver.needsNotification(), isWanted, "whether the device is notified");
    if (!isWanted) return;
    this.sent.driver++;
    this.#deviceState = "awake";
  }

  #takeUsed(): boolean {
    const used = this.#driver.takeUsed();
    if (used === undefined) return false;
    const { head, written } = used;
    const asked = this.#asked.get(head)!;
    equal(written.length, asked.length, "bytes written");
    for (const byte of written) equal(byte, asked.first ^ 0xff, "a byte written");
    this.#asked.delete(head);
    this.#done++;
    return true;
  }

  /** A turn of the device: some chains, given back in any order, and perhaps sleep. */
  #serve(): void {
    const random = this.#random;
    const { size } = this.#setup;
    if (this.#deviceState === "dozing") {
      this.#deviceState = "asleep";
      return;
    }
    if (random(8) === 0) this.#poll(!this.#polls);
    let isEmpty = false;
    for (let batch = this.#batch(); batch > 0 && !isEmpty; batch--) {
      isEmpty = !this.#pop();
    }
    // Some requests take longer than others.
    const keep = isEmpty && random(2) === 0 ? 0 : random(Math.min(size, 32));
    while (this.#chains.length > keep) this.#finish();
    this.#signal();
    // While it has requests it is awake anyway.
    if (!isEmpty || this.#chains.length > 0) return;
    if (this.#polls && this.#poll(false)) return;
    this.#deviceState = random(2) === 0 ? "asleep" : "dozing";
  }

  /** Switches notifications off, or on. Returns whether chains are there. */
  #poll(polls: boolean): boolean {
    this.#polls = polls;
    const isThere = this.#queue.notifyOnAvail(!polls);
    equal(isThere, this.#reference.notifyOnAvail(!polls) as boolean, "whether chains are there");
    return isThere;
  }

  #pop(): boolean {
    const expected = this.#reference.take();
    const chain = this.#queue.pop();
    if (chain === undefined) {
      equal(expected, undefined, "a chain");
      return false;
    }
    if (expected?.kind !== "chain") throw new Error(`chain ${chain.head}, not ${expected?.kind}`);
    equal(chain.head, expected.head, "the head");
    const parts = [[chain.readable, expected.readable], [
      chain.writable,
      expected.writable,
    ]] as const;
    for (const [part, segments] of parts) {
      const ranges = part.ranges();
      equal(ranges.length, segments.length, "segments");
      for (let i = 0; i < ranges.length; i++) {
        equal(ranges[i]![0], segments[i]![0] as GuestAddress, "an address");
        equal(ranges[i]![1], segments[i]![1], "a length");
      }
    }
    this.#chains.push(chain);
    return true;
  }

  #finish(): void {
    const chains = this.#chains;
    const at = this.#random(chains.length);
    const chain = chains[at]!;
    chains[at] = chains[chains.length - 1]!;
    chains.pop();
    const { head, readable, writable } = chain;
    const { first } = this.#asked.get(head)!;
    const buffer = this.#buffer;
    const given = readable.remaining;
    equal(readable.read(buffer.subarray(0, given)), given, "bytes read");
    if (given > 0 && ((buffer[given - 1]! - first) & 0xff) > 3) throw new Error("wrong bytes");
    const { remaining: space } = writable;
    writable.writeSlice(buffer.fill(first ^ 0xff, 0, space).subarray(0, space));
    this.#queue.addUsed(chain, space);
    this.#reference.giveBack(head, space);
  }

  #signal(): void {
    const isWanted = this.#queue.needsNotification();
    equal(isWanted, this.#reference.needsNotification(), "whether the driver is notified");
    if (!isWanted) return;
    this.sent.device++;
    this.#driverState = "awake";
  }

  #compareRings(): void {
    const { size, usedRing } = this.#queue.state;
    for (let i = 0; i < 6 + 8 * size; i++) {
      equal(this.#bytes[usedRing + i], this.#bytes[LENGTH + i], `byte ${i} of the used ring`);
    }
  }
}

function equal<T>(actual: T, expected: T, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${actual}, not ${expected}`);
}

function randomOf(seed: number): Random {
  let state = seed;
  return (end) => {
    state = Math.imul(state, 1_664_525) + 1_013_904_223 >>> 0;
    return Math.floor(state / 2 ** 32 * end);
  };
}

for (const size of SIZES) {
  for (const eventIdx of [false, true]) {
    for (const indirect of [false, true]) {
      const features = [eventIdx ? "with an event index" : "", indirect ? "with tables" : ""];
      const name = ["a queue of", size, ...features].filter((text) => text !== "").join(" ");
      Deno.test(`Virtqueue and driver lose no request and no wake-up: ${name}`, () => {
        const pair = new Pair({ size, eventIdx, indirect, seed: size * 4 + REQUESTS });
        pair.run(REQUESTS);
        const { driver, device } = pair.sent;
        if (driver === 0 || device === 0) throw new Error("nobody was notified");
      });
    }
  }
}
