import { assertEquals, assertRejects } from "@std/assert";
import { GuestError } from "../../../examples/guest/guest_error.ts";
import { SerialLine } from "../../../examples/guest/serial_line.ts";

/** A line whose guest is this test. */
function lineOf(): {
  line: SerialLine;
  say: (text: string) => Promise<void>;
  end: () => Promise<void>;
  heard: () => string;
} {
  let heard = "";
  const input = new WritableStream<Uint8Array>({
    write: (bytes) => void (heard += new TextDecoder().decode(bytes)),
  });
  const output = new TransformStream<Uint8Array<ArrayBuffer>>(undefined, { highWaterMark: 10 });
  const writer = output.writable.getWriter();
  return {
    line: new SerialLine(input, output.readable),
    say: (text) => writer.write(new TextEncoder().encode(text)),
    end: () => writer.close(),
    heard: () => heard,
  };
}

Deno.test("SerialLine takes the output and the status of a command", async () => {
  const { line, say, end, heard } = lineOf();
  await say("BIOS\r\n\x1ere");
  await say("ady\n");
  await line.ready(5);
  const result = line.run("ls", 5);
  await say("a\r\nb\nend 5\n\x1een");
  await say("d 12\n\x1eend 0\n");
  assertEquals(await result, { output: "a\nb\nend 5\n", code: 12 });
  assertEquals(heard(), "ls\n");
  assertEquals(await line.result("next", 5), { output: "", code: 0 });
  await end();
  await line.close();
});

Deno.test("SerialLine says what the guest said when it ends or is silent", async () => {
  const { line, say, end } = lineOf();
  await say("Kernel panic");
  await assertRejects(() => line.run("ls", 0.05), GuestError, `no end of "ls" within 0.05 s`);
  const result = line.run("ls", 5);
  await end();
  await assertRejects(() => result, GuestError, `it has ended, after "Kernel panic"`);
  await line.close();
});

Deno.test("SerialLine refuses commands that do not pass a terminal", async () => {
  const { line, end } = lineOf();
  for (const command of ["a\nb", "x".repeat(4001)]) {
    await assertRejects(() => line.run(command, 5), GuestError, "one line of at most 4000 bytes");
  }
  await end();
  await line.close();
});
