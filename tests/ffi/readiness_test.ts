import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { closeDescriptor, duplicate } from "../../ffi/descriptor.ts";
import { endWaits, untilReady } from "../../ffi/readiness.ts";
import { SystemError } from "../../mod.ts";
import { noMoreThan, NOT_OPEN, openDescriptors } from "../support/descriptors.ts";
import { linuxTest } from "../support/linux_test.ts";
import { openFile, pipe, put, take } from "../support/posix.ts";

// Whether a promise is settled now, and how.
async function state(promise: Promise<unknown>): Promise<string> {
  const pending = new Promise((resolve) => setTimeout(resolve, 20, "pending"));
  return await Promise.race([promise.then(() => "ready", () => "failed"), pending]) as string;
}

linuxTest("untilReady() waits for what is asked", async () => {
  using channel = pipe();
  const readable = untilReady(channel.reader, "readable");
  await untilReady(channel.writer, "writable");
  assertEquals(await state(readable), "pending");
  put(channel.writer, Uint8Array.of(1));
  await readable;
  await untilReady(channel.reader, "readable");
});

linuxTest("untilReady() ends where the other end is closed", async () => {
  using channel = pipe();
  const readable = untilReady(channel.reader, "readable");
  channel.closeWriter();
  await readable;
  using full = pipe({ blocking: false });
  put(full.writer, new Uint8Array(65_536));
  const writable = untilReady(full.writer, "writable");
  assertEquals(await state(writable), "pending");
  full.closeReader();
  await writable;
});

linuxTest("several wait for one descriptor, in both directions", async () => {
  using channel = pipe();
  const waits = [1, 2, 3].map(() => untilReady(channel.reader, "readable"));
  // Never: a pipe's reading end cannot be written.
  const never = untilReady(channel.reader, "writable");
  put(channel.writer, Uint8Array.of(1));
  await Promise.all(waits);
  assertEquals(await state(never), "pending");
  take(channel.reader, 1);
  const again = untilReady(channel.reader, "readable");
  assertEquals(await state(again), "pending");
  put(channel.writer, Uint8Array.of(1));
  await again;
  const rejected = assertRejects(() => never, Error, "end");
  endWaits(channel.reader, new Error("end"));
  await rejected;
});

linuxTest("endWaits() lets a descriptor be closed and its number used again", async () => {
  using channel = pipe();
  using other = pipe();
  const copy = duplicate(channel.reader);
  const first = untilReady(copy, "readable");
  const ended = assertRejects(() => first, Error, "closed");
  endWaits(copy, new Error("closed"));
  closeDescriptor(copy);
  const reused = duplicate(other.reader);
  assertEquals(reused, copy);
  const second = untilReady(reused, "readable");
  put(channel.writer, Uint8Array.of(1));
  await ended;
  assertEquals(await state(second), "pending");
  put(other.writer, Uint8Array.of(1));
  await second;
  closeDescriptor(reused);
});

linuxTest("a number that someone else closed and used again is waited for", async () => {
  using channel = pipe();
  using other = pipe();
  const copy = duplicate(channel.reader);
  const lost = untilReady(copy, "readable");
  closeDescriptor(copy);
  const reused = duplicate(other.reader);
  assertEquals(reused, copy);
  const wait = untilReady(reused, "readable");
  put(other.writer, Uint8Array.of(1));
  await Promise.all([wait, lost]);
  closeDescriptor(reused);
});

linuxTest("a hundred waits leave the thread pool to others", async () => {
  const channels = Array.from({ length: 100 }, () => pipe());
  const waits = channels.map(({ reader }) => untilReady(reader, "readable"));
  assertEquals((await Deno.readTextFile("/proc/self/comm")).length > 0, true);
  for (const { writer } of channels) put(writer, Uint8Array.of(1));
  await Promise.all(waits);
  for (const channel of channels) channel[Symbol.dispose]();
});

linuxTest("waiting leaves no descriptor open", async () => {
  using channel = pipe();
  const before = openDescriptors();
  for (let i = 0; i < 20; i++) {
    const wait = untilReady(channel.reader, "readable");
    put(channel.writer, Uint8Array.of(1));
    await wait;
    take(channel.reader, 1);
  }
  await noMoreThan(before);
});

linuxTest("untilReady() throws for what cannot be waited for", async () => {
  using file = openFile(new Uint8Array(1));
  using channel = pipe();
  const before = openDescriptors();
  assertEquals(assertThrows(() => untilReady(NOT_OPEN, "readable"), SystemError).code, "EBADF");
  assertEquals(openDescriptors(), before);
  const other = untilReady(channel.reader, "readable");
  assertEquals(assertThrows(() => untilReady(file.fd, "readable"), SystemError).code, "EPERM");
  put(channel.writer, Uint8Array.of(1));
  await other;
});

linuxTest("a program ends while a Worker that was terminated still waited", async () => {
  const program = `
    const code = \`
      import { EventFd } from ${JSON.stringify(import.meta.resolve("../../mod.ts"))};
      new EventFd().wait();
      postMessage("waiting");\`;
    const url = "data:text/javascript," + encodeURIComponent(code);
    const worker = new Worker(url, { type: "module" });
    await new Promise((resolve) => worker.onmessage = resolve);
    worker.terminate();
    console.log("end");`;
  const started = performance.now();
  const { stdout, code } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", program],
  }).output();
  assertEquals([code, new TextDecoder().decode(stdout)], [0, "end\n"]);
  assertEquals(performance.now() - started < 8000, true);
});
