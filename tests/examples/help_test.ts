/** Each program of the examples and benchmarks says how it is used, and refuses what it does not know. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { SMALL_PROGRAMS } from "./small_programs.ts";

const ROOT = new URL("../../", import.meta.url);

/** Large programs; the small ones have no options. */
const PROGRAMS = [
  "examples/backings.ts",
  "examples/clones.ts",
  "examples/demo.ts",
  "examples/firecracker_uffd.ts",
  "examples/guest.ts",
  "examples/introspect.ts",
  "examples/microvm.ts",
  "examples/migrate.ts",
  "examples/snapshot_story.ts",
  "examples/vhost_user.ts",
  "examples/microvm/exits_bench.ts",
  "examples/microvm/fetch_kernel.ts",
  ...filesIn("bench").filter((path) => path.endsWith("_bench.ts")),
  "bench/bench.ts",
  "bench/vs_rust/compare.ts",
  "bench/vs_rust/crate/main.ts",
  "src/bench/mod.ts",
];
/** What a program loads. */
const LOADED = ["examples/my_backend.ts"];
const SMALL = SMALL_PROGRAMS.map((name) => `examples/${name}.ts`);

function filesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(new URL(folder, ROOT)))
    .flatMap(({ name, isFile }) => isFile && name.endsWith(".ts") ? [`${folder}/${name}`] : []);
}

async function run(program: string, argument: string): Promise<[string, string, number]> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", new URL(program, ROOT).href, argument],
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return [text.decode(stdout), text.decode(stderr), code];
}

Deno.test("every program of examples/ is known here", () => {
  assertEquals(
    filesIn("examples").filter((path) => ![...PROGRAMS, ...SMALL, ...LOADED].includes(path)),
    [],
  );
});

for (const program of PROGRAMS) {
  Deno.test(`${program} --help says how it is used, in 80 columns and without a permission`, async () => {
    const [stdout, stderr, code] = await run(program, "--help");
    assertEquals([stderr, code], ["", 0]);
    assertMatch(stdout, /^Usage: deno (task|run) /);
    for (const line of stdout.split("\n")) assert(line.length <= 80, line);
  });

  Deno.test(`${program} refuses an option that it does not know, in one line`, async () => {
    const [stdout, stderr, code] = await run(program, "--nonsense");
    assertMatch(stderr, /^[a-z_-]+: Unknown option '--nonsense' \(see --help\)\n$/);
    assertEquals([stdout, code], ["", 2]);
  });
}
