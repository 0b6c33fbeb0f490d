/**
 * Other processes of tests: one that loads pages of this one, and one whose pages this one loads. Run by
 * itself, this is their program.
 *
 * @module
 */
import { FileOffset, UnixSocket } from "../../../mod.ts";
import {
  FaultHandler,
  type FaultRange,
  FaultServer,
  type LoadOptions,
  restore,
} from "../../../src/snapshot/mod.ts";
import type { Snapshot } from "./lazy_memory.ts";

/** A process, and a socket to it. */
export interface OtherProcess extends AsyncDisposable {
  readonly socket: UnixSocket;
  /** Its process id. */
  readonly pid: number;
  /** Kills it with SIGKILL, and waits for its end. */
  kill(): Promise<void>;
}

/** A process that serves the faults of a memory of this process. It does so when this resolves. */
export async function serveElsewhere(
  { fd, ranges }: Pick<FaultHandler, "fd" | "ranges">,
  { file }: Snapshot,
  options: Pick<LoadOptions, "prefetch"> = {},
): Promise<OtherProcess> {
  const other = await start("serve");
  await other.socket.send(encode({ ranges, options }), [fd, new FileOffset(file).fd]);
  await untilSaid(other, SERVING);
  return other;
}

/** Waits until the process of {@linkcode serveElsewhere} has loaded all pages. */
export async function untilLoaded(other: OtherProcess): Promise<void> {
  await untilSaid(other, LOADED);
}

/** A process that restores a snapshot, without a thread that loads it. */
export async function restoreElsewhere(
  { file, ranges }: Snapshot,
): Promise<OtherProcess & { fd: number; ranges: FaultRange[] }> {
  const other = await start("restore");
  await other.socket.send(encode({ ranges }), [new FileOffset(file).fd]);
  const { bytes, fds } = await other.socket.receive();
  return { ...other, fd: fds[0]!, ranges: decode(bytes).ranges };
}

let processes = 0;

async function start(mode: string): Promise<OtherProcess> {
  const name = `lazy-process-${Deno.pid}-${processes++}`;
  using listener = UnixSocket.listen(`\0${name}`);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", import.meta.url, mode, name],
    stdin: "null",
  }).spawn();
  const socket = await listener.accept();
  const kill = async () => {
    socket.close();
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await child.status;
  };
  return { socket, pid: child.pid, kill, [Symbol.asyncDispose]: kill };
}

// What a process says has one byte.
const SERVING = 1;
const LOADED = 2;

async function untilSaid({ socket }: OtherProcess, expected: number): Promise<void> {
  const { bytes: [said] } = await socket.receive({ maxBytes: 1 });
  if (said !== expected) throw new Error(`The other process said ${said}, not ${expected}`);
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function decode(bytes: Uint8Array) {
  return JSON.parse(new TextDecoder().decode(bytes));
}

async function main([mode, name]: readonly string[]): Promise<void> {
  const socket = UnixSocket.connect(`\0${name}`);
  const { bytes, fds } = await socket.receive();
  const { ranges, options } = decode(bytes);
  if (mode === "serve") {
    const server = new FaultServer(fds[0]!, ranges, fds[1]!, options);
    await socket.send(Uint8Array.of(SERVING));
    await server.done;
    await socket.send(Uint8Array.of(LOADED));
    await socket.receive();
  } else {
    using memory = restore(ranges, fds[0]!, { mode: "lazy", thread: false });
    const handler = FaultHandler.of(memory);
    await socket.send(encode({ ranges: handler.ranges }), [handler.fd]);
    await socket.receive();
  }
}

if (import.meta.main) await main(Deno.args);
