/**
 * Linux in QEMU, with a disk that Deno serves: everything on a bare machine by one command.
 *
 * Run it with `deno task guest`; `--help` shows its options.
 *
 * @module
 */
import { Progress } from "./lib/progress.ts";
import { painter } from "./lib/terminal.ts";
import { type Options, optionsOf, USAGE } from "./guest/arguments.ts";
import { bench, formatMeasurements, type Measurement } from "./guest/bench.ts";
import { reasonOf } from "./guest/guest_error.ts";
import { Host } from "./guest/host.ts";
import { provide } from "./guest/provisions.ts";
import { formatResults, runChecks } from "./guest/run_checks.ts";
import { shell } from "./guest/shell.ts";

const FAILED = 1;
const NOT_STARTED = 2;

async function main(args: string[]): Promise<number> {
  try {
    const options = optionsOf(args);
    if (options === undefined) {
      console.log(USAGE);
      return 0;
    }
    return await start(options);
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    console.error(`guest: ${reason}`);
    return NOT_STARTED;
  }
}

async function start(options: Options): Promise<number> {
  const { mode, device, memory, accelerator } = options;
  const provisions = await provide({
    tools: mode !== "shell",
    ask: (lines) => ask(lines, options.yes),
    onStage: (text) => console.error(`${text}…`),
  });
  await using host = await Host.create({ provisions, memory, device, accelerator });
  if (mode === "test") return await test(host, options);
  if (mode === "bench") return await compare(host, options);
  return await shell(host, options.image);
}

async function test(host: Host, { only }: Options): Promise<number> {
  using progress = new Progress();
  const results = await runChecks(host, only, (name, index) => {
    progress.update(name, index, only.length);
  });
  progress[Symbol.dispose]();
  console.log(`Device: ${host.device}. Guests run on ${host.accelerator}.`);
  console.log(formatResults(results, painter(Deno.stdout.isTerminal() && !Deno.noColor)).join("\n"));
  return results.some(({ verdict }) => verdict === "FAILED") ? FAILED : 0;
}

async function compare(host: Host, { rounds }: Options): Promise<number> {
  const measurements: Measurement[] = [];
  let status = 0;
  for (const storage of ["memory", "disk"] as const) {
    using progress = new Progress();
    try {
      measurements.push(...await bench(host, storage, rounds, progress.update.bind(progress)));
    } catch (error) {
      const reason = reasonOf(error);
      if (reason === undefined) throw error;
      progress[Symbol.dispose]();
      console.error(`guest: images in ${storage} are not compared: ${reason}`);
      status = FAILED;
    }
  }
  console.log(`Guests run on ${host.accelerator}. Medians of ${rounds} rounds; ratios: Deno / it.`);
  console.log(formatMeasurements(measurements).join("\n"));
  return status;
}

function ask(lines: readonly string[], yes: boolean): boolean {
  console.error(lines.join("\n"));
  return yes || (Deno.stdin.isTerminal() && confirm("Do it?"));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
