/**
 * The same guest memory in two threads, which count in it atomically. Run it with
 * `deno run --allow-ffi --allow-read examples/share_with_worker.ts`: the Worker runs this file too.
 *
 * @module
 */
import { GuestAddress, type GuestMemoryHandle, GuestMemoryMmap, u32le } from "@vmm/guest-memory";

const COUNTER = GuestAddress(0x1000);
const TEXT = GuestAddress(0x2000);
const TIMES = 100_000;
const WORKER = "counter";

if (self.name === WORKER) self.onmessage = ({ data }) => countInWorker(data);
else await main();

async function main(): Promise<void> {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]]);
  const worker = new Worker(import.meta.url, { type: "module", name: WORKER });
  // The handle holds the memory until the Worker has attached it. Nothing is copied.
  worker.postMessage(memory.share());
  console.log(`Worker: ${await nextMessage(worker)}`);
  count(memory);
  console.log(`Main thread: counted to ${TIMES}`);
  console.log(`Worker: ${await nextMessage(worker)}`);
  worker.terminate();

  console.log(`The counter is ${memory.load(u32le, COUNTER)}: no count was lost`);
  const text = new Uint8Array(21);
  memory.readSlice(text, TEXT);
  console.log(`In memory: ${new TextDecoder().decode(text)}`);
}

function countInWorker(handle: GuestMemoryHandle): void {
  // The Worker closes the memory by itself. It is unmapped when both threads have.
  using memory = GuestMemoryMmap.attach(handle);
  self.postMessage("attached the memory");
  count(memory);
  memory.writeSlice(new TextEncoder().encode("Hello from the Worker"), TEXT);
  self.postMessage(`counted to ${TIMES}`);
}

function count(memory: GuestMemoryMmap): void {
  const counter = memory.getAtomicRef(u32le, COUNTER);
  for (let i = 0; i < TIMES; i++) counter.fetchAdd(1);
}

function nextMessage(worker: Worker): Promise<string> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = reject;
  });
}
