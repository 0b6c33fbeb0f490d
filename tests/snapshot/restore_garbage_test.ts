import { assert, assertEquals } from "@std/assert";

const RESTORES = 60;
const ROOT = new URL("../../", import.meta.url).href;

const PROGRAM = `
import { FileOffset, GuestAddress, u8 } from "${ROOT}mod.ts";
import { restore } from "${ROOT}src/snapshot/mod.ts";

const path = Deno.makeTempFileSync();
using file = Deno.openSync(path, { read: true, write: true });
Deno.removeSync(path);
file.truncateSync(2 ** 28);
const { fd } = new FileOffset(file);
using stack = new DisposableStack();
for (let i = 0; i < ${RESTORES}; i++) {
  const memory = stack.use(restore([[GuestAddress(0), 2 ** 28]], fd, { mode: "copyOnWrite" }));
  memory.readObj(u8, GuestAddress(0));
}
`;

// V8 does so when a buffer is made while the last one, of all the memory, is young.
Deno.test("restore() by copy-on-write has no garbage collected for its own small buffers", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  const flags = "--v8-flags=--trace-gc,--no-incremental-marking";
  const args = ["run", "--no-check", "--allow-all", flags, "--ext=ts", "-"];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  })
    .spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(PROGRAM));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  assertEquals(code, 0, text.decode(stderr));
  const collections = text.decode(stdout).matchAll(/ ms: \S/g).toArray().length;
  assert(collections < RESTORES / 4, `${collections} collections for ${RESTORES} restores`);
});
