/**
 * Live migration: moves a guest that runs to another process, over a Unix socket or TCP.
 *
 * Run it with `deno task migrate`; `--help` shows its options.
 *
 * | Module | What it is about |
 * | --- | --- |
 * | `source.ts`, `destination.ts` | the two sides |
 * | `wire.ts` | what goes over the connection, and how it is checked |
 * | `connection.ts`, `sockets.ts` | the connection |
 * | `guest.ts`, `guest_thread.ts`, `guest_worker.ts` | the guest and its thread |
 * | `writing_program.ts`; `virtual_machine.ts`, `virtual_cpu.ts` | what runs there: a loop, or a guest on KVM |
 * | `move.ts`, `destination_process.ts`, `checksum.ts` | the whole, with a process and a proof |
 * | `arguments.ts`, `report.ts`, `migrate_error.ts` | the program around it |
 *
 * @module
 */
import { openOutput } from "./lib/output.ts";
import { Progress } from "./lib/progress.ts";
import { type Options, optionsOf, USAGE } from "./migrate/arguments.ts";
import { listen, type Transport } from "./migrate/connection.ts";
import { announce } from "./migrate/destination_process.ts";
import { takeGuest } from "./migrate/destination.ts";
import { MigrateError, reasonOf } from "./migrate/migrate_error.ts";
import { ensureEnough, move, MoveFailed, STAGES } from "./migrate/move.ts";
import { formatHead, formatRound, formatTail } from "./migrate/report.ts";
import { runProgram } from "./lib/program.ts";

const FAILED = 1;
const NOT_STARTED = 2;

async function run(options: Options): Promise<number> {
  if (Deno.build.os !== "linux") throw new MigrateError("this takes Linux");
  if (options.incoming !== undefined) return await beDestination(options.incoming);
  ensureEnough(options.size);
  return await beSource(options);
}

async function beSource(options: Options): Promise<number> {
  const { json } = options;
  const output = openOutput();
  const { paint } = output;
  using progress = new Progress();
  const print = (...lines: string[]) => {
    // The terminal may be the same.
    progress[Symbol.dispose]();
    if (!json) output.print(lines);
  };
  let index = 0;
  const report = await move(options, {
    onStage: (stage) => progress.update(STAGES[stage]!, stage, STAGES.length),
    onRound: (round) => {
      if (index === 0) print(...formatHead(options, paint));
      print(formatRound(round, index++));
    },
  });
  print(...formatTail(report, paint));
  if (json) console.log(JSON.stringify(report, undefined, 2));
  return report.ok ? 0 : FAILED;
}

async function beDestination(transport: Transport): Promise<number> {
  try {
    using listener = listen(transport);
    announce(listener.address);
    using connection = await listener.accept();
    await takeGuest(connection);
    return 0;
  } catch (error) {
    const reason = reasonOf(error);
    if (reason === undefined) throw error;
    console.error(`migrate: the destination has no guest: ${reason}`);
    return FAILED;
  }
}

if (import.meta.main) {
  const statusOf = (error: unknown) => error instanceof MoveFailed ? FAILED : NOT_STARTED;
  const program = { name: "migrate", usage: USAGE, optionsOf, run, reasonOf, statusOf };
  Deno.exit(await runProgram(program, Deno.args));
}
