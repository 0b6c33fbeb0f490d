/**
 * A snapshot of a guest, and two clones that map it copy-on-write: each has memory of its own only
 * for what it writes. Run it on Linux with
 * `deno run --allow-ffi --allow-read --allow-write examples/snapshot.ts`.
 *
 * @module
 */
import { capabilities, GuestAddress, GuestMemoryMmap, u64le } from "@vmm/guest-memory";
import { restore, writeSnapshot, writtenSinceRestore } from "@vmm/guest-memory/snapshot";

const COUNTER = GuestAddress(0x1000);
const path = Deno.makeTempFileSync({ prefix: "snapshot-" });
try {
  // The guest is paused. What nobody has written becomes holes of the file.
  const manifest = await takeSnapshot();

  using file = Deno.openSync(path);
  using first = restore(manifest, file, { mode: "copyOnWrite" });
  using second = restore(manifest, file, { mode: "copyOnWrite" });
  first.writeObj(u64le, 1000n, COUNTER);
  first.writeSlice(new Uint8Array(10_000), GuestAddress(2 ** 32));
  console.log(`The first clone has counted to ${first.readObj(u64le, COUNTER)}`);
  console.log(`The second clone has ${second.readObj(u64le, COUNTER)}, as in the snapshot`);

  listWritten("first", first);
  listWritten("second", second);
} finally {
  Deno.removeSync(path);
}

async function takeSnapshot() {
  using memory = GuestMemoryMmap.fromRanges([
    [GuestAddress(0), 2 ** 28],
    [GuestAddress(2 ** 32), 2 ** 28],
  ]);
  memory.writeObj(u64le, 42n, COUNTER);
  using file = Deno.openSync(path, { write: true });
  const { manifest, written } = await writeSnapshot(memory, file);
  const { size } = file.statSync();
  console.log(`The snapshot is a file of ${size} bytes, of which ${written} were written`);
  return manifest;
}

// What a diff of the clone would have to have. The kernel knows: nothing was tracked.
function listWritten(name: string, clone: GuestMemoryMmap): void {
  const { available, reason } = capabilities().trackers.writtenSinceRestore;
  if (!available) return console.log(`What was written is not known here: ${reason}`);
  const runs = Array.from(
    writtenSinceRestore(clone),
    ([start, length]) => `${length} bytes at 0x${start.toString(16)}`,
  );
  console.log(`The ${name} clone has written ${runs.join(", ") || "nothing"}`);
}
