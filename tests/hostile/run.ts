/**
 * Calls everything with everything: `run.ts [--calls N] [--seed S] [--round R] [--only NAME]
 * [--points core,virtio,snapshot] [--log FILE] [--progress]`. Prints what it found as JSON. `--round` makes the calls of one round
 * alone, and prints each.
 */
import type { EntryPoint } from "./entry_points.ts";
import { Player, ROUND } from "./player.ts";

const options: Record<string, string> = {};
for (let i = 0; i < Deno.args.length; i++) {
  const name = Deno.args[i]!.replace(/^--/, "");
  options[name] = name === "progress" ? "" : Deno.args[++i] ?? "";
}
const calls = Number(options.calls ?? 100_000);
const seed = Number(options.seed ?? 1);

// The last call is known also where it ends the process.
const log = options.log === undefined
  ? undefined
  : Deno.openSync(options.log, { write: true, create: true });
const encoder = new TextEncoder();
const bytes = new Uint8Array(2048);

function note(call: string): void {
  if (options.round !== undefined) console.error(call);
  if (log === undefined) return;
  const { written } = encoder.encodeInto(call, bytes);
  log.seekSync(0, Deno.SeekMode.Start);
  log.writeSync(bytes.fill(32, written));
}

const points = options.points?.split(",") as EntryPoint[] | undefined;
const player = new Player(seed, note, options.only, points);
const begin = performance.now();
if (options.round !== undefined) await player.play(Number(options.round));
else {
  for (let round = 0; player.calls < calls; round++) {
    await player.play(round);
    if (options.progress !== undefined && round % 100 === 0) {
      const seconds = ((performance.now() - begin) / 1000).toFixed(0);
      Deno.stderr.writeSync(encoder.encode(
        `\r${player.calls} calls in ${seconds} s, ${player.findings.size} findings `,
      ));
    }
    // Lets promises and finalizers run.
    if (round % 50 === 0) await new Promise((resolve) => setTimeout(resolve));
  }
}
if (options.progress !== undefined) console.error();
console.log(JSON.stringify(
  {
    calls: player.calls,
    round: ROUND,
    findings: [...player.findings.values()],
    outcomes: player.outcomes,
    uncalled: [...player.names].filter((name) => !player.called.has(name)),
  },
  undefined,
  options.progress === undefined ? undefined : 2,
));
if (options.progress !== undefined && player.findings.size > 0) Deno.exit(1);
