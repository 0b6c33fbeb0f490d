import { assertEquals, assertRejects } from "@std/assert";
import { IntrospectError } from "../../../examples/introspect/introspect_error.ts";
import { askLayout } from "../../../examples/introspect/qmp.ts";

const GREETING = { QMP: { version: {}, capabilities: ["oob"] } };
const EVENT = { event: "NIC_RX_FILTER_CHANGED", timestamp: {} };
const TREE = `FlatView #0
 AS "memory", root: system
  0000000000000000-000000007fffffff (prio 0, ram): ram0 KVM
`;

/** A monitor that greets, and then answers each request with the next messages. */
async function withMonitor(
  greeting: string,
  answers: readonly string[],
  test: (path: string, requests: string[]) => Promise<unknown>,
): Promise<void> {
  const folder = Deno.makeTempDirSync({ prefix: "introspect-" });
  const path = `${folder}/monitor`;
  const requests: string[] = [];
  using listener = Deno.listen({ transport: "unix", path });
  const serving = (async () => {
    using connection = await listener.accept();
    const send = async (text: string) => {
      // In two pieces, as a message need not arrive as a whole.
      const bytes = new TextEncoder().encode(text);
      await connection.write(bytes.subarray(0, 3));
      await new Promise((resolve) => setTimeout(resolve, 5));
      await connection.write(bytes.subarray(3));
    };
    await send(greeting);
    const buffer = new Uint8Array(4096);
    for (const answer of answers) {
      const count = await connection.read(buffer);
      if (count === null) return;
      requests.push(new TextDecoder().decode(buffer.subarray(0, count)).trimEnd());
      await send(answer);
    }
  })().catch((error) => {
    // What asks may leave in the middle of an answer that it does not want.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  });
  try {
    await test(path, requests);
    await serving;
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
}

function lines(...messages: unknown[]): string {
  return messages.map((message) => `${JSON.stringify(message)}\n`).join("");
}

const options = { ignore: Deno.build.os === "windows" };

Deno.test("askLayout() asks QEMU's monitor, whatever events come between", options, async () => {
  const answers = [lines(EVENT, { return: {} }), lines({ return: TREE })];
  await withMonitor(lines(GREETING, EVENT), answers, async (path, requests) => {
    assertEquals(await askLayout(path, ["pc.ram", "ram0"]), [
      { startAddr: 0, len: 2 ** 31, offset: 0 },
    ]);
    assertEquals(requests.map((text) => JSON.parse(text)), [
      { execute: "qmp_capabilities" },
      { execute: "human-monitor-command", arguments: { "command-line": "info mtree -f" } },
    ]);
  });
});

Deno.test("askLayout() says what is wrong with an answer", options, async () => {
  const ready = lines({ return: {} });
  const refused = { error: { class: "GenericError", desc: "not now" } };
  for (
    const [greeting, answers, reason] of [
      ["hello there\n", [], "no monitor of QEMU"],
      ["null\n", [], "no monitor of QEMU"],
      [lines({ hello: 1 }), [], "no monitor of QEMU"],
      ["", [], "closed the connection"],
      [lines(GREETING), [lines(refused)], "not now"],
      [lines(GREETING), [ready, lines({ return: 7 })], "does not answer info mtree"],
      [lines(GREETING), [ready, lines({ return: TREE })], "knows no RAM named other"],
      [lines(GREETING), [ready], "closed the connection"],
    ] as const
  ) {
    await withMonitor(
      greeting,
      answers,
      (path) => assertRejects(() => askLayout(path, ["other"]), IntrospectError, reason),
    );
  }
});
