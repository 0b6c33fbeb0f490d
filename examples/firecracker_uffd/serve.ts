/**
 * The handler: serves the page faults of VMMs that connect.
 *
 * @module
 */
import {
  closeDescriptor,
  DescriptorClosed,
  MemoryClosed,
  pageSize,
  SystemError,
  type UnixListener,
  UnixSocket,
} from "@vmm/guest-memory";
import { FaultServer, SnapshotMismatch } from "@vmm/guest-memory/snapshot";
import { count, duration, grouped, size } from "../lib/units.ts";
import type { ServeOptions } from "./arguments.ts";
import { type Handshake, receiveHandshake } from "./handshake.ts";
import { HandshakeRefused, reasonOf } from "./uffd_error.ts";

// Milliseconds.
const LIVE_INTERVAL = 500;

/**
 * Serves until one VMM has ended, with `once`, or for ever.
 *
 * @param options Where, and how.
 * @param onListening Takes the listener when VMMs can connect: closing it ends this.
 * @throws {SystemError} The socket cannot be made: `EADDRINUSE` where there is a file.
 */
export async function serve(
  options: ServeOptions,
  onListening: (listener: UnixListener) => void = () => {},
): Promise<void> {
  using file = Deno.openSync(options.mem);
  using listener = UnixSocket.listen(options.socket);
  console.log(`pages of ${options.mem}`);
  console.log(`listening on ${options.socket}`);
  onListening(listener);
  for (;;) {
    let socket;
    try {
      socket = await listener.accept();
    } catch (error) {
      if (error instanceof DescriptorClosed) return;
      throw error;
    }
    // One that says nothing must not keep others waiting.
    void serveOne(socket, file, options.prefetch).then((isServed) => {
      if (isServed && options.once) listener.close();
    });
  }
}

// Returns whether it was a VMM.
async function serveOne(
  connection: UnixSocket,
  file: Deno.FsFile,
  prefetch: boolean,
): Promise<boolean> {
  using socket = connection;
  let pid = 0;
  try {
    ({ pid } = socket.peer);
    const handshake = await receiveHandshake(socket);
    if (handshake === undefined) return false;
    using server = startServer(handshake, file, prefetch);
    const began = performance.now();
    console.log(
      `VMM ${pid}: serving ${count(handshake.ranges.length, "region")}, ` +
        `${size(handshake.ranges.reduce((sum, { len }) => sum + len, 0))}`,
    );
    server.done.catch((error) => {
      // The socket says the same.
      if (!(error instanceof MemoryClosed)) report(pid, error);
    });
    using _live = showLive(pid, server);
    await untilHangUp(socket);
    const took = duration(performance.now() - began);
    // A VMM that ends with the last page is sooner than the thread that counts it.
    server.close();
    console.log(`VMM ${pid}: ended after ${took}, ${progressOf(server)}`);
    return true;
  } catch (error) {
    report(pid, error);
    return false;
  }
}

function startServer(
  { fd, ranges }: Handshake,
  file: Deno.FsFile,
  prefetch: boolean,
): FaultServer {
  try {
    return new FaultServer(fd, ranges, file, { prefetch });
  } catch (error) {
    if (error instanceof SystemError && error.code === "ENOTTY") {
      throw new HandshakeRefused("its descriptor is no userfaultfd", error);
    }
    const isItsFault = error instanceof RangeError || error instanceof SnapshotMismatch ||
      error instanceof SystemError && error.code === "EINVAL";
    if (isItsFault) throw new HandshakeRefused(error.message, error);
    throw error;
  } finally {
    closeDescriptor(fd);
  }
}

// The end of the VMM, whatever it sends before.
async function untilHangUp(socket: UnixSocket): Promise<void> {
  for (;;) {
    try {
      using message = await socket.receive();
      if (message.bytes.length === 0) return;
    } catch (error) {
      if (error instanceof SystemError && error.code === "ECONNRESET") return;
      throw error;
    }
  }
}

// A line each time in which something happened.
function showLive(pid: number, server: FaultServer): Disposable {
  let faults = 0;
  let bytes = 0;
  let at = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    const perSecond = (server.faults - faults) / ((now - at) / 1000);
    const isSame = server.faults === faults && server.progress.bytes === bytes;
    at = now;
    faults = server.faults;
    bytes = server.progress.bytes;
    if (isSame) return;
    const rate = grouped(Math.round(perSecond));
    console.log(`VMM ${pid}: ${rate} faults/s, ${progressOf(server)}`);
  }, LIVE_INTERVAL);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

// Each fault is another page, so faults are the working set.
function progressOf({ faults, progress: { bytes, total } }: FaultServer): string {
  const touched = `working set ${size(faults * pageSize())} (${count(faults, "fault")})`;
  return `${touched}, ${size(bytes)} of ${size(total)} loaded`;
}

function report(pid: number, error: unknown): void {
  const reason = error instanceof HandshakeRefused ? `refused, ${error.reason}` : reasonOf(error);
  if (reason === undefined) console.error(error);
  else console.error(`VMM ${pid}: ${reason}`);
}
