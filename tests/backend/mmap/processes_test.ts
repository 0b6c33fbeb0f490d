import { assert, assertEquals } from "@std/assert";
import {
  AtomicBitmap,
  closeDescriptor,
  GuestAddress,
  GuestMemoryMmap,
  u32,
  u64,
  UnixSocket,
} from "../../../mod.ts";
import { count, COUNTER, PAGE } from "./processes/counting_worker.ts";
import { linuxTest } from "../../support/linux_test.ts";

const ROUNDS = 100_000;

linuxTest("two processes and four Workers share a memory, and it outlives its owner", async () => {
  const directory = Deno.makeTempDirSync();
  const path = `${directory}/socket`;
  using listener = UnixSocket.listen(path);
  const owner = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-check", "--allow-all"],
      new URL("./processes/owner.ts", import.meta.url).href,
      ...[path, `${ROUNDS}`],
    ],
  }).spawn();
  try {
    using socket = await listener.accept();
    const text = new TextDecoder();
    const { bytes, fds } = await socket.receive();
    const { ram, log } = JSON.parse(text.decode(bytes));
    assertEquals(fds.length, 2);
    using marks = GuestMemoryMmap.fromDescription(log, [fds[1]!]);
    using memory = GuestMemoryMmap.fromDescription(ram, [fds[0]!]);
    await socket.send(Uint8Array.of(1));

    const task = { ram, log, fds: [fds[0]!, fds[1]!] as const, rounds: ROUNDS };
    const [ours, message] = await Promise.all([count(task, [2, 3]), socket.receive()]);
    const theirs: number[] = JSON.parse(text.decode(message.bytes));

    // Every addition counted, every mark there.
    assertEquals(memory.load(u32, COUNTER), 4 * ROUNDS);
    const [{ len }] = log;
    const bitmap = AtomicBitmap.over(marks.getSlice(GuestAddress(0), len), {
      byteSize: ram[0].len,
      pageSize: PAGE,
      marks: "always",
    });
    const written = new Set([0, ...ours, ...theirs]);
    const marked = new Set<number>();
    for (const [offset, length] of bitmap.dirtyRuns()) {
      for (let at = offset; at < offset + length; at += PAGE) marked.add(at / PAGE);
    }
    assertEquals([...marked].sort(), [...written].sort());
    assert(written.size > 500);

    // The owner does not get to close anything.
    owner.kill("SIGKILL");
    assertEquals((await owner.status).signal, "SIGKILL");
    for (const fd of fds) closeDescriptor(fd);
    assertEquals(memory.getAtomicRef(u32, COUNTER).fetchAdd(1), 4 * ROUNDS);
    for (const page of theirs) {
      const values = [0, 1].map((thread) =>
        memory.readObj(u64, GuestAddress(page * PAGE + 8 * thread))
      );
      assert(values.includes(BigInt(page)));
    }
  } finally {
    try {
      owner.kill("SIGKILL");
    } catch {
      // It is dead already.
    }
    await owner.status;
    Deno.removeSync(directory, { recursive: true });
  }
});
