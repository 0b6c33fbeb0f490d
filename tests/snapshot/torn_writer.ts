/**
 * A process that writes a file of a snapshot, for a test that ends it meanwhile. Prints a line when it
 * begins, and one when it is done, and waits for its end then.
 *
 *     torn_writer.ts snapshot FILE BYTES        memory whose bytes are 2
 *     torn_writer.ts flat FILE BYTES            the same, as a diff
 *     torn_writer.ts compact FILE BYTES         in its other form
 *     torn_writer.ts apply BASE BYTES DIFF
 *
 * @module
 */
import { AtomicBitmap, GuestMemoryMmap, takeDirty } from "../../mod.ts";
import { applyDiff, writeDiff, writeSnapshot } from "../../src/snapshot/mod.ts";
import { gpa } from "../support/values.ts";

const [what, path, size, diffPath] = Deno.args;
using file = Deno.openSync(path!, { read: true, write: true });
if (what === "apply") {
  using diff = Deno.openSync(diffPath!);
  console.log("begins");
  await applyDiff(file, diff);
} else {
  const bytes = Number(size);
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), bytes]], {
    bitmap: (length) => new AtomicBitmap(length),
  });
  memory.fill(gpa(0), bytes, 2);
  using dirty = takeDirty(memory);
  console.log("begins");
  if (what === "snapshot") await writeSnapshot(memory, file);
  else await writeDiff(memory, file, dirty, { form: what as "flat" | "compact" });
}
console.log("done");
await Deno.stdin.read(new Uint8Array(1));
