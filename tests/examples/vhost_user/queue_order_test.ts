import { assert, assertEquals } from "@std/assert";
import { GuestAddress, u16le } from "@vmm/guest-memory";
import { Status, Type } from "../../../examples/vhost_user/block_format.ts";
import { Request } from "../../../examples/vhost_user/protocol.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { until } from "../../support/until.ts";
import { deviceTest, directTest } from "./device_kinds.ts";
import { startDevice } from "./device_process.ts";
import { FrontEnd, numbers } from "./front_end.ts";

const SECTOR = 512;
const MEBIBYTE = 2 ** 20;

directTest("requests end in the order of the ring, however the storage does them", async () => {
  await using device = await startDevice(MEBIBYTE, "--direct");
  using front = new FrontEnd(device.socket);
  await front.start();
  const disk = new Uint8Array(MEBIBYTE).map((_, i) => i * 5 + (i >> 9));
  await Deno.writeFile(device.image, disk);
  for (let round = 0; round < 5; round++) {
    await front.enable(false);
    // The storage has a whole mebibyte to read, while the device itself has the answer of the others.
    const slow = front.add(Type.in, 0, [], [MEBIBYTE / 2, MEBIBYTE / 2])!;
    front.place(slow, 0, MEBIBYTE / 2);
    const heads = [slow, front.add(Type.getId, 0, [], [20]), front.add(99, 0)];
    await front.enable(true);
    for (const head of heads) assertEquals((await front.nextUsed()).head, head);
    assertEquals(front.bytesAt(0, MEBIBYTE), disk);
  }
});

directTest("what was under way in a device that was killed is done by the next one", async () => {
  const disk = new Uint8Array(MEBIBYTE).map((_, i) => i * 3 + (i >> 9));
  for (let round = 0; round < 3; round++) {
    await using first = await startDevice(MEBIBYTE, "--direct");
    using front = new FrontEnd(first.socket);
    await Deno.writeFile(first.image, disk);
    await front.start();
    await front.enable(false);
    // Large ones, small ones, and ones that do not need the storage.
    const requests = Array.from({ length: 30 }, (_, i) => {
      const at = i * 2 ** 15;
      const length = [2 ** 15, 20, SECTOR][i % 3]!;
      const isRead = i % 3 !== 1;
      const head = front.add(isRead ? Type.in : Type.getId, at / SECTOR, [], [length])!;
      if (isRead) front.place(head, at);
      return { head, at, length, isRead };
    });
    await front.send(Request.setVringEnable, numbers([4, 0], [4, 1]));
    const used = () => {
      return front.memory.load(u16le, GuestAddress(front.driver.state.usedRing + 2));
    };
    // Before it has begun, or among its first requests: it is fast.
    for (const end = performance.now() + 5000; used() < round && performance.now() < end;);
    first.kill("SIGKILL");
    await first.ended;
    await using second = await startDevice(MEBIBYTE, "--direct");
    await Deno.writeFile(second.image, disk);
    front.connect(second.socket);
    // As QEMU does, which has no other.
    await front.start(used());
    for (const { head, at, length, isRead } of requests) {
      const { head: ended, written } = await front.nextUsed();
      assertEquals([ended, written.at(-1)], [head, Status.ok]);
      if (isRead) assertEquals(front.bytesAt(at, length), disk.subarray(at, at + length));
    }
  }
});

linuxTest(
  "a device that begins notifies the driver: one that was killed may not have",
  async () => {
    await using device = await startDevice(MEBIBYTE);
    using front = new FrontEnd(device.socket);
    await front.start();
    let isNotified = false;
    assert(await until(() => isNotified ||= front.call.read() !== undefined));
  },
);

deviceTest("a chain that breaks a rule ends its queue, and does not come back", async (...args) => {
  await using device = await startDevice(MEBIBYTE, "--keep", ...args);
  using front = new FrontEnd(device.socket);
  await front.start();
  await front.request(Type.getId, 0, [], [20]);
  await front.enable(false);
  front.add(Type.getId, 0, [], [20]);
  const broken = front.add(Type.getId, 0, [], [20])!;
  front.add(Type.getId, 0, [], [20]);
  // It leads back to itself.
  const at = GuestAddress(front.driver.state.descTable + broken * 16 + 14);
  front.memory.writeObj(u16le, broken, at);
  await front.enable(true);
  await front.error.wait();
  assert(await until(() => device.log.includes("queue 0 is broken")));
  assertEquals(front.driver.takeUsed()?.written.at(-1), Status.ok);
  assertEquals(front.driver.takeUsed(), undefined);
  // It begins there again, if the front-end wants that.
  assertEquals(await front.stopQueue(), 2);
});
