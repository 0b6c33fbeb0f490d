import { assert, assertEquals } from "@std/assert";
import { AtomicBitmap, EventFd, GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { asSlice, struct, u32le, u64le } from "@vmm/guest-memory";
import { type DescriptorChain, MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";
import { Status, Type } from "../../../examples/vhost_user/block_format.ts";
import type { DiskOptions, Image } from "../../../examples/vhost_user/block_device.ts";
import { DirectDevice } from "../../../examples/vhost_user/direct_device.ts";
import { openImage } from "../../../examples/vhost_user/image.ts";
import { Random } from "../../hostile/random.ts";
import { pagesOf } from "../../support/bitmaps.ts";
import { open } from "../../support/posix.ts";
import { directTest } from "./device_kinds.ts";
import { placeBuffers } from "./front_end.ts";

const SECTOR = 512;
const PAGE = 4096;
const REGION = 2 ** 21;
// Where data is: a region of its own, and another one right after it.
const DATA = 2 ** 32;
const DISK = 2 ** 20;

const RequestHead = struct({ type: u32le, reserved: u32le, sector: u64le });

/** A device in this thread, with its driver and its memory. */
class World implements Disposable {
  readonly #resources = new DisposableStack();
  readonly bitmaps: AtomicBitmap[] = [];
  readonly memory: GuestMemoryMmap;
  readonly driver: MockDriver;
  readonly queue: Virtqueue;
  readonly event: EventFd;
  readonly device: DirectDevice;
  readonly path: string;

  constructor(isReadOnly = false, change: Partial<Image & DiskOptions> = {}) {
    const resources = this.#resources;
    this.memory = resources.use(GuestMemoryMmap.fromRanges(
      [0, DATA, DATA + REGION].map((start) => [GuestAddress(start), REGION] as const),
      {
        bitmap: (length) => {
          const bitmap = new AtomicBitmap(length, PAGE);
          this.bitmaps.push(bitmap);
          return bitmap;
        },
      },
    ));
    const ring = { size: 128, base: GuestAddress(0), length: REGION };
    this.driver = new MockDriver(this.memory, ring);
    this.queue = resources.use(new Virtqueue(this.memory, this.driver.state));
    this.event = resources.use(new EventFd());
    this.path = resources.adopt(Deno.makeTempFileSync(), Deno.removeSync);
    Deno.truncateSync(this.path, DISK);
    const image = resources.use(openImage(this.path, isReadOnly, true));
    const { isWriteThrough = false, ...others } = change;
    this.device = resources.use(
      new DirectDevice({ ...image, ...others }, { isWriteThrough }, this.event.fd),
    );
  }

  /** Adds a request whose buffers are at these offsets of the data. Returns its head. */
  add(type: number, sector: number, places: readonly (readonly [at: number, length: number])[]) {
    const head = asSlice(RequestHead, { type, reserved: 0, sector: BigInt(sector) });
    const lengths = places.map(([, length]) => length);
    const isRead = type === Type.in;
    const index = this.driver.add(
      isRead ? [head] : [head, ...lengths.map((length) => new Uint8Array(length))],
      isRead ? [...lengths, 1] : [1],
    )!;
    placeBuffers(this.memory, this.driver, index, places.map(([at]) => DATA + at));
    return index;
  }

  /** Begins with the next request. Returns whether the storage has it. */
  begin(): boolean {
    const chain = this.queue.pop()!;
    const written = this.device.begin(chain, this.memory);
    if (written !== undefined) this.queue.addUsed(chain, written);
    return written === undefined;
  }

  readonly end = (chain: DescriptorChain, written: number) => this.queue.addUsed(chain, written);

  /** The status of each request that has ended, by its head. */
  statuses(): Map<number, number> {
    const statuses = new Map<number, number>();
    for (let used; (used = this.driver.takeUsed()) !== undefined;) {
      statuses.set(used.head, used.written.at(-1)!);
    }
    return statuses;
  }

  /** Executes a request. Returns its status, and whether the storage had it. */
  run(type: number, sector: number, ...places: (readonly [at: number, length: number])[]) {
    const head = this.add(type, sector, places);
    const isDirect = this.begin();
    this.device.drain(this.end);
    return { status: this.statuses().get(head), isDirect };
  }

  data(at: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.memory.readSlice(bytes, GuestAddress(DATA + at));
    return bytes;
  }

  /** Pages of data that are dirty, from the first region on. Forgets them. */
  takeDirty(): number[] {
    const pages = pagesOf(this.bitmaps[1]!);
    pages.push(...pagesOf(this.bitmaps[2]!).map((page) => page + REGION / PAGE));
    for (const bitmap of this.bitmaps) bitmap.reset();
    return pages;
  }

  [Symbol.dispose](): void {
    this.#resources.dispose();
  }
}

function fill(world: World, at: number, length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length).map((_, i) => i * 7 + seed + (i >> 8));
  world.memory.writeSlice(bytes, GuestAddress(DATA + at));
  return bytes;
}

directTest("DirectDevice moves aligned data by the storage itself, and marks what it read", () => {
  using world = new World();
  const data = fill(world, 0, 5 * SECTOR, 1);
  world.takeDirty();
  const ok = { status: Status.ok, isDirect: true };
  assertEquals(world.run(Type.out, 3, [0, SECTOR], [SECTOR, 4 * SECTOR]), ok);
  assertEquals(world.takeDirty(), []);
  assertEquals(Deno.readFileSync(world.path).subarray(3 * SECTOR, 8 * SECTOR), data);
  // A buffer over the boundary of two regions.
  const before = REGION - 2 * SECTOR;
  assertEquals(world.run(Type.in, 3, [before, 4 * SECTOR], [3 * PAGE, SECTOR]), ok);
  assertEquals(world.data(before, 4 * SECTOR), data.subarray(0, 4 * SECTOR));
  assertEquals(world.data(3 * PAGE, SECTOR), data.subarray(4 * SECTOR));
  assertEquals(world.takeDirty(), [3, REGION / PAGE - 1, REGION / PAGE]);
  assertEquals(world.run(Type.flush, 0), ok);
});

directTest("DirectDevice executes by way of the page cache what storage cannot", () => {
  using world = new World();
  const ok = { status: Status.ok, isDirect: false };
  const data = fill(world, 16, 2 * SECTOR, 2);
  assertEquals(world.run(Type.out, 0, [16, 2 * SECTOR]), ok);
  world.takeDirty();
  assertEquals(world.run(Type.in, 0, [PAGE, 100], [2 * PAGE, 2 * SECTOR - 100]), ok);
  assertEquals(world.data(PAGE, 100), data.subarray(0, 100));
  assertEquals(world.data(2 * PAGE, 2 * SECTOR - 100), data.subarray(100));
  assertEquals(world.takeDirty(), [1, 2]);
  // What was written so is there for the storage too.
  assertEquals(world.run(Type.in, 0, [0, 2 * SECTOR]), { status: Status.ok, isDirect: true });
  assertEquals(world.data(0, 2 * SECTOR), data);
});

directTest("DirectDevice refuses what is beyond the image, or in a hole of memory", () => {
  using world = new World();
  const refused = { status: Status.ioError, isDirect: false };
  assertEquals(world.run(Type.in, DISK / SECTOR - 1, [0, 2 * SECTOR]), refused);
  assertEquals(world.run(Type.out, 2 ** 40, [0, SECTOR]), refused);
  assertEquals(world.run(Type.in, 0, [2 * REGION - SECTOR, 2 * SECTOR]), refused);
  // The image has shrunk since: the storage has less than it was asked for.
  Deno.truncateSync(world.path, DISK / 2);
  const short = { status: Status.ioError, isDirect: true };
  assertEquals(world.run(Type.in, DISK / 2 / SECTOR - 8, [0, 16 * SECTOR]), short);
  assertEquals(world.run(Type.in, DISK / SECTOR - 8, [0, SECTOR]), short);
  assertEquals(world.run(Type.in, 0, [0, SECTOR]), { status: Status.ok, isDirect: true });
});

directTest("DirectDevice does not write to an image that is only read", () => {
  using world = new World(true);
  assertEquals(world.run(Type.out, 0, [0, SECTOR]).status, Status.ioError);
  assertEquals(world.run(Type.flush, 0).status, Status.ok);
  assertEquals(world.run(Type.in, 0, [0, SECTOR]), { status: Status.ok, isDirect: true });
  assertEquals(Deno.readFileSync(world.path), new Uint8Array(DISK));
});

directTest("an error of the storage is one of the request, and is not tried again", () => {
  using full = open("/dev/full", "r+");
  using world = new World(false, { directFd: full.fd });
  const failed = { status: Status.ioError, isDirect: true };
  assertEquals(world.run(Type.out, 0, [0, SECTOR]), failed);
  using other = new World(false, { fd: full.fd });
  assertEquals(other.run(Type.out, 0, [16, SECTOR]), { ...failed, isDirect: false });
  // No file: it cannot be flushed.
  assertEquals(other.run(Type.flush, 0), failed);
  assertEquals(other.run(Type.out, 0, [0, SECTOR]), { status: Status.ok, isDirect: true });
});

directTest("a driver without flushes has all that it wrote in the storage", () => {
  // It takes all, and cannot be flushed.
  using sink = open("/dev/null", "r+");
  using world = new World(false, { fd: sink.fd, isWriteThrough: true });
  assertEquals(world.run(Type.out, 0, [16, SECTOR]).status, Status.ioError);
  using other = new World(false, { fd: sink.fd });
  assertEquals(other.run(Type.out, 0, [16, SECTOR]).status, Status.ok);
  const data = fill(world, 0, SECTOR, 4);
  assertEquals(world.run(Type.out, 1, [0, SECTOR]), { status: Status.ok, isDirect: true });
  assertEquals(Deno.readFileSync(world.path).subarray(SECTOR, 2 * SECTOR), data);
});

directTest("DirectDevice has many requests under way, each with its own data", async () => {
  using world = new World();
  const random = new Random(7);
  const disk = new Uint8Array(DISK);
  const seen = { storage: 0, cache: 0, early: 0 };
  const PLACE = 2 ** 15;
  for (let round = 0; round < 40; round++) {
    world.takeDirty();
    const count = 1 + random.int(30);
    const checks = new Map<number, () => void>();
    const expected = new Set<number>();
    for (let i = 0; i < count; i++) {
      const [start, length] = [i * PLACE, SECTOR * (1 + random.int(32))];
      // Every third batch has buffers that storage cannot use.
      const shift = round % 3 === 2 && random.chance(0.5) ? 16 : 0;
      const first = SECTOR * random.int(length / SECTOR);
      const at = i * PLACE + shift;
      const places = [[at, first], [at + PLACE / 2 + SECTOR, length - first]] as const;
      const used = places.filter(([, length]) => length > 0);
      const isRead = random.chance(0.5);
      if (isRead) {
        const was = disk.slice(start, start + length);
        for (const [at, length] of used) {
          for (let page = Math.floor(at / PAGE); page * PAGE < at + length; page++) {
            expected.add(page);
          }
        }
        const head = world.add(Type.in, start / SECTOR, used);
        checks.set(head, () => {
          const got = used.flatMap(([at, length]) => [...world.data(at, length)]);
          assertEquals(Uint8Array.from(got), was);
        });
      } else {
        const bytes = used.flatMap(([at, length]) => [...fill(world, at, length, round + i)]);
        disk.set(bytes, start);
        checks.set(world.add(Type.out, start / SECTOR, used), () => {});
      }
      assertEquals(world.begin(), shift === 0);
      shift === 0 ? seen.storage++ : seen.cache++;
    }
    // What the test itself wrote into buffers.
    world.takeDirty();
    const statuses = new Map<number, number>();
    const take = () => {
      for (const [head, status] of world.statuses()) statuses.set(head, status);
    };
    if (round % 2 === 0) {
      for (world.device.advance(world.end), take(); statuses.size < count; take()) {
        await world.event.wait();
        world.device.advance(world.end);
        seen.early++;
      }
    } else world.device.drain(world.end);
    take();
    assertEquals(statuses.size, count);
    for (const [head, check] of checks) {
      assertEquals(statuses.get(head), Status.ok);
      check();
    }
    if (round % 3 !== 2) assertEquals(world.takeDirty(), [...expected].sort((a, b) => a - b));
    assertEquals(Deno.readFileSync(world.path), disk);
  }
  assert(seen.storage > 300 && seen.cache > 50 && seen.early > 0, JSON.stringify(seen));
});
