/**
 * Linux in QEMU, with a disk that Deno serves: everything on a bare machine by one command.
 *
 * Run it with `deno task guest`; `--help` shows its options.
 *
 * | Module | What it is about |
 * | --- | --- |
 * | `vm.ts`, `qemu_arguments.ts`, `accelerator.ts` | a machine: QEMU as a child process |
 * | `serial_line.ts`, `init.sh` | commands in the guest |
 * | `qmp.ts`, `qmp_messages.ts` | QEMU's monitor |
 * | `block_device.ts`, `sockets.ts` | the process that serves the disk |
 * | `host.ts`, `shell.ts` | what all machines have in common; one with a person at its terminal |
 * | `check.ts`, `run_checks.ts` | checks: `disk_checks.ts`, `plug_check.ts`, `migration_checks.ts` |
 * | `images.ts`, `fio.ts`, `dma.c` | what is on disks, and what loads them |
 * | `bench.ts` | the devices side by side |
 * | `provisions.ts`, `packages.ts`, `apt.ts`, `built_tools.ts` | where QEMU, kernel and commands come from |
 * | `initramfs.ts`, `cpio.ts` | the guest's file system |
 *
 * @module
 */
import { reasonToStop } from "./lib/expected_error.ts";
import { openOutput } from "./lib/output.ts";
import { Progress } from "./lib/progress.ts";
import { type Options, optionsOf, USAGE } from "./guest/arguments.ts";
import { bench, formatMeasurements, type Measurement } from "./guest/bench.ts";
import { NotProvided } from "./guest/guest_error.ts";
import { Host } from "./guest/host.ts";
import { provide, type ProvideOptions, provideTools } from "./guest/provisions.ts";
import { formatResults, runChecks } from "./guest/run_checks.ts";
import { INTERRUPTED, shell, SIGNALS } from "./guest/shell.ts";
import { runProgram } from "./lib/program.ts";

const FAILED = 1;
const NOT_STARTED = 2;

async function run(options: Options): Promise<number> {
  try {
    return await start(options);
  } catch (error) {
    if (!(error instanceof NotProvided && options.mode === "test")) throw error;
    console.error(`guest: no check was run: ${reasonToStop(error)}`);
    return 0;
  }
}

async function start(options: Options): Promise<number> {
  const { mode, device, direct, memory, accelerator } = options;
  const how: ProvideOptions = {
    ask: (lines) => ask(lines, options.yes),
    onStage: (text) => console.error(`${text}…`),
  };
  const provisions = await provide(how);
  const tools = mode === "shell" ? {} : await toolsOr(how);
  await using host = await Host.create({ provisions, tools, memory, device, direct, accelerator });
  if (mode === "shell") return await shell(host, options.image);
  const work = mode === "test" ? test(host, options) : compare(host, options);
  const { status, lines } = await Promise.race([work, interruption()]);
  if (lines.length > 0) openOutput().print(lines);
  return status;
}

/** The programs of the checks, or why there are none: some checks need none. */
async function toolsOr(how: ProvideOptions): Promise<Record<string, string> | string> {
  try {
    return await provideTools(how);
  } catch (error) {
    const reason = reasonToStop(error);
    if (reason === undefined) throw error;
    return reason;
  }
}

/** What is said in the end. */
interface Ending {
  readonly status: number;
  readonly lines: readonly string[];
}

async function interruption(): Promise<Ending> {
  await new Promise<void>((resolve) => {
    for (const signal of SIGNALS) Deno.addSignalListener(signal, resolve);
  });
  return { status: INTERRUPTED, lines: [] };
}

async function test(host: Host, { only }: Options): Promise<Ending> {
  using progress = new Progress();
  const results = await runChecks(host, only, (name, index) => {
    progress.update(name, index, only.length);
  });
  const { paint } = openOutput();
  return {
    status: results.some(({ verdict }) => verdict === "FAILED") ? FAILED : 0,
    lines: [`Device: ${host.device}. Guests run on ${host.accelerator}.`].concat(
      formatResults(results, paint),
    ),
  };
}

async function compare(host: Host, { rounds, json }: Options): Promise<Ending> {
  host.ensureTools();
  using progress = new Progress();
  const measurements: Measurement[] = [];
  const failures: string[] = [];
  for (const storage of ["memory", "disk"] as const) {
    try {
      measurements.push(...await bench(host, storage, rounds, progress.update.bind(progress)));
    } catch (error) {
      const reason = reasonToStop(error);
      if (reason === undefined) throw error;
      failures.push(`Images in ${storage} are not compared: ${reason}`);
    }
  }
  const status = failures.length > 0 ? FAILED : 0;
  if (json) {
    for (const failure of failures) console.error(failure);
    return { status, lines: [JSON.stringify(measurements)] };
  }
  return {
    status,
    lines: [
      `Guests run on ${host.accelerator}. Medians of ${rounds} rounds; ratios: Deno / it.`,
      ...formatMeasurements(measurements),
      ...failures,
    ],
  };
}

function ask(lines: readonly string[], yes: boolean): boolean {
  console.error(lines.join("\n"));
  return yes || (Deno.stdin.isTerminal() && confirm("Do it?"));
}

if (import.meta.main) {
  const statusOf = () => NOT_STARTED;
  const program = { name: "guest", usage: USAGE, optionsOf, run, statusOf };
  Deno.exit(await runProgram(program, Deno.args));
}
