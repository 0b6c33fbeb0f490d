import { assertEquals } from "@std/assert";

Deno.test("AtomicBitmap works without SharedArrayBuffer, and sharing says why it does not", async () => {
  const url = new URL("./unshared_worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" });
  const result = await new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  }).finally(() => worker.terminate());
  const refusal =
    "TypeError: Cannot share memory: its bitmap is in an ArrayBuffer, as where a web " +
    "page is not cross-origin isolated";
  assertEquals(result, {
    missing: true,
    shared: true,
    runs: [[[0x3000, 0x1000]], [[0, 0x2000]]],
    log: [0b1010, 0],
    dirty: [[0x2000, 0x1000]],
    refusals: [refusal, refusal],
  });
});
