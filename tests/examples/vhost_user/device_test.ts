import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Status, Type } from "../../../examples/vhost_user/block_format.ts";
import { Request } from "../../../examples/vhost_user/protocol.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { Random } from "../../hostile/random.ts";
import { deviceTest } from "./device_kinds.ts";
import { startDevice } from "./device_process.ts";
import { FrontEnd, numbers } from "./front_end.ts";

const SECTOR = 512;

function pattern(bytes: number, seed: number): Uint8Array {
  return new Uint8Array(bytes).map((_, i) => i * 7 + seed + (i >> 8));
}

deviceTest(
  "the device reads and writes its image, and ends with the front-end",
  async (...args) => {
    await using device = await startDevice(2 ** 20, ...args);
    {
      using front = new FrontEnd(device.socket);
      await front.start();
      const data = pattern(8 * SECTOR, 3);
      await front.write(5, data.subarray(0, 700), data.subarray(700));
      assertEquals(await front.read(5, 100, 8 * SECTOR - 100), data);
      assertEquals(await front.request(Type.flush, 0), Uint8Array.of(Status.ok));
      assertEquals(Deno.readFileSync(device.image).subarray(5 * SECTOR, 13 * SECTOR), data);
      const [id] = [await front.request(Type.getId, 0, [], [20])];
      assertEquals(new TextDecoder().decode(id.subarray(0, 4)), "deno");
      assertEquals(await front.request(99, 0), Uint8Array.of(Status.unsupported));
      assertEquals(await front.request(Type.out, 2047, [data]), Uint8Array.of(Status.ioError));
    }
    assertEquals(await device.ended, 0, device.log);
  },
);

deviceTest("the device discards, and writes zeros", async (...args) => {
  await using device = await startDevice(2 ** 20, ...args);
  using front = new FrontEnd(device.socket);
  await front.start();
  const data = pattern(2 ** 17, 9);
  await front.write(0, data);
  const range = (sector: number, count: number, flags = 0) => {
    return numbers([8, sector], [4, count], [4, flags]);
  };
  assertEquals(await front.request(Type.discard, 0, [range(16, 64)]), Uint8Array.of(Status.ok));
  const zeroes = Uint8Array.of(...range(100, 8), ...range(120, 8, 1));
  assertEquals(await front.request(Type.writeZeroes, 0, [zeroes]), Uint8Array.of(Status.ok));
  for (const [start, count] of [[16, 64], [100, 8], [120, 8]] as const) {
    data.fill(0, start * SECTOR, (start + count) * SECTOR);
  }
  assertEquals(await front.read(0, 2 ** 17), data);
  const wrong: [number, Uint8Array, number][] = [
    [Type.discard, range(2047, 2), Status.ioError],
    [Type.discard, range(0, 8, 1), Status.unsupported],
    [Type.writeZeroes, range(0, 8, 2), Status.unsupported],
    [Type.writeZeroes, new Uint8Array(15), Status.unsupported],
    [Type.writeZeroes, range(2 ** 40, 8), Status.ioError],
  ];
  for (const [type, payload, status] of wrong) {
    assertEquals(await front.request(type, 0, [payload]), Uint8Array.of(status));
  }
});

deviceTest("a front-end that comes again continues where the queue was", async (...args) => {
  await using device = await startDevice(2 ** 20, "--keep", ...args);
  using front = new FrontEnd(device.socket);
  await front.start();
  await front.write(1, pattern(SECTOR, 1));
  const base = await front.stopQueue();
  assertEquals(base, 1);
  await front.startQueue(base);
  assertEquals(await front.read(1, SECTOR), pattern(SECTOR, 1));
  for (let round = 0; round < 3; round++) {
    using other = new FrontEnd(device.socket);
    front.socket.close();
    await other.start();
    assertEquals(await other.read(1, SECTOR), pattern(SECTOR, 1));
    other.socket.close();
  }
  device.kill("SIGTERM");
  assertEquals(await device.ended, 0, device.log);
});

deviceTest("memory is plugged in and out while the queue is served", async (...args) => {
  await using device = await startDevice(2 ** 20, ...args);
  using front = new FrontEnd(device.socket);
  await front.start();
  const second = () => Uint8Array.of(...numbers([8, 0]), ...front.region(1));
  for (let round = 0; round < 3; round++) {
    await front.ask(Request.remMemReg, second(), [], 9);
    await front.write(round, pattern(SECTOR, round));
    await front.ask(Request.addMemReg, second(), [front.fdOf(1)], 9);
    assertEquals(await front.read(round, SECTOR), pattern(SECTOR, round));
  }
});

deviceTest(
  "the dirty log has all pages that the device writes, while it is on",
  async (...args) => {
    await using device = await startDevice(2 ** 20, ...args);
    using front = new FrontEnd(device.socket);
    await front.start();
    const { Backing, GuestAddress, GuestMemoryMmap } = await import("@vmm/guest-memory");
    using log = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 18]], {
      backing: Backing.memfd(),
    });
    const [{ fd }] = log.describe() as unknown as [{ fd: number }];
    const bytes = () => {
      const all = new Uint8Array(2 ** 18);
      log.readSlice(all, GuestAddress(0));
      return all.reduce<number[]>((pages, byte, at) => {
        for (let bit = 0; bit < 8; bit++) if (byte >> bit & 1) pages.push(at * 8 + bit);
        return pages;
      }, []);
    };
    await front.ask(Request.setLogBase, numbers([8, 2 ** 18], [8, 0]), [fd]);
    await front.read(0, SECTOR);
    assertEquals(bytes(), []);
    const features = await front.askNumber(Request.getFeatures);
    await front.ask(Request.setFeatures, numbers([8, features]), [], 9);
    await front.ask(Request.setVringAddr, front.address(1), [], 9);
    await front.read(0, 4096);
    const { usedRing } = front.driver.state;
    assert(bytes().includes(Math.floor(usedRing / 4096)), `${bytes()}`);
    assert(bytes().length >= 2, `${bytes()}`);
    // Where storage writes to by itself.
    await front.enable(false);
    front.place(front.add(Type.in, 0, [], [4096, 512])!, 0x5000, 0x9000);
    await front.enable(true);
    await front.nextUsed();
    const first = 2 ** 32 / 4096;
    assertEquals(bytes().filter((page) => page >= first), [first + 5, first + 9]);
    await front.ask(Request.setFeatures, numbers([8, features & ~(1n << 26n)]), [], 9);
    log.fill(GuestAddress(0), 2 ** 18, 0);
    await front.read(0, 4096);
    assertEquals(bytes(), []);
  },
);

deviceTest("many requests are under way at a time, each with its own data", async (...args) => {
  await using device = await startDevice(2 ** 22, ...args);
  using front = new FrontEnd(device.socket);
  await front.start();
  const disk = pattern(2 ** 21, 5);
  for (let at = 0; at < disk.length; at += 2 ** 17) {
    await front.write(at / SECTOR, disk.subarray(at, at + 2 ** 17));
  }
  const random = new Random(12);
  const sectors = new Map<number, number>();
  for (let batch = 0; batch < 30; batch++) {
    for (let i = 0; i < 32; i++) {
      const sector = random.int(2 ** 12 - 8);
      sectors.set(front.add(Type.in, sector, [], [3 * SECTOR, 5 * SECTOR]), sector);
    }
    front.kick.write();
    for (let left = 32; left > 0;) {
      const used = front.driver.takeUsed();
      if (used === undefined) {
        await front.call.wait();
        continue;
      }
      left--;
      const start = sectors.get(used.head)! * SECTOR;
      assertEquals(used.written.at(-1), Status.ok);
      assertEquals(used.written.subarray(0, -1), disk.subarray(start, start + 8 * SECTOR));
    }
  }
});

linuxTest(
  "a device takes the socket of one that was killed, and not of one that listens",
  async () => {
    await using device = await startDevice(2 ** 20);
    const again = () => {
      const program = new URL("../../../examples/vhost_user.ts", import.meta.url).pathname;
      const args = ["--socket", device.socket, "--image", device.image];
      return new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", "-A", program, ...args],
        stdin: "null",
        stderr: "piped",
        stdout: "null",
      }).spawn();
    };
    const refused = await again().output();
    assertEquals(refused.code, 1);
    assertStringIncludes(new TextDecoder().decode(refused.stderr), "EADDRINUSE");
    device.kill("SIGKILL");
    await device.ended;
    const other = again();
    const log = other.stderr.getReader();
    while (!new TextDecoder().decode((await log.read()).value).includes("listening"));
    {
      using front = new FrontEnd(device.socket);
      await front.start();
      await front.write(0, pattern(SECTOR, 1));
    }
    assertEquals((await other.status).code, 0);
    await log.cancel();
  },
);
