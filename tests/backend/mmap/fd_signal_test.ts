import { assertEquals } from "@std/assert";
import type {} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { count } from "../../support/values.ts";

const MOD = import.meta.resolve("../../../mod.ts");

// A program that transfers while a signal whose handler does not restart calls comes every 10 ms.
const INTERRUPTED = `
  import { Fd, GuestAddress, GuestMemoryMmap } from ${JSON.stringify(MOD)};
  const libc = Deno.dlopen("libc.so.6", {
    read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
    siginterrupt: { parameters: ["i32", "i32"], result: "i32" },
    ualarm: { parameters: ["u32", "u32"], result: "u32" },
    __errno_location: { parameters: [], result: "pointer" },
  });
  const { read, siginterrupt, ualarm, __errno_location } = libc.symbols;
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 3], [GuestAddress(3), 2 ** 20]]);
  const errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(__errno_location(), 4));
  const SIGALRM = 14;
  Deno.addSignalListener("SIGALRM", () => {});
  siginterrupt(SIGALRM, 1);
  ualarm(10_000, 10_000);
  // The proof that calls are interrupted: this one, without data to read.
  const result = Number(read(0, new Uint8Array(1), 1n));
  console.error(\`\${result} \${errno[0]}\`);
  memory.readExactVolatileFrom(GuestAddress(0), new Fd(0), 10);
  console.error("read");
  new Fd(0).readVectoredVolatile([...memory.getSlices(GuestAddress(0), 5)]);
  new Fd(0).readVolatile(memory.getSlice(GuestAddress(5), 5));
  console.error("read again");
  memory.writeAllVolatileTo(GuestAddress(0), new Fd(1), 2 ** 20);
  ualarm(0, 0);
  Deno.exit(0);
`;

linuxTest("Fd calls again after a signal interrupted a call", async () => {
  await using child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", INTERRUPTED],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // Calls that the child began since it said something: each interruption is one.
  const calls = (kind: "syscr" | "syscw") =>
    Number(new RegExp(`${kind}: (\\d+)`).exec(Deno.readTextFileSync(`/proc/${child.pid}/io`))![1]);
  const callsMore = async (kind: "syscr" | "syscw", more: number) => {
    for (const before = calls(kind); calls(kind) < before + more;) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const said = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  assertEquals((await said.read()).value, "-1 4\n", "not interrupted with EINTR");
  await callsMore("syscr", 5);
  const input = child.stdin.getWriter();
  await input.write(count(10));
  assertEquals((await said.read()).value, "read\n");
  // The same by Fd alone, in two calls.
  await callsMore("syscr", 5);
  await input.write(count(5, 21));
  await callsMore("syscr", 5);
  await input.write(count(5, 26));
  assertEquals((await said.read()).value, "read again\n");
  await callsMore("syscw", 5);
  const output = await new Response(child.stdout).bytes();
  assertEquals([output.length, output.subarray(0, 11)], [
    2 ** 20,
    Uint8Array.of(...count(10, 21), 0),
  ]);
  await said.cancel();
  await input.close().catch(() => {});
  assertEquals((await child.status).code, 0);
});
