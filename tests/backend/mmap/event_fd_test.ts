import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { duplicate } from "../../../ffi/descriptor.ts";
import { DescriptorClosed, EventFd, SystemError } from "../../../mod.ts";
import { isCloseOnExec, NOT_OPEN, openDescriptors } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { eventFd } from "../../support/posix.ts";

linuxTest("EventFd.read() takes what write() added, and is undefined at 0", () => {
  using event = new EventFd(3);
  event.write();
  event.write(2);
  event.write(2n ** 40n);
  event.write(0);
  assertEquals([event.read(), event.read()], [2n ** 40n + 6n, undefined]);
});

linuxTest("an EventFd that is a semaphore gives 1 at a time", async () => {
  using event = new EventFd(2, { semaphore: true });
  assertEquals([event.read(), await event.wait(), event.read()], [1n, 1n, undefined]);
});

linuxTest("EventFd.wait() waits for a write, and each waiter gets its own", async () => {
  using event = new EventFd(0, { semaphore: true });
  const waits = [1, 2, 3].map(() => event.wait());
  event.write(2);
  const first = await Promise.any(waits);
  event.write();
  assertEquals([first, await Promise.all(waits), event.read()], [1n, [1n, 1n, 1n], undefined]);
});

linuxTest("EventFd refuses values beyond its 64 bits", () => {
  using event = new EventFd(2 ** 32 - 1);
  for (const value of [-1, 0.5, NaN, 2 ** 53, -1n, 2n ** 64n - 1n, 2n ** 64n]) {
    assertThrows(() => event.write(value), RangeError);
  }
  for (const value of ["1", null, {}, true]) {
    assertThrows(() => event.write(value as unknown as number), TypeError);
  }
  event.write(2n ** 64n - 2n - (2n ** 32n - 1n));
  assertEquals(assertThrows(() => event.write(), SystemError).code, "EAGAIN");
  assertEquals(event.read(), 2n ** 64n - 2n);
  for (const initial of [-1, 0.5, NaN, 2 ** 32]) {
    assertThrows(() => new EventFd(initial), RangeError);
  }
  assertThrows(() => new EventFd("1" as unknown as number), TypeError, "initial");
});

linuxTest("EventFd.close() ends what waits, and everything afterwards", async () => {
  const before = openDescriptors();
  const event = new EventFd();
  const waits = [1, 2].map(() => assertRejects(() => event.wait(), DescriptorClosed));
  event.close();
  await Promise.all(waits);
  for (const call of [() => event.fd, () => event.read(), () => event.write()]) {
    assertThrows(call, DescriptorClosed, "EventFd");
  }
  await assertRejects(() => event.wait(), DescriptorClosed);
  event[Symbol.dispose]();
  assertEquals(event.closed, true);
  assertEquals(openDescriptors(), before);
});

linuxTest("EventFd.fromFd() takes a counter over, and it blocks no longer", () => {
  using original = eventFd(5);
  const event = EventFd.fromFd(duplicate(original.fd));
  assertEquals([event.read(), event.read()], [5n, undefined]);
  assert(isCloseOnExec(event.fd));
  event.close();
  assert(event.closed);
  for (const fd of [-1, 0.5, 2 ** 31]) assertThrows(() => EventFd.fromFd(fd), RangeError);
  assertEquals(assertThrows(() => EventFd.fromFd(NOT_OPEN), SystemError).code, "EBADF");
});

linuxTest("EventFd is closed when a program starts", () => {
  using event = new EventFd();
  assert(isCloseOnExec(event.fd));
});

linuxTest("EventFd wakes a Worker, and it wakes back", async () => {
  using there = new EventFd();
  using back = new EventFd();
  const code = `
    import { EventFd } from ${JSON.stringify(import.meta.resolve("../../../mod.ts"))};
    const [there, back] = [${duplicate(there.fd)}, ${duplicate(back.fd)}].map(EventFd.fromFd);
    for (let i = 0; i < 100; i++) back.write(await there.wait() * 2n);
    there.close();
    back.close();
    postMessage("end");`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  const end = new Promise((resolve) => worker.onmessage = resolve);
  for (let i = 1; i <= 100; i++) {
    there.write(i);
    assertEquals(await back.wait(), 2n * BigInt(i));
  }
  await end;
  worker.terminate();
});

linuxTest("EventFd.waitSync() blocks until a write of another thread, or the time is over", () => {
  using event = new EventFd();
  for (const time of [1, 20]) {
    const begin = performance.now();
    assertEquals(event.waitSync(time), undefined);
    assert(performance.now() - begin >= time);
  }
  assertEquals(event.waitSync(0), undefined);
  event.write(3);
  assertEquals([event.waitSync(), event.read()], [3n, undefined]);
  const url = URL.createObjectURL(
    new Blob([`
      onmessage = ({ data: { fd, from } }) => import(from).then(({ EventFd }) => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
        EventFd.fromFd(fd).write(7);
      });
    `]),
  );
  const worker = new Worker(url, { type: "module" });
  const copy = duplicate(event.fd);
  worker.postMessage({ fd: copy, from: new URL("../../../mod.ts", import.meta.url).href });
  assertEquals(event.waitSync(), 7n);
  worker.terminate();
  URL.revokeObjectURL(url);
});

linuxTest("EventFd.waitSync() refuses what is no time, and a counter that is closed", () => {
  using event = new EventFd(1);
  for (const time of [-1, 1.5, 2 ** 31, NaN]) {
    assertThrows(() => event.waitSync(time), RangeError);
  }
  assertThrows(() => event.waitSync("1" as never), TypeError);
  assertEquals(event.read(), 1n);
  event.close();
  assertThrows(() => event.waitSync(0), DescriptorClosed);
});
