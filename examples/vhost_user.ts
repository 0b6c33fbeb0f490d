/**
 * A disk for a virtual machine in another process: a vhost-user-blk device.
 *
 * Run it with `deno task vhost-blk --help`.
 *
 * @module
 */
import { DescriptorClosed, UnixSocket } from "@vmm/guest-memory";
import { type Options, parseOptions, USAGE } from "./vhost_user/arguments.ts";
import { Connection } from "./vhost_user/connection.ts";
import { openImage } from "./vhost_user/image.ts";
import { Rate } from "./vhost_user/rate.ts";
import { Session } from "./vhost_user/session.ts";
import { ProtocolError, VhostError } from "./vhost_user/vhost_error.ts";
import { runProgram } from "./lib/program.ts";

async function serve(options: Options): Promise<void> {
  using image = openImage(options.image, options.isReadOnly, options.isDirect);
  using listener = listen(options.socket);
  const end = () => listener.close();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, end);
  console.error(`vhost-blk: listening at ${options.socket}`);
  try {
    do {
      using socket = await listener.accept();
      const stop = () => socket.close();
      for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
      await serveOne(new Connection(socket), options, image);
      for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, stop);
    } while (options.keeps && !listener.closed);
  } catch (error) {
    // A signal has closed it.
    if (!(error instanceof DescriptorClosed)) throw error;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, end);
  }
}

async function serveOne(
  connection: Connection,
  { queues, hasSlots, keepsLog, traces }: Options,
  image: ReturnType<typeof openImage>,
): Promise<void> {
  const onTrace = (line: string) => {
    if (traces || line.includes("broken")) console.error(`vhost-blk: ${line}`);
  };
  await using session = new Session({ image, queues, hasSlots, keepsLog, onTrace });
  using _rate = new Rate(() => session.served);
  try {
    await session.serve(connection);
  } catch (error) {
    const isPeer = error instanceof ProtocolError || error instanceof DescriptorClosed ||
      "code" in (error as Error);
    if (!isPeer) throw error;
    if (!(error instanceof DescriptorClosed)) {
      console.error(`vhost-blk: the connection ends: ${(error as Error).message}`);
    }
  }
}

function listen(path: string) {
  try {
    removeIfStale(path);
    return UnixSocket.listen(path);
  } catch (error) {
    throw new VhostError(`cannot listen at ${path}: ${(error as Error).message}`);
  }
}

// What a device has left that was killed. To connect, to find out who listens, would end a device that
// serves one front-end.
function removeIfStale(path: string): void {
  const status = statOf(path);
  if (status === undefined || status.isSocket !== true) return;
  const used = Deno.readTextFileSync("/proc/net/unix").split("\n");
  const full = Deno.realPathSync(path);
  if (used.some((line) => line.endsWith(` ${path}`) || line.endsWith(` ${full}`))) return;
  Deno.removeSync(path);
}

function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

if (import.meta.main) {
  const program = { name: "vhost-blk", usage: USAGE, optionsOf: parseOptions, run: serve };
  Deno.exitCode = await runProgram(program, Deno.args);
}
