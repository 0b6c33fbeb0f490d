/**
 * Boots a kernel whose console is this terminal.
 *
 * @module
 */
import { AtomicBitmap, GuestMemoryMmap } from "@vmm/guest-memory";
import { duration, size } from "../lib/units.ts";
import type { Arguments } from "./arguments.ts";
import { Console } from "./console.ts";
import { describeReport, isRegular } from "./ending.ts";
import { memoryRanges } from "./layout.ts";
import { type BootOptions, prepareBoot } from "./linux_boot.ts";
import { Machine } from "./machine.ts";
import { MicrovmError } from "./microvm_error.ts";

// Of KVM's log.
const PAGE = 4096;

/**
 * Boots a kernel and serves it until it ends.
 *
 * @param boot What to boot.
 * @param options The machine.
 * @param log Shows a line that is not the guest's.
 * @returns The exit code: 130 where somebody stopped the machine.
 */
export async function bootKernel(
  boot: BootOptions,
  { device, memory: memorySize, cx16, view }: Arguments,
  log: (line: string) => void,
): Promise<number> {
  const memory = GuestMemoryMmap.fromRanges(memoryRanges(memorySize), {
    ...view && { bitmap: (length) => new AtomicBitmap(length, PAGE) },
  });
  const options = { device, interrupts: true, floatingBus: true, cx16, trackDirtyPages: view };
  await using machine = await Machine.create(memory, options);
  const { description } = prepareBoot(machine.vcpuFds[0]!, memory, boot);
  log(`${description}, ${size(memorySize)} of memory. Ctrl-C stops the machine.`);
  await using _view = view ? await showMemory(machine, memory, description, log) : undefined;
  using _console = new Console((bytes) => machine.type(bytes), () => machine.stop());
  const reports = await machine.run((bytes) => writeAll(bytes));
  const [report] = reports;
  if (!isRegular(report!.ending)) throw new MicrovmError(describeReport(report!));
  const exits = report!.exits.reduce((sum, count) => sum + count);
  log(`${describeReport(report!)} after ${duration(performance.now())} and ${exits} exits.`);
  return report!.ending.kind === "stopped" ? 130 : 0;
}

async function showMemory(
  machine: Machine,
  memory: GuestMemoryMmap,
  description: string,
  log: (line: string) => void,
): Promise<AsyncDisposable> {
  const { MachineView } = await import("./machine_view.ts");
  const view = new MachineView(machine, memory, description, log);
  log(view.url);
  return view;
}

function writeAll(bytes: Uint8Array): void {
  while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
}
