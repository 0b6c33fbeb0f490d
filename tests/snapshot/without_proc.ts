/**
 * Snapshots in a process without `/proc`: everything is written, and restored. To be run in a mount
 * namespace of its own: `/proc` is covered, as Deno needs it to start.
 *
 * @module
 */
import { assertEquals } from "@std/assert";
import { restore, writeSnapshot } from "../../src/snapshot/mod.ts";
import { u8 } from "../../mod.ts";
import { gpa } from "../support/values.ts";
import { KINDS, memoryOf, naiveBytes, PAGE, scratchFile } from "./memories.ts";

const args = ["-t", "tmpfs", "tmpfs", "/proc"];
if (!new Deno.Command("mount", { args }).outputSync().success) throw new Error("mount failed");
const range = [gpa(0), 16 * PAGE] as const;
for (const kind of KINDS) {
  using memory = memoryOf(kind, [range]);
  memory.writeObj(u8, 1, gpa(3 * PAGE));
  for (const [skip, pages] of [["absent", 16], ["zero", 1]] as const) {
    using file = scratchFile();
    const { written } = await writeSnapshot(memory, file.fd, { skip });
    assertEquals(written, pages * PAGE, `${kind}, ${skip}`);
    assertEquals(file.content, naiveBytes(memory));
    for (const mode of ["copyOnWrite", "eager"] as const) {
      using restored = restore([range], file.fd, { mode });
      assertEquals(naiveBytes(restored), file.content);
    }
  }
}
console.log("same");
