/**
 * QEMU's monitor, asked where the RAM is.
 *
 * @module
 */
import { IntrospectError } from "./introspect_error.ts";
import type { Placed } from "./layout.ts";

const CLOSED = "QEMU's monitor has closed the connection";
/** How long QEMU has for each answer, in ms. */
const PATIENCE = 5000;

/**
 * Asks QEMU where a memory backend is in the guest.
 *
 * @param path The Unix socket of its monitor (`-qmp unix:PATH,server=on,wait=off`).
 * @param backends Names that the RAM may have: those of memory backends, and those of QEMU itself.
 * @throws {IntrospectError} Nobody answers, or not in QEMU's protocol.
 */
export async function askLayout(path: string, backends: readonly string[]): Promise<Placed[]> {
  const tree = await humanCommand(path, "info mtree -f");
  const placed = parseTree(tree, backends);
  if (placed.length > 0) return placed;
  throw new IntrospectError(`QEMU's monitor at ${path} knows no RAM named ${backends.join(", ")}`);
}

/**
 * The parts of RAM in the text of `info mtree -f`: those of the address space `memory`. Parts that
 * adjoin in the guest and in the backend are one, also where the guest may only read one of them.
 *
 * @param text The text.
 * @param backends Names that the RAM may have.
 */
export function parseTree(text: string, backends: readonly string[]): Placed[] {
  const view = text.split(/^FlatView #\d+\s*$/m).find((view) => /^ AS "memory"/m.test(view)) ?? "";
  const placed: Placed[] = [];
  for (const line of view.split("\n")) {
    const [, first, last, name, at] = PART.exec(line) ?? [];
    if (name === undefined || !backends.includes(name)) continue;
    const startAddr = parseInt(first!, 16);
    const part = {
      startAddr,
      len: parseInt(last!, 16) + 1 - startAddr,
      offset: at === undefined ? 0 : parseInt(at, 16),
    };
    const before = placed.at(-1);
    const continues = before !== undefined && before.startAddr + before.len === startAddr &&
      before.offset + before.len === part.offset;
    if (continues) placed[placed.length - 1] = { ...before, len: before.len + part.len };
    else placed.push(part);
  }
  return placed;
}

const PART =
  /^ +([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:ram|rom)\): (\S+)(?: @([0-9a-f]+))?/;

async function humanCommand(path: string, command: string): Promise<string> {
  using connection = await connect(path);
  const late = setTimeout(() => connection.close(), PATIENCE);
  try {
    const messages = linesOf(connection);
    const greeting = await next(messages);
    if (!("QMP" in greeting)) throw new IntrospectError(`${path} is no monitor of QEMU (QMP)`);
    await send(connection, { execute: "qmp_capabilities" });
    await answer(messages);
    await send(connection, {
      execute: "human-monitor-command",
      arguments: { "command-line": command },
    });
    const text = await answer(messages);
    if (typeof text !== "string") throw new IntrospectError(`QEMU does not answer ${command}`);
    return text;
  } catch (error) {
    if (error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted) {
      throw new IntrospectError(`QEMU's monitor at ${path} does not answer: is it in use?`);
    }
    if (error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset) {
      throw new IntrospectError(CLOSED);
    }
    throw error;
  } finally {
    clearTimeout(late);
  }
}

async function connect(path: string): Promise<Deno.Conn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (error) {
    const reason = (error as Error).message;
    throw new IntrospectError(`cannot connect to QEMU's monitor at ${path}: ${reason}`);
  }
}

async function send(connection: Deno.Conn, message: unknown): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(message)}\n`);
  for (let done = 0; done < bytes.length;) done += await connection.write(bytes.subarray(done));
}

// Events may come between.
async function answer(messages: AsyncGenerator<string>): Promise<unknown> {
  for (;;) {
    const message = await next(messages);
    if ("error" in message) {
      throw new IntrospectError(`QEMU's monitor refuses: ${JSON.stringify(message["error"])}`);
    }
    if ("return" in message) return message["return"];
  }
}

async function next(messages: AsyncGenerator<string>): Promise<Record<string, unknown>> {
  const { value, done } = await messages.next();
  if (done) throw new IntrospectError(CLOSED);
  try {
    return Object(JSON.parse(value));
  } catch {
    throw new IntrospectError("what answers is no monitor of QEMU (QMP)");
  }
}

async function* linesOf(connection: Deno.Conn): AsyncGenerator<string> {
  const text = new TextDecoder();
  const buffer = new Uint8Array(2 ** 16);
  let rest = "";
  for (;;) {
    const count = await connection.read(buffer);
    if (count === null) return;
    const lines = (rest + text.decode(buffer.subarray(0, count), { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
