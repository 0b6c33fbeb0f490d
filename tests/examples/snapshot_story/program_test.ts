import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { kvmTest } from "../microvm/kvm_guest.ts";

const PROGRAM = new URL("../../../examples/snapshot_story.ts", import.meta.url).href;
const ONLY_LINUX = { ignore: Deno.build.os !== "linux" };

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function snapshotStory(
  args: readonly string[],
  permissions: readonly string[] = ["--allow-all"],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const command = ["run", "--no-check", "--no-prompt", ...permissions, PROGRAM, ...args];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: command, env })
    .output();
  const text = new TextDecoder();
  return { code, stdout: text.decode(stdout), stderr: text.decode(stderr) };
}

function assertRefused({ code, stdout, stderr }: Outcome, reason: string): void {
  assertStringIncludes(stderr, reason);
  assertMatch(stderr, /^snapshot-story: [^\n]+\n$/);
  assertEquals([stdout, code], ["", 2]);
}

function assertStory({ code, stdout }: Outcome, what: string): void {
  assertEquals(code, 0);
  assert(!/[^\n\P{Cc}]/u.test(stdout), "control characters where there is no terminal");
  for (const line of stdout.split("\n")) assert(line.length <= 80, `longer than 80: ${line}`);
  assert(stdout.startsWith(`${what} that counts, in 512 KiB of memory\n`));
  // The pages that counts write are the same, whoever counts.
  const counted = `·${"▒▒▒○".repeat(6)}`;
  assertStringIncludes(stdout, `\n 0x40000 ${counted}${"·".repeat(39)}\n`);
  assertStringIncludes(stdout, `\n 0x40000 ${counted}${"█".repeat(16)}${"·".repeat(23)}\n`);
  assertStringIncludes(stdout, "   17 pages: 68 KiB were written in ");
  const clone = (number: number, to: number, own: number, text: string) => {
    const picture = `··▀${"·".repeat(38)}${"▄".repeat(own)}${"·".repeat(23 - own)}`;
    assertStringIncludes(stdout, `\n  ${number} →${to} ${picture}  ${text}\n`);
  };
  clone(1, 42, 2, "12 KiB");
  clone(2, 44, 4, "20 KiB");
  assertStringIncludes(stdout, "\n   Together they have 32 KiB of private copies.");
  assert(stdout.endsWith("\nThe snapshot still says 40: no clone has changed it.\n"));
}

kvmTest("snapshot-story shows the pages of a guest on KVM", async () => {
  const outcome = await snapshotStory(["--guest", "kvm", "--clones", "2"]);
  assertEquals(outcome.stderr, "");
  assertStory(outcome, "A guest on KVM");
});

Deno.test(
  "snapshot-story shows the pages of a Worker, and leaves no file behind",
  ONLY_LINUX,
  async () => {
    const folder = Deno.makeTempDirSync();
    try {
      const args = ["--guest", "worker", "--clones", "2"];
      const outcome = await snapshotStory(args, undefined, { TMPDIR: folder });
      assertEquals(outcome.stderr, "");
      assertStory(outcome, "A Worker");
      assertEquals([...Deno.readDirSync(folder)], []);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
);

Deno.test("snapshot-story without KVM has a Worker count, and says why", ONLY_LINUX, async () => {
  const outcome = await snapshotStory(["--kvm", "/nonexistent/kvm", "--clones", "2"]);
  assertMatch(outcome.stderr, /^snapshot-story: [^\n]+: a Worker counts instead\n$/);
  assertStory(outcome, "A Worker");
  const args = ["--kvm", "/nonexistent/kvm", "--guest", "kvm"];
  const { code, stdout } = await snapshotStory(args);
  assertEquals([stdout, code], ["", 2]);
});

Deno.test("snapshot-story --help says how to use it, in 80 columns", async () => {
  const { code, stdout, stderr } = await snapshotStory(["--help"], []);
  assertEquals([stderr, code], ["", 0]);
  assertMatch(stdout, /^Usage: deno task snapshot-story/);
  for (const line of stdout.split("\n")) assert(line.length <= 80, line);
});

const WRONG_ARGUMENTS: readonly (readonly [args: string[], reason: string])[] = [
  [["--nonsense"], "Unknown option '--nonsense' (see --help)"],
  [["--guest", "x"], '--guest is "x", not kvm or worker (see --help)'],
  [["--clones", "13"], '--clones is "13", not an integer from 1 to 12 (see --help)'],
  [["--clones", "0"], "not an integer from 1 to 12"],
];

for (const [args, reason] of WRONG_ARGUMENTS) {
  Deno.test(`snapshot-story ${args.join(" ")} is refused`, async () => {
    assertRefused(await snapshotStory(args, []), reason);
  });
}

Deno.test("snapshot-story without permission says which it needs", ONLY_LINUX, async () => {
  assertRefused(await snapshotStory([], []), "--allow-ffi");
});
