import { assertEquals } from "@std/assert";
import {
  AtomicBitmap,
  GuestMemoryError,
  GuestMemoryHeap,
  type IoMemory,
  IommuMemory,
  Permissions,
  struct,
  u16,
  u32,
  u64,
} from "../../mod.ts";
import { TableIommu } from "../support/iommu.ts";
import { content, gpa } from "../support/values.ts";

const { Read, ReadWrite, Write } = Permissions;

const Descriptor = struct({ addr: u64, len: u32, flags: u16, next: u16 });
const UsedElement = struct({ id: u32, len: u32 });
const NEXT = 1;
const WRITABLE = 2;

/** A virtqueue device that answers every request with its text in capitals. */
class Shouter {
  readonly #memory: IoMemory;
  readonly #size = 4;
  #seen = 0;

  // Where the rings begin, as the driver set it.
  readonly #descriptors = gpa(0x1000);
  readonly #available = gpa(0x2000);
  readonly #used = gpa(0x3000);

  constructor(memory: IoMemory) {
    this.#memory = memory;
  }

  /** Answers what is there, and returns how many chains were wrong. */
  run(): number {
    let wrong = 0;
    const index = this.#memory.load(u16, gpa(this.#available + 2));
    for (; this.#seen !== index; this.#seen = this.#seen + 1 & 0xffff) {
      const slot = this.#seen % this.#size;
      const id = this.#memory.readObj(u16, gpa(this.#available + 4 + 2 * slot));
      let len = 0;
      try {
        len = this.#answer(id);
      } catch (error) {
        if (!(error instanceof GuestMemoryError || error instanceof RangeError)) throw error;
        wrong++;
      }
      this.#memory.writeObj(UsedElement, { id, len }, gpa(this.#used + 4 + 8 * slot));
      this.#memory.store(u16, this.#seen + 1 & 0xffff, gpa(this.#used + 2));
    }
    return wrong;
  }

  #answer(id: number): number {
    const request: number[] = [];
    let written = 0;
    for (let links = 0; links < this.#size; links++) {
      const descriptor = this.#memory.readObj(
        Descriptor,
        gpa(this.#descriptors + 16 * (id % this.#size)),
      );
      const addr = gpa(descriptor.addr);
      if (descriptor.flags & WRITABLE) {
        const text = new TextDecoder().decode(Uint8Array.from(request)).toUpperCase();
        const answer = new TextEncoder().encode(text).subarray(0, descriptor.len);
        this.#memory.writeSlice(answer, addr);
        written += answer.length;
      } else {
        const text = new Uint8Array(Math.min(descriptor.len, 64));
        this.#memory.readSlice(text, addr);
        request.push(...text);
      }
      if (!(descriptor.flags & NEXT)) return written;
      id = descriptor.next;
    }
    throw new RangeError("The chain has no end");
  }
}

/** The driver's side, over memory that it sees at the addresses that it gives to the device. */
class Driver {
  readonly #memory: IoMemory;
  #index = 0;

  constructor(memory: IoMemory) {
    this.#memory = memory;
  }

  describe(id: number, addr: bigint, len: number, flags: number, next = 0): void {
    this.#memory.writeObj(Descriptor, { addr, len, flags, next }, gpa(0x1000 + 16 * id));
  }

  offer(id: number): void {
    this.#memory.writeObj(u16, id, gpa(0x2004 + 2 * (this.#index++ % 4)));
    this.#memory.store(u16, this.#index, gpa(0x2002));
  }

  used(slot: number): { id: number; len: number } {
    return this.#memory.readObj(UsedElement, gpa(0x3004 + 8 * slot));
  }
}

const TEXT = new TextEncoder().encode("the quick brown fox jumps over the lazy dog");

function answersRequests(device: IoMemory, driver: IoMemory): void {
  const guest = new Driver(driver);
  const shouter = new Shouter(device);
  driver.writeSlice(TEXT, gpa(0x5ff0));
  guest.describe(0, 0x5ff0n, 20, NEXT, 1);
  guest.describe(1, 0x6004n, 23, NEXT, 2);
  guest.describe(2, 0x7fe0n, 100, WRITABLE);
  guest.offer(0);
  assertEquals([shouter.run(), guest.used(0)], [0, { id: 0, len: TEXT.length }]);
  const answer = new TextDecoder().decode(content(driver, 0x7fe0, TEXT.length));
  assertEquals(answer, "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG");

  // What a hostile driver writes: addresses that are nowhere, and a chain without end.
  guest.describe(0, 0x9000n, 8, 0);
  guest.describe(1, 2n ** 64n - 1n, 8, 0);
  guest.describe(2, 0x5000n, 8, NEXT, 2);
  guest.describe(3, 0x8fffn, 8, WRITABLE);
  for (const id of [0, 1, 2, 0xffff]) guest.offer(id);
  assertEquals([shouter.run(), guest.used(0), shouter.run()], [3, { id: 0xffff, len: 0 }, 0]);
}

Deno.test("a virtio device works on physical memory", () => {
  const memory = GuestMemoryHeap.fromRanges([[gpa(0x1000), 0x5000], [gpa(0x6000), 0x3000]]);
  answersRequests(memory, memory);
});

Deno.test("a virtio device works behind an IOMMU, with the rights that each page needs", () => {
  const physical = GuestMemoryHeap.fromRanges([[gpa(0), 0x8800], [gpa(0x8800), 0x7800]]);
  const pages: [iova: number, rights: Permissions][] = [
    [0x1000, Read],
    [0x2000, Read],
    [0x3000, Write],
    [0x5000, Read],
    [0x6000, Read],
    [0x7000, Write],
    [0x8000, Write],
  ];
  const forDevice = new TableIommu();
  const forDriver = new TableIommu();
  for (const [i, [iova, rights]] of pages.entries()) {
    forDevice.map(iova, 0xf000 - i * 0x2000, 0x1000, rights);
    forDriver.map(iova, 0xf000 - i * 0x2000, 0x1000, ReadWrite);
  }
  const bitmap = new AtomicBitmap(0xa000, 0x1000);
  const device = new IommuMemory(physical, forDevice, { bitmap });
  answersRequests(device, new IommuMemory(physical, forDriver));
  assertEquals([...bitmap.dirtyRuns()], [[0x3000, 0x1000], [0x7000, 0x2000]]);
});
