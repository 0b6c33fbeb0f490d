import { assert, assertEquals, assertRejects } from "@std/assert";
import { asSlice, EventFd, struct, SystemError, u32le, UnixSocket } from "@vmm/guest-memory";
import { Request } from "../../../examples/vhost_user/protocol.ts";
import { Random } from "../../hostile/random.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open, pipe } from "../../support/posix.ts";
import { until } from "../../support/until.ts";
import { deviceTest } from "./device_kinds.ts";
import { type DeviceProcess, startDevice } from "./device_process.ts";
import { FrontEnd, numbers, REGION, USER_ADDRESS } from "./front_end.ts";

// 100,000 were run; these are for each change.
const MESSAGES = Number(Deno.env.get("HOSTILE_MESSAGES") ?? 1000);

const Header = struct({ request: u32le, flags: u32le, size: u32le });
const REQUESTS = Object.values(Request);
const WORDS = [0, 1, 2, 7, 64, 128, 255, 256, 0x1000, 2 ** 31, 2 ** 32 - 1] as const;
const LONGS = [0n, 1n, 0x1000n, BigInt(REGION), USER_ADDRESS, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** Sends what a front-end might, and what none should. */
class Hostile {
  readonly #random: Random;
  readonly #front: FrontEnd;
  readonly #files: readonly number[];

  constructor(random: Random, front: FrontEnd, files: readonly number[]) {
    this.#random = random;
    this.#front = front;
    this.#files = files;
  }

  async send(): Promise<void> {
    const random = this.#random;
    const request = random.chance(0.95) ? random.pick(REQUESTS) : random.int(2 ** 32);
    const payload = this.#payload(request);
    const flags = random.pick([1, 1, 1, 1, 9, 9, 5, 0, 2]);
    const size = random.chance(0.97) ? payload.length : random.pick(WORDS);
    const fds = random.chance(0.6) ? this.#fitting(request) : this.#anything();
    const head = asSlice(Header, { request, flags, size });
    const bytes = Uint8Array.of(...head, ...payload);
    const end = random.chance(0.98) ? bytes.length : random.int(bytes.length);
    await this.#front.socket.send(bytes.subarray(0, Math.max(end, 1)), fds);
  }

  #payload(request: number): Uint8Array {
    const random = this.#random;
    const word = () => random.chance(0.6) ? random.int(3) : random.pick(WORDS);
    const long = () =>
      random.chance(0.5) ? USER_ADDRESS + BigInt(random.int(REGION)) : random.pick(LONGS);
    if (random.chance(0.1)) {
      return new Uint8Array(random.int(64)).map(() => random.int(256));
    }
    switch (request) {
      case Request.addMemReg:
      case Request.remMemReg:
        return random.chance(0.7)
          ? Uint8Array.of(...numbers([8, 0]), ...this.#front.region(random.int(2)))
          : numbers([8, 0], [8, long()], [8, long()], [8, long()], [8, long()]);
      case Request.setMemTable: {
        const count = random.int(4);
        const regions = Array.from({ length: count }, () => this.#front.region(random.int(2)));
        const all = numbers([4, random.chance(0.9) ? count : word()], [4, 0]);
        return Uint8Array.of(...all, ...regions.flatMap((region) => [...region]));
      }
      case Request.setVringAddr:
        return random.chance(0.7)
          ? this.#front.address(random.int(2))
          : numbers([4, word()], [4, word()], [8, long()], [8, long()], [8, long()], [8, long()]);
      case Request.setVringNum:
      case Request.setVringBase:
      case Request.setVringEnable:
      case Request.getVringBase:
        return numbers([4, random.chance(0.8) ? 0 : word()], [4, word()]);
      case Request.getConfig:
        return Uint8Array.of(
          ...numbers([4, word()], [4, word()], [4, 0]),
          ...new Uint8Array(random.int(300)),
        );
      case Request.setLogBase:
        return numbers([8, random.pick([0x1000n, 0x4000n, long()])], [
          8,
          random.pick([0n, long()]),
        ]);
      case Request.getFeatures:
      case Request.getProtocolFeatures:
      case Request.setOwner:
        return new Uint8Array();
      default:
        return numbers([8, random.chance(0.7) ? random.int(2) : long()]);
    }
  }

  // What the request wants.
  #fitting(request: number): number[] {
    switch (request) {
      case Request.addMemReg:
      case Request.setLogBase:
        return [this.#front.fdOf(this.#random.int(2))];
      case Request.setMemTable:
        return [0, 1].map((index) => this.#front.fdOf(index)).slice(0, this.#random.int(3));
      case Request.setVringKick:
      case Request.setVringCall:
      case Request.setVringErr:
        return [this.#random.pick([this.#front.kick, this.#front.call]).fd];
      default:
        return [];
    }
  }

  #anything(): number[] {
    return Array.from({ length: this.#random.int(4) }, () => this.#random.pick(this.#files));
  }
}

function descriptorsOf({ pid }: DeviceProcess): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

function linksOf({ pid }: DeviceProcess): string[] {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].flatMap(({ name }) => {
    try {
      return [Deno.readLinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      return []; // It is closed.
    }
  });
}

linuxTest(
  "no message of a front-end ends the device, blocks it, or costs it descriptors",
  async () => {
    await using device = await startDevice(2 ** 20, "--keep");
    await play(device).catch(async (error) => {
      // What it says of its end.
      await Promise.race([device.ended, new Promise((resolve) => setTimeout(resolve, 1000))]);
      throw new Error(device.log.slice(-2000), { cause: error });
    });
  },
);

linuxTest("a queue ends whatever its kick is", async () => {
  await using device = await startDevice(2 ** 20, "--keep");
  // A socket takes what the owner of the queue writes to it, which does not wake who waits for it.
  // Nobody can wait for the end of a pipe that is written to.
  const [socket, peer] = UnixSocket.pair();
  using _socket = socket;
  using _peer = peer;
  using channel = pipe();
  for (const fd of [socket.fd, channel.writer]) {
    using front = new FrontEnd(device.socket);
    await front.start();
    await front.send(Request.setVringKick, numbers([8, 0]), [fd]);
    assertEquals(await front.stopQueue(), 0);
    await front.startQueue();
    assertEquals(await front.read(0, 512), new Uint8Array(512));
  }
});

deviceTest("a queue that cannot be served holds nothing", async (...args) => {
  await using device = await startDevice(2 ** 20, "--keep", ...args);
  const [socket, peer] = UnixSocket.pair();
  using _socket = socket;
  using _peer = peer;
  const mappings = () => {
    return Deno.readTextFileSync(`/proc/${device.pid}/maps`).split("memfd:guest-memory").length - 1;
  };
  const rings = () => linksOf(device).filter((link) => link.includes("io_uring")).length;
  const before = rings();
  for (let round = 0; round < 4; round++) {
    using front = new FrontEnd(device.socket);
    await front.start();
    assertEquals(mappings(), 2);
    // An io_uring refuses what is no eventfd; and there is no power of two.
    if (args.length > 0 && round > 0) {
      await front.send(Request.setVringKick, numbers([8, 0]), [socket.fd]);
    } else await front.send(Request.setVringNum, numbers([4, 0], [4, 100]));
    await assertRejects(() => front.ask(Request.getFeatures));
    const isFree = () => mappings() === 0 && rings() === before;
    assert(await until(isFree), `${mappings()} mappings, ${rings()} rings`);
  }
});

async function play(device: DeviceProcess): Promise<void> {
  using zero = open("/dev/zero", "r");
  using event = new EventFd();
  const random = new Random(2026);
  // The first connection opens what stays open.
  for (let round = 0; round < 2; round++) {
    using front = new FrontEnd(device.socket);
    await front.start();
    await front.write(0, new Uint8Array(512));
  }
  await until(() => descriptorsOf(device) < 40);
  const before = descriptorsOf(device);
  for (let sent = 0; sent < MESSAGES;) {
    using front = new FrontEnd(device.socket);
    if (random.chance(0.5)) await front.start();
    const hostile = new Hostile(random, front, [zero.fd, event.fd, front.fdOf(0), front.kick.fd]);
    // The rings are hostile too.
    const rings = new Uint8Array(random.int(0x2000)).map(() => random.int(256));
    if (random.chance(0.5)) front.memory.writeSlice(rings, front.driver.state.descTable);
    const count = 1 + random.int(60);
    try {
      for (let i = 0; i < count; i++, sent++) {
        await hostile.send();
        if (random.chance(0.2)) front.kick.write();
        // Its answers.
        front.socket.receiveSync();
      }
    } catch (error) {
      // The device has ended the connection.
      assert(error instanceof SystemError, `${error}`);
    }
  }
  using front = new FrontEnd(device.socket);
  await front.start();
  await front.write(3, new Uint8Array(512).fill(9));
  assertEquals((await front.read(3, 512))[0], 9);
  front.socket.close();
  assert(
    await until(() => descriptorsOf(device) <= before),
    `${descriptorsOf(device)} > ${before}`,
  );
  const unexpected = device.log.split("\n").filter((line) => {
    return line !== "" &&
      !/^vhost-blk: (listening|the connection ends|queue \d+ is broken)/.test(line);
  });
  assertEquals(unexpected, []);
}

linuxTest(
  "a front-end that says nothing, or stops in the middle, does not block its end",
  async () => {
    await using device = await startDevice(2 ** 20, "--keep");
    for (const bytes of [0, 5, 12, 15]) {
      using socket = UnixSocket.connect(device.socket);
      const head = asSlice(Header, { request: Request.setFeatures, flags: 1, size: 8 });
      if (bytes > 0) await socket.send(Uint8Array.of(...head, 0, 0, 0).subarray(0, bytes));
    }
    using front = new FrontEnd(device.socket);
    await front.start();
    assertEquals(await front.read(0, 512), new Uint8Array(512));
  },
);
