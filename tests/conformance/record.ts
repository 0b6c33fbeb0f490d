/**
 * Records a trace of the Rust crate.
 *
 *     deno task conformance:record --seed N [--out FILE.jsonl.gz] [--layouts L] [--operations K]
 *
 * It needs `cargo`, which builds the recorder.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const USAGE = "usage: record.ts --seed N [--out FILE.jsonl.gz] [--layouts L] [--operations K]";

const RECORDER = fileURLToPath(new URL("recorder/Cargo.toml", import.meta.url));

Deno.exit(main());

function main(): number {
  const options = parse();
  if (options === undefined) return 1;
  const { seed, out = fileURLToPath(new URL(`traces/seed-${seed}.jsonl.gz`, import.meta.url)) } =
    options;
  const args = ["run", "--release", "--quiet", "--manifest-path", RECORDER, "--"];
  for (const [name, value] of Object.entries({ ...options, out })) args.push(`--${name}`, value);
  try {
    const { success } = new Deno.Command("cargo", {
      args,
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).outputSync();
    console.log(success ? `Recorded ${out}` : `Cannot record ${out}`);
    return success ? 0 : 1;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.error("Cannot record: there is no cargo. Install Rust: https://rustup.rs");
    return 1;
  }
}

// The options that were given; those of the recorder.
function parse(): { seed: string; out?: string } | undefined {
  try {
    const { values } = parseArgs({
      args: Deno.args,
      options: {
        seed: { type: "string" },
        out: { type: "string" },
        layouts: { type: "string" },
        operations: { type: "string" },
      },
    });
    const { seed } = values;
    if (seed !== undefined) return { ...values, seed };
    console.error(USAGE);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${USAGE}`);
  }
  return undefined;
}
