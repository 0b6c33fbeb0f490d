/**
 * A virtqueue and its reference, which do the same.
 *
 * @module
 */
import { Cursor, GuestMemoryError, u16, u32, u8 } from "../../mod.ts";
import {
  type DescriptorChain,
  InvalidAvailRingIndex,
  InvalidChain,
  type ReadablePart,
  Virtqueue,
  type WritablePart,
} from "../../src/virtio/mod.ts";
import type { Choices } from "./hostile_rings.ts";
import { gpa } from "./values.ts";
import { type ReferenceLayout, ReferenceQueue, type Segment } from "./virtqueue_reference.ts";
import type { World } from "./virtqueue_worlds.ts";

type ChainTaken = Extract<ReturnType<ReferenceQueue["take"]>, { kind: "chain" }>;

/** A chain, and what the reference says that it is. */
export interface ChainPair {
  readonly chain: DescriptorChain;
  readonly expected: ChainTaken;
}

/** What an access to the next bytes of a part will do. */
interface Expected {
  /** Bytes that are transferred: a prefix. */
  readonly done: number;
  readonly throws: boolean;
  /** The bytes' places in the array of the reference. */
  readonly places: readonly number[];
}

const CODECS = [[u8, 1], [u16, 2], [u32, 4]] as const;

/** Fails unless both are the same. */
function same(actual: unknown, expected: unknown, what: string): void {
  if (Object.is(actual, expected)) return;
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: ${a}, not ${b}`);
}

/** What a call throws, if it is an error of guest memory. */
function refusalOf(call: () => void): GuestMemoryError | undefined {
  try {
    call();
  } catch (error) {
    if (error instanceof GuestMemoryError) return error;
    throw error;
  }
  return undefined;
}

/** Calls both, and fails where they differ. */
export class QueuePair implements Disposable {
  readonly queue: Virtqueue;
  readonly reference: ReferenceQueue;
  /** Chains that were taken and not given back. */
  readonly pending: ChainPair[] = [];
  readonly #tally: Map<string, number>;
  readonly #world: World;
  readonly #choices: Choices;

  /**
   * Makes both.
   *
   * @param tally How often each outcome was seen.
   */
  constructor(
    world: World,
    layout: ReferenceLayout,
    choices: Choices,
    tally: Map<string, number> = new Map(),
  ) {
    const { descTable, availRing, usedRing } = layout;
    this.queue = new Virtqueue(world.memory, {
      ...layout,
      ...{ descTable: gpa(descTable), availRing: gpa(availRing), usedRing: gpa(usedRing) },
    });
    this.reference = new ReferenceQueue(world.reference, layout);
    this.#world = world;
    this.#choices = choices;
    this.#tally = tally;
  }

  /** Takes a chain. Returns whether there may be more. */
  pop(): boolean {
    const expected = this.reference.take();
    let chain: DescriptorChain | undefined;
    const error = refusalOf(() => chain = this.queue.pop());
    this.#count(expected?.kind === "refusal" ? expected.problem : expected?.kind ?? "none");
    if (expected?.kind === "refusal") {
      const { head, descriptor, problem } = expected;
      if (!(error instanceof InvalidChain)) throw error ?? new Error(`no refusal: ${problem}`);
      same(
        [error.head, error.descriptor, error.problem],
        [head, descriptor, problem],
        "the refusal",
      );
      this.#giveBack(head, head, 0);
      return true;
    }
    if (expected?.kind === "jump") {
      this.#isJump(error, expected);
      return false;
    }
    if (error !== undefined) throw error;
    if (expected === undefined) {
      same(chain, undefined, "a chain");
      return false;
    }
    if (chain === undefined) throw new Error(`no chain ${expected.head}`);
    same(chain.head, expected.head, "the head");
    same(chain.readable.ranges(), expected.readable, "what is readable");
    same(chain.writable.ranges(), expected.writable, "what is writable");
    this.pending.push({ chain, expected });
    return true;
  }

  /** Reads and writes a chain that is pending, and gives it back. */
  finishOne(): void {
    const [pair] = this.pending.splice(this.#choices.below(this.pending.length), 1);
    if (pair === undefined) return;
    const { chain, expected: { head, readable, writable } } = pair;
    this.#readPart(chain.readable, readable, 0, totalOf(readable));
    const space = totalOf(writable);
    this.#writePart(chain.writable, writable, 0, space);
    this.#giveBack(chain, head, Math.min(this.#choices.of([space, 0, 1]), space, 2 ** 32 - 1));
  }

  needsNotification(): void {
    same(
      this.queue.needsNotification(),
      this.reference.needsNotification(),
      "whether the driver needs a notification",
    );
  }

  notifyOnAvail(wanted: boolean): void {
    const expected = this.reference.notifyOnAvail(wanted);
    let found: boolean | undefined;
    const error = refusalOf(() => found = this.queue.notifyOnAvail(wanted));
    if (typeof expected === "object") this.#isJump(error, expected);
    else if (error !== undefined) throw error;
    else same(found, expected, "whether chains are there");
  }

  /** All bytes of memory are those of the reference, and both have come as far. */
  ensureSame(): void {
    const { nextAvail, nextUsed } = this.queue.state;
    same(nextAvail, this.reference.nextAvail, "nextAvail");
    same(nextUsed, this.reference.nextUsed, "nextUsed");
    const at = this.#world.difference();
    if (at >= 0) throw new Error(`memory differs at byte ${at} of the array`);
  }

  [Symbol.dispose](): void {
    this.queue.close();
  }

  #count(outcome: string): void {
    this.#tally.set(outcome, (this.#tally.get(outcome) ?? 0) + 1);
  }

  #isJump(error: GuestMemoryError | undefined, expected: unknown): void {
    if (!(error instanceof InvalidAvailRingIndex)) throw error ?? new Error("no jump");
    const { index, nextAvail } = error;
    same({ kind: "jump", index, nextAvail }, expected, "the jump");
  }

  #giveBack(chain: DescriptorChain | number, head: number, written: number): void {
    this.queue.addUsed(chain, written);
    this.reference.giveBack(head, written);
  }

  // What an access to bytes of some segments does. A hole ends it; a range that an IOMMU refuses is
  // not accessed at all, and a stream gets nothing then.
  #expect(
    segments: readonly Segment[],
    from: number,
    count: number,
    access: "read" | "write",
    isStream = false,
  ): Expected {
    const { isTranslated, mayWrite, reference: { place } } = this.#world;
    const places: number[] = [];
    let total = 0;
    for (const [addr, length] of piecesOf(segments, from, count)) {
      const found: number[] = [];
      for (let i = 0; i < length; i++) {
        const at = access === "read" || mayWrite(addr + i) ? place(addr + i) : undefined;
        if (at === undefined) break;
        found.push(at);
      }
      const isRefused = found.length < length && isTranslated;
      if (isRefused && isStream) return { done: 0, throws: true, places: [] };
      if (!isRefused) {
        places.push(...found);
        total += found.length;
      }
      if (isRefused || found.length < length) break;
    }
    return { done: total, throws: count > 0 && total === 0, places };
  }

  #readPart(
    part: ReadablePart,
    segments: readonly Segment[],
    from: number,
    to: number,
    isSplit = false,
  ): void {
    const choices = this.#choices;
    const { bytes } = this.#world.reference;
    let at = from;
    const check = (got: Uint8Array, { places }: Expected) => {
      for (const [i, place] of places.entries()) {
        if (got[i] !== bytes[place]) throw new Error(`byte ${at + i} was read as ${got[i]}`);
      }
    };
    for (let steps = 1 + choices.below(4); steps > 0; steps--) {
      same(part.remaining, to - at, "what is left to read");
      const isLast = steps === 1;
      const count = isLast ? Math.min(to - at + 3, 600) : choices.below(40);
      const length = Math.min(count, to - at);
      switch (isLast ? 0 : choices.below(isSplit ? 4 : 5)) {
        case 0: {
          const expected = this.#expect(segments, at, length, "read");
          const buffer = new Uint8Array(count);
          let done = 0;
          const error = refusalOf(() => done = part.read(buffer));
          if (expected.done < length) this.#count("a short read");
          same(error !== undefined, expected.throws, "whether read() throws");
          same(done, expected.done, "what read() returns");
          check(buffer, expected);
          at += done;
          break;
        }
        case 1: {
          const expected = this.#expect(segments, at, length, "read", true);
          const buffer = new Uint8Array(count);
          const sink = new Cursor(buffer);
          let done = 0;
          const error = refusalOf(() => done = part.writeVolatileTo(sink, count));
          same(error !== undefined, expected.throws, "whether writeVolatileTo() throws");
          same([done, sink.position], [expected.done, expected.done], "what it returns");
          check(buffer, expected);
          at += done;
          break;
        }
        case 2: {
          const [codec, size] = choices.of(CODECS);
          const expected = this.#expect(segments, at, Math.min(size, to - at), "read");
          let value = 0;
          const error = refusalOf(() => value = part.readObj(codec));
          same(error !== undefined, expected.done < size, "whether readObj() throws");
          if (error !== undefined) {
            at = this.#afterError(part.remaining, at, to, expected.done);
            break;
          }
          check(new Uint8Array(Uint32Array.of(value).buffer), expected);
          at += size;
          break;
        }
        case 3:
          if (choices.once(2) && to - at > 2000) {
            part.skip(to - at - 300);
            at = to - 300;
          } else {
            part.skip(length);
            at += length;
          }
          break;
        case 4: {
          const rest = part.splitAt(length);
          same(part.ranges(), piecesOf(segments, at, length), "the first part");
          if (choices.once(2)) {
            this.#readPart(part, segments, at, at + length, true);
            return this.#readPart(rest, segments, at + length, to, true);
          }
          this.#readPart(rest, segments, at + length, to, true);
          return this.#readPart(part, segments, at, at + length, true);
        }
      }
    }
  }

  #writePart(
    part: WritablePart,
    segments: readonly Segment[],
    from: number,
    to: number,
    isSplit = false,
  ): void {
    const choices = this.#choices;
    const { bytes } = this.#world.reference;
    let at = from;
    const put = (given: Uint8Array, { places }: Expected) => {
      for (const [i, place] of places.entries()) bytes[place] = given[i]!;
    };
    for (let steps = 1 + choices.below(4); steps > 0; steps--) {
      same(part.remaining, to - at, "what is left to write");
      const isLast = steps === 1;
      const count = isLast ? Math.min(to - at + 3, 600) : choices.below(40);
      const length = Math.min(count, to - at);
      const seed = choices.below(2 ** 31);
      const given = new Uint8Array(count);
      for (let i = 0; i < count; i++) given[i] = seed + i * 7;
      switch (isLast ? 0 : choices.below(isSplit ? 4 : 5)) {
        case 0: {
          const expected = this.#expect(segments, at, length, "write");
          let done = 0;
          const error = refusalOf(() => done = part.write(given));
          if (expected.done < length) this.#count("a short write");
          same(error !== undefined, expected.throws, "whether write() throws");
          same(done, expected.done, "what write() returns");
          put(given, expected);
          at += done;
          break;
        }
        case 1: {
          const expected = this.#expect(segments, at, length, "write", true);
          const source = new Cursor(given);
          let done = 0;
          const error = refusalOf(() => done = part.readVolatileFrom(source, count));
          same(error !== undefined, expected.throws, "whether readVolatileFrom() throws");
          same([done, source.position], [expected.done, expected.done], "what it returns");
          put(given, expected);
          at += done;
          break;
        }
        case 2: {
          const [codec, size] = choices.of(CODECS);
          const isRoom = to - at >= size;
          const expected = this.#expect(segments, at, isRoom ? size : 0, "write");
          const value = size === 4 ? seed : seed % 256 ** size;
          const error = refusalOf(() => part.writeObj(codec, value));
          same(error !== undefined, expected.done < size, "whether writeObj() throws");
          put(new Uint8Array(Uint32Array.of(value).buffer), expected);
          if (error === undefined) at += size;
          else at = this.#afterError(part.remaining, at, to, expected.done);
          break;
        }
        case 3:
          if (choices.once(2) && to - at > 2000) {
            part.skip(to - at - 300);
            at = to - 300;
          } else {
            part.skip(length);
            at += length;
          }
          break;
        case 4: {
          const rest = part.splitAt(length);
          same(part.ranges(), piecesOf(segments, at, length), "the first part");
          if (choices.once(2)) {
            this.#writePart(part, segments, at, at + length, true);
            return this.#writePart(rest, segments, at + length, to, true);
          }
          this.#writePart(rest, segments, at + length, to, true);
          return this.#writePart(part, segments, at, at + length, true);
        }
      }
    }
  }

  // A value that failed was passed over as far as there was memory, or not at all.
  #afterError(remaining: number, at: number, to: number, done: number): number {
    const now = to - remaining;
    if (now !== at && now !== at + done) throw new Error(`a value moved from ${at} to ${now}`);
    return now;
  }
}

/** Bytes of some segments. */
function totalOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, [, length]) => sum + length, 0);
}

/** The segments of some bytes of a part. */
function piecesOf(segments: readonly Segment[], from: number, count: number): Segment[] {
  const pieces: Segment[] = [];
  let start = 0;
  for (const [addr, length] of segments) {
    const first = Math.max(from, start);
    const last = Math.min(from + count, start + length);
    if (first < last) pieces.push([addr + (first - start), last - first]);
    start += length;
  }
  return pieces;
}
