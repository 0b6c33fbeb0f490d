import { assert, assertEquals } from "@std/assert";
import { AtomicBitmap, GuestMemoryMmap, takeDirty } from "../../mod.ts";
import { writeDiff, writeSnapshot } from "../../src/snapshot/mod.ts";
import { Random } from "../hostile/random.ts";
import { gpa } from "../support/values.ts";
import { naiveBytes, PAGE, scratchFile } from "./memories.ts";

const hasCompiler = (() => {
  try {
    return new Deno.Command("cc", { args: ["--version"] }).outputSync().success;
  } catch {
    return false;
  }
})();
const ignore = Deno.build.os !== "linux" || !hasCompiler;

Deno.test({
  name: `the reader of compact diffs in docs/snapshot_files.md${
    ignore ? " (ignored: needs Linux and cc)" : ""
  }`,
  ignore,
  fn: async () => {
    const docs = Deno.readTextFileSync(new URL("../../docs/snapshot_files.md", import.meta.url));
    const source = /```c\n(.*?)```/s.exec(docs)![1]!;
    const folder = Deno.makeTempDirSync();
    try {
      Deno.writeTextFileSync(`${folder}/apply.c`, source);
      run(
        "cc",
        "-Wall",
        "-Werror",
        "-Wno-sign-compare",
        "-o",
        `${folder}/apply`,
        `${folder}/apply.c`,
      );
      using memory = GuestMemoryMmap.fromRanges(
        [[gpa(0), 64 * PAGE], [gpa(2 ** 32), 100 * PAGE - 77], [gpa(2 ** 33), 3 * PAGE]],
        { bitmap: (length) => new AtomicBitmap(length, PAGE) },
      );
      const random = new Random(4);
      using base = scratchFile();
      using diff = scratchFile();
      await writeSnapshot(memory, base.fd);
      for (let round = 0; round < 4; round++) {
        for (const { startAddr, len } of memory) {
          for (let i = 0; i < 20; i++) {
            memory.writeSlice(Uint8Array.of(1 + random.int(255)), gpa(startAddr + random.int(len)));
          }
        }
        await writeDiff(memory, diff.fd, takeDirty(memory), { form: "compact" });
        run(`${folder}/apply`, base.path, diff.path);
        assertEquals(base.content, naiveBytes(memory));
        // Half applied, and again.
        Deno.truncateSync(base.path, base.content.length + 2);
        run(`${folder}/apply`, base.path, diff.path);
        assertEquals(base.content, naiveBytes(memory));
      }
      // Unfinished.
      Deno.truncateSync(diff.path, diff.content.length + 1);
      assertEquals(
        new Deno.Command(`${folder}/apply`, { args: [base.path, diff.path] }).outputSync().code,
        4,
      );
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
});

function run(command: string, ...args: string[]): void {
  const { success, code, stderr } = new Deno.Command(command, { args }).outputSync();
  assert(success, `${command}: ${code} ${new TextDecoder().decode(stderr)}`);
}
