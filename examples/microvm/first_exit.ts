/**
 * The shortest way to a first exit: a guest of one instruction. It prints when the exit was, in
 * milliseconds since 1970, for `exits_bench.ts`.
 *
 * @module
 */
import { startSpareWorker } from "./spare_worker.ts";

startSpareWorker();
const [{ GuestAddress, GuestMemoryMmap }, { Machine }, { enterRealMode }] = await Promise.all([
  import("@vmm/guest-memory"),
  import("./machine.ts"),
  import("./cpu_modes.ts"),
]);

const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x10000]]);
await using machine = await Machine.create(memory);
memory.write(Uint8Array.of(0xf4), GuestAddress(0x1000)); // hlt
enterRealMode(machine.vcpuFds[0]!, { entry: 0x1000 });
const [report] = await machine.run();
console.log(report!.firstExit);
