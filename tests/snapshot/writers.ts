/**
 * Writers of every kind, and a model of what they wrote.
 *
 * @module
 */
import { Fd, type GuestMemoryMmap, pageSize, u16, u32, u64, u8 } from "../../mod.ts";
import type { Random } from "../hostile/random.ts";
import { open } from "../support/posix.ts";
import { gpa } from "../support/values.ts";
import type { WritingRequest } from "./writing_worker.ts";

/** What writers did, in granules of some pages: each by the guest address of its pages. */
export class WriteModel {
  /** What was written, and not discarded since. */
  written: Set<number> = new Set();
  /** What was written or discarded. */
  changed: Set<number> = new Set();

  /**
   * Nothing was done yet.
   *
   * @param regions Where the regions are.
   * @param granule Bytes that are written or not, as a whole.
   */
  constructor(
    readonly regions: readonly { readonly startAddr: number; readonly len: number }[],
    readonly granule: number,
  ) {}

  /** Bytes were written. */
  write(at: number, count: number): void {
    for (const page of this.#pages(at, at + count, Math.floor, Math.ceil)) {
      this.written.add(page);
      this.changed.add(page);
    }
  }

  /** Bytes were discarded. */
  discard(at: number, count: number): void {
    for (const page of this.#pages(at, at + count, Math.ceil, Math.floor)) {
      this.written.delete(page);
      this.changed.add(page);
    }
  }

  /** Begins anew. */
  clear(): void {
    this.written.clear();
    this.changed.clear();
  }

  *#pages(from: number, to: number, first: typeof Math.floor, last: typeof Math.ceil) {
    const { granule } = this;
    for (const { startAddr, len } of this.regions) {
      const start = Math.max(0, first((Math.max(from, startAddr) - startAddr) / granule) * granule);
      const end = Math.min(
        len,
        last((Math.min(to, startAddr + len) - startAddr) / granule) * granule,
      );
      for (let at = start; at < end; at += pageSize()) yield startAddr + at;
    }
  }
}

/** Writers of every kind that this thread has. */
export class Writers implements Disposable {
  readonly #memory: GuestMemoryMmap;
  readonly #model: WriteModel;
  readonly #random: Random;
  readonly #views: Uint8Array[];
  readonly #hosts: bigint[];
  readonly #sources = ["/dev/zero", "/dev/urandom"].map((path) => open(path, "r"));
  readonly #buffer = new Uint8Array(3 * pageSize());
  readonly #library = Deno.dlopen("libc.so.6", {
    memset: { parameters: ["usize", "i32", "usize"], result: "void" },
  });
  // Each as often as its number says, in the sum.
  readonly #operations: readonly (readonly [number, () => void])[] = [
    [30, () => this.#value()],
    [8, () => this.#bytes()],
    [10, () => this.#store()],
    [6, () => this.#atomic()],
    [6, () => this.#stream()],
    [24, () => this.#view()],
    [4, () => this.#host()],
    [2, () => this.#fill()],
    [6, () => this.#read()],
  ];

  constructor(memory: GuestMemoryMmap, model: WriteModel, random: Random) {
    this.#memory = memory;
    this.#model = model;
    this.#random = random;
    this.#views = [...memory].map((region) => region.asVolatileSlice().rawView());
    this.#hosts = [...memory].map(({ startAddr }) => memory.getHostAddress(startAddr));
  }

  /** Does something, which mostly writes. */
  act(): void {
    let left = this.#random.int(96);
    for (const [weight, operation] of this.#operations) {
      left -= weight;
      if (left < 0) return operation();
    }
  }

  /** A place for some bytes, in one region or across the boundary of the first two. */
  place(count: number, within: boolean = false): number {
    const { regions } = this.#model;
    const random = this.#random;
    if (!within && random.chance(0.2)) return regions[1]!.startAddr - random.int(count + 1);
    const { startAddr, len } = random.pick(regions);
    // The ends are where mistakes are.
    if (random.chance(0.05)) return startAddr + (random.chance(0.5) ? 0 : len - count);
    return startAddr + random.int(len - count + 1);
  }

  /** A place for an integer, at a multiple of its size. */
  aligned(size: number): number {
    const at = this.place(size, true);
    return at - at % size;
  }

  /** Discards some pages. */
  discard(): void {
    const { granule } = this.#model;
    const count = granule + this.#random.int(6 * granule);
    const at = this.place(Math.min(count, this.#model.regions[1]!.len), true);
    this.#memory.discard(gpa(at), count);
    this.#model.discard(at, count);
  }

  [Symbol.dispose](): void {
    for (const source of this.#sources) source[Symbol.dispose]();
    this.#library.close();
  }

  #value(): void {
    const codec = this.#random.pick([u8, u16, u32]);
    const size = this.#random.chance(0.2) ? 8 : codec.byteLength;
    const at = this.place(size);
    if (size === 8) this.#memory.writeObj(u64, 7n, gpa(at));
    else this.#memory.writeObj(codec, this.#random.int(256), gpa(at));
    this.#model.write(at, size);
  }

  #bytes(): void {
    const count = 1 + this.#random.int(this.#random.chance(0.2) ? this.#buffer.length : 64);
    const at = this.place(count);
    this.#memory.write(this.#buffer.subarray(0, count), gpa(at));
    this.#model.write(at, count);
  }

  #store(): void {
    const at = this.aligned(4);
    this.#memory.store(u32, at >>> 2, gpa(at));
    this.#model.write(at, 4);
  }

  #atomic(): void {
    const at = this.aligned(8);
    this.#memory.getAtomicRef(u64, gpa(at)).fetchAdd(1n);
    this.#model.write(at, 8);
  }

  // read(2), and readv(2) across regions.
  #stream(): void {
    const count = 1 + this.#random.int(2 * pageSize());
    const at = this.place(count);
    const fd = new Fd(this.#random.pick(this.#sources).fd);
    this.#memory.readExactVolatileFrom(gpa(at), fd, count);
    this.#model.write(at, count);
  }

  #view(): void {
    const at = this.place(1, true);
    const [region, offset] = this.#find(at);
    this.#views[region]![offset] = at;
    this.#model.write(at, 1);
  }

  #host(): void {
    const count = 1 + this.#random.int(pageSize());
    const at = this.place(count, true);
    const [region, offset] = this.#find(at);
    this.#library.symbols.memset(this.#hosts[region]! + BigInt(offset), 3, BigInt(count));
    this.#model.write(at, count);
  }

  #fill(): void {
    const count = 1 + this.#random.int(pageSize());
    const at = this.place(count);
    this.#memory.fill(gpa(at), count, 9);
    this.#model.write(at, count);
  }

  // No write.
  #read(): void {
    this.#memory.readObj(u64, gpa(this.place(8)));
    this.#memory.load(u32, gpa(this.aligned(4)));
    if (this.#random.chance(0.2)) {
      this.#memory.read(this.#buffer, gpa(this.place(this.#buffer.length)));
    }
  }

  #find(at: number): [region: number, offset: number] {
    const { regions } = this.#model;
    const region = regions.findLastIndex(({ startAddr }) => startAddr <= at);
    return [region, at - regions[region]!.startAddr];
  }
}

/** A Worker that writes to the same memory. */
export class WorkerWriter implements AsyncDisposable {
  readonly #worker = new Worker(new URL("./writing_worker.ts", import.meta.url), {
    type: "module",
  });

  /** Starts it. */
  static async start(memory: GuestMemoryMmap): Promise<WorkerWriter> {
    const writer = new WorkerWriter();
    await writer.#ask({ handle: memory.share() });
    return writer;
  }

  /** Makes it write. The promise is resolved when it has. */
  write(request: Exclude<WritingRequest, "end">): Promise<void> {
    return this.#ask(request);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ask("end");
    this.#worker.terminate();
  }

  #ask(request: WritingRequest): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = () => resolve();
      this.#worker.onerror = ({ message }) => reject(new Error(message));
      this.#worker.postMessage(request);
    });
  }
}
