import { assert, assertEquals, assertRejects } from "@std/assert";
import { existsSync } from "node:fs";
import { UnixSocket } from "@vmm/guest-memory";
import { Status, Type } from "../../../examples/vhost_user/block_format.ts";
import { Request } from "../../../examples/vhost_user/protocol.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { until } from "../../support/until.ts";
import { deviceTest } from "./device_kinds.ts";
import { startDevice } from "./device_process.ts";
import { FrontEnd, numbers } from "./front_end.ts";

const SECTOR = 512;

function sector(value: number): Uint8Array {
  return new Uint8Array(SECTOR).fill(value);
}

deviceTest("a front-end uses some of the queues, each at its own pace", async (...args) => {
  await using device = await startDevice(2 ** 20, "--queues", "4", "--keep", ...args);
  {
    using front = new FrontEnd(device.socket, 2);
    await front.start();
    assertEquals(await front.askNumber(Request.getQueueNum), 4n);
    using other = new FrontEnd(front, 3);
    await other.startQueue();
    for (let i = 0; i < 20; i++) {
      await Promise.all([front.write(i, sector(i)), other.write(100 + i, sector(100 + i))]);
    }
    assertEquals(await front.stopQueue(), 20);
    // The other one does not stop with it.
    assertEquals(await other.read(3, SECTOR), sector(3));
    assertEquals(await other.stopQueue(), 21);
  }
  {
    using front = new FrontEnd(device.socket, 4);
    await assertRejects(() => front.start());
  }
  using front = new FrontEnd(device.socket);
  await front.start();
  assertEquals(await front.read(103, SECTOR), sector(103));
});

deviceTest(
  "a queue stays enabled while it is stopped, and begins with its kick",
  async () => {
    await using device = await startDevice(2 ** 20);
    using front = new FrontEnd(device.socket);
    await front.start();
    await front.write(0, sector(1));
    const base = await front.stopQueue();
    front.add(Type.getId, 0, [], [20]);
    front.kick.write();
    await front.ask(Request.getFeatures);
    assertEquals(front.driver.takeUsed(), undefined);
    // Base and kick are what was lost.
    await front.send(Request.setVringBase, numbers([4, 0], [4, base]));
    await front.send(Request.setVringKick, numbers([8, 0]), [front.kick.fd]);
    assertEquals((await front.nextUsed()).written.at(-1), Status.ok);
    // Disabled, it does nothing.
    await front.enable(false);
    front.add(Type.getId, 0, [], [20]);
    front.kick.write();
    await front.ask(Request.getFeatures);
    assertEquals(front.driver.takeUsed(), undefined);
    // What it did not see it does once it is enabled: the kick may be gone by then.
    front.kick.read();
    await front.enable(true);
    assertEquals((await front.nextUsed()).written.at(-1), Status.ok);
  },
);

linuxTest("a device that is reset can be set up again", async () => {
  await using device = await startDevice(2 ** 20);
  using front = new FrontEnd(device.socket);
  await front.start();
  await front.write(0, sector(1));
  await front.ask(Request.resetDevice, new Uint8Array(), [], 9);
  // Nothing is served before it is set up.
  await front.ask(Request.setVringKick, numbers([8, 0]), [front.kick.fd], 9);
  front.add(Type.getId, 0, [], [20]);
  front.kick.write();
  await front.ask(Request.getFeatures);
  assertEquals(front.driver.takeUsed(), undefined);
  await front.startQueue(1);
  assertEquals((await front.nextUsed()).written.at(-1), Status.ok);
  assertEquals(await front.read(0, SECTOR), sector(1));
});

linuxTest("the configuration can be read in any part, and not be set", async () => {
  await using device = await startDevice(2 ** 20, "--queues", "3");
  using front = new FrontEnd(device.socket);
  await front.start();
  const ask = async (offset: number, size: number) => {
    const request = Uint8Array.of(
      ...numbers([4, offset], [4, size], [4, 0]),
      ...new Uint8Array(size).fill(0xee),
    );
    return (await front.ask(Request.getConfig, request)).subarray(12);
  };
  const all = await ask(0, 64);
  const view = new DataView(all.buffer, all.byteOffset);
  assertEquals([view.getBigUint64(0, true), view.getUint16(34, true)], [2048n, 3]);
  assertEquals(await ask(32, 8), all.subarray(32, 40));
  assertEquals(await ask(250, 6), new Uint8Array(6));
  const one = Uint8Array.of(...numbers([4, 0], [4, 1], [4, 0]), 0);
  await front.ask(Request.setConfig, one, [], 9);
  assertEquals(await ask(0, 64), all);
});

linuxTest(
  "a device answers that it failed where it is asked, and ends the connection",
  async () => {
    await using device = await startDevice(2 ** 20, "--keep");
    using front = new FrontEnd(device.socket);
    await front.start();
    const wrong = Uint8Array.of(...numbers([8, 0]), ...front.region(1));
    // It is there already.
    const answer = await front.ask(Request.addMemReg, wrong, [front.fdOf(1)], 9);
    assertEquals(answer, numbers([8, 1]));
    await assertRejects(() => front.ask(Request.getFeatures));
  },
);

linuxTest("a message has no more descriptors than a table of memory", async () => {
  await using device = await startDevice(2 ** 20, "--keep");
  using front = new FrontEnd(device.socket);
  await front.start();
  const fds = Array.from({ length: 8 }, () => front.kick.fd);
  await assertRejects(async () => {
    // Each byte has some.
    for (const byte of [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]) {
      await front.socket.send(Uint8Array.of(byte), fds);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await front.ask(Request.getFeatures);
  });
  assert(await until(() => device.log.includes("16 descriptors")), device.log);
});

deviceTest("a device ends by a signal whatever its front-ends do", async (...args) => {
  await using device = await startDevice(2 ** 20, "--keep", ...args);
  using front = new FrontEnd(device.socket);
  await front.start();
  await front.write(0, sector(7));
  // One that waits meanwhile, and one that has sent a part of a message.
  using _waiting = UnixSocket.connect(device.socket);
  await front.socket.send(Uint8Array.of(1, 0));
  // Requests are under way.
  for (let i = 0; i < 30; i++) front.add(Type.in, i * 8, [], [2 ** 15]);
  front.kick.write();
  device.kill("SIGTERM");
  assertEquals(await device.ended, 0, device.log);
  assert(await until(() => !existsSync(device.socket)));
});
