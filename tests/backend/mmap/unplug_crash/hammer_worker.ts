/**
 * The Worker that uses another memory over the same file, until it has to stop.
 *
 * @module
 */
import { FileOffset, GuestAddress, GuestMemoryMmap, u32, u64 } from "../../../../mod.ts";
import { Control, gpa, type Order, PAGE, PAGES } from "./layout.ts";

const thread = globalThis as unknown as {
  onmessage: (event: MessageEvent<Order>) => void;
  close(): void;
};

thread.onmessage = ({ data: { path, control } }) => {
  const words = new Int32Array(control);
  using file = Deno.openSync(path, { read: true, write: true });
  using memory = GuestMemoryMmap.fromRangesWithFiles(
    Array.from(
      { length: PAGES },
      (_, page) => [gpa(page), PAGE, new FileOffset(file, page * PAGE)] as const,
    ),
  );
  const all = new Uint8Array(PAGES * PAGE);
  Atomics.store(words, Control.READY, 1);
  for (let i = 0; Atomics.load(words, Control.STOP) === 0; i++) {
    const at = gpa(i % PAGES);
    memory.getAtomicRef(u64, at).fetchAdd(1n);
    memory.writeObj(u32, i, GuestAddress(at + 8));
    memory.readSlice(all, gpa(0));
    memory.writeSlice(all.subarray(0, 100), GuestAddress(at + PAGE - 100));
    Atomics.add(words, Control.ACCESSES, 4);
  }
  Atomics.store(words, Control.READY, 0);
  thread.close();
};
