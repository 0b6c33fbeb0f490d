import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { GuestError } from "../../../examples/guest/guest_error.ts";
import { Qmp } from "../../../examples/guest/qmp.ts";
import { Lines, qmpMessageOf } from "../../../examples/guest/qmp_messages.ts";

const GREETING = `{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}}}`;

Deno.test("qmpMessageOf() knows the messages of QEMU", () => {
  assertEquals(qmpMessageOf(GREETING), { kind: "greeting", version: "10.0.2" });
  assertEquals(qmpMessageOf(`{"return": {"status": "running"}, "id": 7}`), {
    kind: "return",
    id: 7,
    value: { status: "running" },
  });
  assertEquals(qmpMessageOf(`{"error": {"class": "GenericError", "desc": "no"}, "id": 1}`), {
    kind: "error",
    id: 1,
    reason: "no",
  });
  assertEquals(qmpMessageOf(`{"timestamp": {}, "event": "STOP"}`), {
    kind: "event",
    event: "STOP",
    data: {},
  });
  for (const line of ["", "x", "[]", "null", "{}", `{"return": {}}`]) {
    assertThrows(() => qmpMessageOf(line), GuestError, "QEMU's monitor sent");
  }
});

Deno.test("Lines puts together what arrives in pieces", () => {
  const lines = new Lines();
  assertEquals(lines.take("a"), []);
  assertEquals(lines.take("b\r\n\r\nc"), ["ab"]);
  assertEquals(lines.take("d\ne\n"), ["cd", "e"]);
});

/** Answers each command with the lines that a function makes of it. */
async function withMonitor(
  answer: (command: string, id: number) => string[] | undefined,
  body: (qmp: Qmp) => Promise<void>,
): Promise<void> {
  const folder = Deno.makeTempDirSync();
  const path = `${folder}/monitor`;
  const listener = Deno.listen({ transport: "unix", path });
  const serving = (async () => {
    using connection = await listener.accept();
    const write = (line: string) => connection.write(new TextEncoder().encode(`${line}\r\n`));
    await write(GREETING);
    const lines = new Lines();
    for await (const text of connection.readable.pipeThrough(new TextDecoderStream())) {
      for (const line of lines.take(text)) {
        const { execute, id } = JSON.parse(line);
        const answers = execute === "qmp_capabilities"
          ? [JSON.stringify({ return: {}, id })]
          : answer(execute, id);
        if (answers === undefined) return;
        for (const answer of answers) await write(answer);
      }
    }
  })();
  try {
    using qmp = await Qmp.connect(path);
    await body(qmp);
  } finally {
    await serving.catch(() => {});
    listener.close();
    Deno.removeSync(folder, { recursive: true });
  }
}

Deno.test({
  name: "Qmp gives each command its answer, and waits for events",
  ignore: Deno.build.os === "windows",
  async fn() {
    const late: string[] = [];
    await withMonitor((command, id) => {
      if (command === "refused") return [JSON.stringify({ error: { desc: "no such" }, id })];
      if (command === "slow") {
        late.push(JSON.stringify({ return: "slow", id }));
        return [];
      }
      if (command === "end") return undefined;
      return [
        JSON.stringify({ event: "DEVICE_DELETED", data: { device: "other" } }),
        JSON.stringify({ event: "DEVICE_DELETED", data: { device: "dimm" } }),
        JSON.stringify({ return: command, id }),
        ...late.splice(0),
      ];
    }, async (qmp) => {
      assertEquals(await qmp.execute("first"), "first");
      await assertRejects(() => qmp.execute("refused"), GuestError, "QEMU refuses: no such");
      // Answers may come in another order.
      const slow = qmp.execute("slow");
      const deleted = qmp.event("DEVICE_DELETED", { device: "dimm" });
      assertEquals(await qmp.execute("second"), "second");
      assertEquals(await slow, "slow");
      await deleted;
      await assertRejects(
        () => qmp.event("NEVER", {}, 0.05),
        GuestError,
        "no NEVER of QEMU within",
      );
      await assertRejects(() => qmp.execute("end"), GuestError, "QEMU has ended");
      await assertRejects(() => qmp.execute("more"), GuestError, "QEMU has ended");
    });
  },
});
