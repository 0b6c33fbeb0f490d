/**
 * A VMM in place of Firecracker: it has another process load its memory, and touches it.
 *
 * @module
 */
import { GuestAddress, pageSize, SystemError, UnixSocket } from "@vmm/guest-memory";
import { FaultHandler, restore } from "@vmm/guest-memory/snapshot";
import { grouped, size } from "../lib/units.ts";
import type { Place } from "./arguments.ts";
import { sendHandshake } from "./handshake.ts";
import type { TouchReport, TouchRequest } from "./touching_worker.ts";
import { UffdError } from "./uffd_error.ts";

// As many as virtual CPUs.
const THREADS = 2;
// Milliseconds between two looks for the next handler, or at the progress.
const INTERVAL = 20;
const HIGH_MEMORY = 2 ** 32;

/**
 * Restores a snapshot, lets the handler load it, and touches all pages.
 *
 * @param place Where the handler and the snapshot are.
 * @returns Whether all pages are those of the file.
 * @throws {UffdError} The file has no whole pages.
 * @throws {SystemError} Nobody listens.
 */
export async function runVmm({ socket: path, mem }: Place): Promise<boolean> {
  using file = Deno.openSync(mem);
  const { size: length } = file.statSync();
  const pages = length / pageSize();
  if (!Number.isInteger(pages) || pages < 2) {
    throw new UffdError(`${mem} has ${length} bytes: no two or more pages of ${pageSize()} bytes`);
  }
  let socket = UnixSocket.connect(path);
  // Below and above 4 GiB, as a machine with devices in between.
  const low = Math.ceil(pages / 2) * pageSize();
  const ranges = [[GuestAddress(0), low], [GuestAddress(HIGH_MEMORY), length - low]] as const;
  using memory = restore(ranges, file, { mode: "lazy", thread: false });
  const handler = FaultHandler.of(memory);
  let isOver = false;
  const handing = (async () => {
    for (;;) {
      await sendHandshake(socket, handler);
      console.log(`process ${socket.peer.pid} loads ${size(length)}`);
      await untilHangUp(socket);
      socket.close();
      if (isOver) return;
      console.log("the handler has ended: who touches a page waits for the next");
      socket = await connectAgain(path);
    }
  })();
  const touched = new Int32Array(new SharedArrayBuffer(4));
  const places = shuffled(pages).map((page): [number, number] => {
    const position = page * pageSize();
    return [position < low ? position : HIGH_MEMORY + position - low, position];
  });
  using _progress = showProgress(touched, pages);
  const reports = await Promise.race([
    Promise.all(Array.from({ length: THREADS }, (_, thread) => {
      const share = places.filter((_, index) => index % THREADS === thread);
      return touchAll({ memory: memory.share(), mem, pages: share, touched });
    })),
    // It only ends before if it fails.
    handing as Promise<never>,
  ]);
  isOver = true;
  socket.close();
  await handing.catch(() => {});
  return printResult(reports);
}

function touchAll(request: TouchRequest): Promise<TouchReport> {
  const worker = new Worker(new URL("./touching_worker.ts", import.meta.url), { type: "module" });
  const { promise, resolve, reject } = Promise.withResolvers<TouchReport>();
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = (event) => {
    event.preventDefault();
    reject(new UffdError(event.message));
  };
  worker.postMessage(request);
  return promise;
}

async function untilHangUp(socket: UnixSocket): Promise<void> {
  try {
    while ((await socket.receive()).bytes.length > 0);
  } catch {
    // It has ended in another way.
  }
}

async function connectAgain(path: string): Promise<UnixSocket> {
  for (;;) {
    // The listener of a process that is killed may outlive the connection for a moment.
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    try {
      return UnixSocket.connect(path);
    } catch (error) {
      const isAbsent = error instanceof SystemError &&
        ["ENOENT", "ECONNREFUSED"].includes(error.code);
      if (!isAbsent) throw error;
    }
  }
}

function showProgress(touched: Int32Array, pages: number): Disposable {
  let shown = 0;
  const timer = setInterval(() => {
    const tenths = Math.floor(10 * Atomics.load(touched, 0) / pages);
    if (tenths === shown) return;
    shown = tenths;
    console.log(`${tenths * 10} % of the pages touched`);
  }, INTERVAL);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function printResult(reports: readonly TouchReport[]): boolean {
  const times = Float64Array.from(reports.flatMap(({ times }) => [...times])).sort();
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!.toFixed(1);
  console.log(
    `${grouped(times.length)} first touches: median ${at(0.5)} µs, p95 ${at(0.95)} µs`,
  );
  const isRight = reports.every(({ found, expected }) => found === expected);
  const digests = reports.map(({ found }) => found.slice(0, 12)).join(", ");
  console.log(
    isRight
      ? `all pages are those of the file (SHA-256 ${digests})`
      : "PAGES DIFFER from the file, by SHA-256",
  );
  return isRight;
}

function shuffled(count: number): number[] {
  const numbers = Array.from({ length: count }, (_, index) => index);
  for (let at = count - 1; at > 0; at--) {
    const other = Math.floor(Math.random() * (at + 1));
    [numbers[at], numbers[other]] = [numbers[other]!, numbers[at]!];
  }
  return numbers;
}
