import { assert, assertEquals } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { isThreadAlive, threadId } from "../../ffi/thread.ts";
import { linuxTest } from "../support/linux_test.ts";
import { until } from "../support/until.ts";

const thread = new URL("../../ffi/thread.ts", import.meta.url).href;

async function startWorker(): Promise<{ worker: Worker; id: number }> {
  const code = `
    import { threadId } from "${thread}";
    postMessage(threadId());
    // Keeps the Worker alive.
    onmessage = () => postMessage(threadId());`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  return { worker, id: await answer(worker) };
}

function answer(worker: Worker): Promise<number> {
  return new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
}

linuxTest("threadId() is a positive integer of this process, and does not change", () => {
  const id = threadId();
  assert(Number.isInteger(id) && id > 0 && id < 2 ** 31);
  assertEquals(threadId(), id);
  const threads = [...Deno.readDirSync("/proc/self/task")].map(({ name }) => Number(name));
  assert(threads.includes(id));
});

linuxTest("threadId() of a Worker is another, and stays the same for its life", async () => {
  const { worker, id } = await startWorker();
  try {
    assert(id > 0 && id !== threadId());
    const again = answer(worker);
    worker.postMessage("again");
    assertEquals(await again, id);
  } finally {
    worker.terminate();
  }
});

linuxTest(
  "isThreadAlive() is true of running threads, and false once a Worker has ended",
  async () => {
    assertEquals(isThreadAlive(threadId()), true);
    const { worker, id } = await startWorker();
    assertEquals(isThreadAlive(id), true);
    worker.terminate();
    assert(await until(() => !isThreadAlive(id)), "the thread of the Worker did not end");
    assertEquals(isThreadAlive(threadId()), true);
  },
);

linuxTest("isThreadAlive() is false of a number that is no thread of this process", () => {
  // The largest process number of Linux is 2^22.
  assertEquals(isThreadAlive(2 ** 31 - 1), false);
  assertEquals(isThreadAlive(1), Deno.pid === 1);
});

linuxTest("isThreadAlive() is true where the kernel does not say", () => {
  // EINVAL, as no thread can have this number.
  assertEquals(isThreadAlive(0), true);
});

linuxTest("isThreadAlive() is true of every number where the platform does not say", () => {
  const platform = libc().platform as { systemCalls: unknown };
  const { systemCalls } = platform;
  platform.systemCalls = undefined;
  try {
    assertEquals(isThreadAlive(2 ** 31 - 1), true);
  } finally {
    platform.systemCalls = systemCalls;
  }
});
