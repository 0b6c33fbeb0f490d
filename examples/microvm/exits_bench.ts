/**
 * How fast the exit loop is, beside the same loop in C; and how long it takes from the start of a
 * program to the first exit of its guest.
 *
 * Run it with `deno run -A examples/microvm/exits_bench.ts`; `--help` shows what it takes.
 *
 * @module
 */
import { GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
import { fileURLToPath } from "node:url";
import { parse } from "../lib/arguments.ts";
import { runProgram } from "../lib/program.ts";
import { count } from "../lib/units.ts";
import { enterRealMode } from "./cpu_modes.ts";
import { describeReport } from "./ending.ts";
import { Machine } from "./machine.ts";
import { MicrovmError } from "./microvm_error.ts";

const USAGE = `Usage: deno run -A examples/microvm/exits_bench.ts

Measures how many exits of a guest on KVM are served in a second, here and by
the same loop in C, and the time from a program's start to its guest's first
exit. The C side takes gcc and linux/kvm.h, and is left out without them.

Options:
  -h, --help  Show this text`;

const EXITS = 100_000;
const ROUNDS = 7;
const STARTS = 15;

/** Exits per second of the Worker's loop. */
async function measureWorker(): Promise<number> {
  const program = [
    [0x66, 0xb9, 0, 0, 0, 0], //            mov  ecx, EXITS
    [0xba, 0x80, 0x00], //                  mov  dx, 0x80         a port without a device
    [0xee], //                              again: out dx, al
    [0x66, 0x49], //                        dec  ecx
    [0x75, 0xfb], //                        jnz  again
    [0xf4], //                              hlt
  ].flat();
  const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 0x10000]]);
  await using machine = await Machine.create(memory);
  const code = Uint8Array.from(program);
  new DataView(code.buffer).setUint32(2, EXITS, true);
  memory.writeSlice(code, GuestAddress(0x1000));
  enterRealMode(machine.vcpuFds[0]!, { entry: 0x1000 });
  const [report] = await machine.run();
  const { ending, exits, firstExit, lastExit } = report!;
  if (ending.kind !== "halted" || exits[2] !== EXITS) {
    throw new MicrovmError(describeReport(report!));
  }
  return EXITS / (lastExit - firstExit) * 1e3;
}

/** The program in C, or `undefined` where it cannot be compiled. */
function compile(): string | undefined {
  const source = fileURLToPath(new URL("./exits_bench.c", import.meta.url));
  const binary = Deno.makeTempFileSync({ prefix: "exits-" });
  try {
    const args = ["-O2", "-o", binary, source];
    if (new Deno.Command("gcc", { args }).outputSync().success) return binary;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  Deno.removeSync(binary);
  return undefined;
}

function measureC(binary: string): number {
  const { stdout, success } = new Deno.Command(binary, { args: [String(EXITS)] }).outputSync();
  if (!success) throw new MicrovmError("the loop in C failed");
  return parseFloat(new TextDecoder().decode(stdout));
}

/** When a program printed a time, in milliseconds after it was started. */
function measureStart(program: string): number {
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const args = ["run", "--config", config, "--allow-ffi", "--allow-read", program];
  const began = performance.timeOrigin + performance.now();
  const { stdout } = new Deno.Command(Deno.execPath(), { args, stderr: "null" }).outputSync();
  return Number(new TextDecoder().decode(stdout)) - began;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

function show(label: string, values: readonly number[], best: number, unit: string): void {
  const figures = [best, median(values)].map((value) =>
    value.toLocaleString("en-US", { maximumFractionDigits: unit === "ms" ? 1 : 0 }).padStart(10)
  );
  console.log(`${label.padEnd(34)}${figures.join("")} ${unit}`);
}

async function measure(): Promise<void> {
  const binary = compile();
  const [worker, c]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    // In turn, so that both meet the same weather.
    worker.push(await measureWorker());
    if (binary !== undefined) c.push(measureC(binary));
  }
  if (binary !== undefined) Deno.removeSync(binary);
  const title = `${count(EXITS, "port exit")}, ${ROUNDS} rounds`;
  console.log(`${title.padEnd(34)}${"best".padStart(10)}${"median".padStart(10)}`);
  show("TypeScript, in a Worker", worker, Math.max(...worker), "exits/s");
  if (binary === undefined) console.log("C: no compiler");
  else {
    show("C", c, Math.max(...c), "exits/s");
    const ratio = median(c) / median(worker);
    console.log(`C is ${ratio.toFixed(2)} times as fast by the median.`);
  }

  const empty = Deno.makeTempFileSync({ suffix: ".ts" });
  Deno.writeTextFileSync(empty, "console.log(performance.timeOrigin + performance.now());");
  const firstExit = fileURLToPath(new URL("./first_exit.ts", import.meta.url));
  const [deno, guest]: [number[], number[]] = [[], []];
  for (let start = 0; start < STARTS; start++) {
    deno.push(measureStart(empty));
    guest.push(measureStart(firstExit));
  }
  Deno.removeSync(empty);
  const best = Math.min(...guest) - Math.min(...deno);
  console.log(`\n${"From start,".padEnd(34)}${"best".padStart(10)}${"median".padStart(10)}`);
  show("to a program's first line", deno, Math.min(...deno), "ms");
  show("to a guest's first exit", guest, Math.min(...guest), "ms");
  show("so beyond Deno's own start", [median(guest) - median(deno)], best, "ms");
}

function optionsOf(args: string[]): object | undefined {
  const { values } = parse({ args, options: { help: { type: "boolean", short: "h" } } });
  return values.help ? undefined : values;
}

if (import.meta.main) {
  const program = { name: "exits_bench", usage: USAGE, optionsOf, run: measure };
  Deno.exitCode = await runProgram(program, Deno.args);
}
