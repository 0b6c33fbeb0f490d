import { assert, assertEquals } from "@std/assert";
import { linuxTest } from "./support/linux_test.ts";
import { programsOf, readmePrograms } from "./support/readme_programs.ts";

Deno.test("programsOf() finds programs, their headings and what they print", () => {
  const programs = programsOf(
    "# A\n```ts\nconsole.log(1); // 1\n```\n## B\n```sh\nls\n```\n" +
      "```ts\nconsole.log(2); // 2: two\nconsole.log(x);\n  console.log(3, 4); // 3 4\n```\n",
  );
  assertEquals(programs.map(({ heading, prints }) => [heading, prints]), [
    ["A", ["1"]],
    ["B", ["2", "3 4"]],
  ]);
  assertEquals(programs[0]!.code, "console.log(1); // 1\n");
});

Deno.test("the README's programs all say what they print", () => {
  const programs = readmePrograms();
  assert(programs.length >= 8, `${programs.length} programs`);
  for (const { heading, prints } of programs) assert(prints.length > 0, heading);
});

for (const { heading, code, prints } of readmePrograms()) {
  linuxTest(`the README's program of "${heading}" prints what it says`, async () => {
    const config = new URL("../deno.json", import.meta.url).pathname;
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-check",
        `--config=${config}`,
        "--allow-ffi",
        "--allow-read=/tmp",
        "--allow-write=/tmp",
        "--ext=ts",
        "-",
      ],
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(code));
    await writer.close();
    const { code: exitCode, stdout, stderr } = await child.output();
    assertEquals([exitCode, new TextDecoder().decode(stderr)], [0, ""]);
    const lines = new TextDecoder().decode(stdout).trim().split("\n");
    assertEquals(lines, prints);
  });
}
