/** Becomes a user without privileges, and tracks writes. */
import {
  AtomicBitmap,
  Backing,
  capabilities,
  GuestAddress,
  GuestMemoryMmap,
  pageSize,
} from "../../mod.ts";
import { WriteTracker, writtenSinceRestore } from "../../src/snapshot/mod.ts";

// Opened while everything may be read.
const PAGE = pageSize();
capabilities();
const path = Deno.makeTempFileSync();
Deno.truncateSync(path, 4 * PAGE);
using file = Deno.openSync(path);
Deno.removeSync(path);
using copies = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4 * PAGE]], {
  backing: Backing.file(file, { private: true }),
});

const { symbols } = Deno.dlopen("libc.so.6", {
  setresgid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  setresuid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  prctl: { parameters: ["i32", "u64"], result: "i32" },
});
const NOBODY = 65534;
// Without it, the process could not read its own /proc: it might know what only root may.
const PR_SET_DUMPABLE = 4;
const isNobody = symbols.setresgid(NOBODY, NOBODY, NOBODY) === 0 &&
  symbols.setresuid(NOBODY, NOBODY, NOBODY) === 0 &&
  symbols.prctl(PR_SET_DUMPABLE, 1n) === 0;

if (!isNobody) console.log("no other user");
else {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4 * PAGE]], {
    bitmap: (length) => new AtomicBitmap(length, PAGE),
  });
  const capable = capabilities().trackers.writeTracker.available;
  using tracker = WriteTracker.start(memory);
  memory.getSlice(GuestAddress(PAGE), 1).rawView()[0] = 1;
  copies.getSlice(GuestAddress(PAGE), 1).rawView()[0] = 1;
  const bytes = tracker.collect();
  console.log(JSON.stringify({ capable, bytes, copies: [...writtenSinceRestore(copies)] }));
}
