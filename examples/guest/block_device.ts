/**
 * The process that serves a guest's disk.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { GuestError } from "./guest_error.ts";
import { listening } from "./sockets.ts";

/** Who serves it: the device of this repository, or QEMU's own with a way of its to do I/O. */
export type DeviceKind = "deno" | "threads" | "io_uring";
/** All of them. */
export const DEVICE_KINDS: readonly DeviceKind[] = ["deno", "threads", "io_uring"];

/** A device. */
export interface DeviceOptions {
  readonly kind: DeviceKind;
  /** The file that is the disk. */
  readonly image: string;
  /** The Unix socket where it listens. */
  readonly socket: string;
  /** Whether to go past the host's page cache. */
  readonly direct?: boolean;
  /** Whether other processes have the image too. */
  readonly shared?: boolean;
  /** Arguments for the device of this repository only. */
  readonly extra?: readonly string[];
  /** The program of QEMU's device, and what it has to find in its environment. */
  readonly storageDaemon: string;
  readonly env: Record<string, string>;
}

/** The program that serves a disk. */
const PROGRAM = fileURLToPath(new URL("../vhost_user.ts", import.meta.url));
const START_SECONDS = 30;
const END_SECONDS = 5;
/** Of the kernel's clock for processes: `USER_HZ`, which is 100 on every Linux. */
const TICK_US = 10_000;

/** A running device. */
export class BlockDevice implements AsyncDisposable {
  readonly #options: DeviceOptions;
  #child: Deno.ChildProcess;
  #errors: Promise<string>;
  #ended = false;

  private constructor(options: DeviceOptions) {
    this.#options = options;
    [this.#child, this.#errors] = spawn(options);
  }

  /**
   * Starts a device, and waits until it listens.
   *
   * @param options The device.
   * @throws {GuestError} It does not start; the message says why.
   */
  static async start(options: DeviceOptions): Promise<BlockDevice> {
    const device = new BlockDevice(options);
    await device.#listens();
    return device;
  }

  /** Its process. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Kills it as `kill -9` does, and starts it again on the same socket. */
  async killAndRestart(): Promise<void> {
    this.#kill("SIGKILL");
    await this.#child.status;
    await this.#errors;
    if (this.#ended) throw new GuestError("the device has been ended");
    Deno.removeSync(this.#options.socket);
    [this.#child, this.#errors] = spawn(this.#options);
    await this.#listens();
  }

  /** Microseconds of processor time that it has used, to 10 ms. */
  async processorTime(): Promise<number> {
    return processorTimeOf(await Deno.readTextFile(`/proc/${this.pid}/stat`));
  }

  /**
   * Waits until it has ended by itself, as it does once QEMU has closed the connection.
   *
   * @returns Its exit status, or `undefined` if it had to be ended.
   */
  async ended(): Promise<number | undefined> {
    let inTime = true;
    const timer = setTimeout(() => {
      inTime = false;
      this.#kill("SIGKILL");
    }, END_SECONDS * 1000);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    return inTime ? code : undefined;
  }

  /** What it wrote to stderr, once it has ended. */
  get errors(): Promise<string> {
    return this.#errors;
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#kill("SIGTERM");
    await this.ended();
    await this.#errors;
    await Deno.remove(this.#options.socket).catch(() => {});
  }

  async #listens(): Promise<void> {
    const listens = listening(this.#options.socket, START_SECONDS);
    if (await Promise.race([listens, this.#child.status.then(() => false)])) return;
    this.#kill("SIGKILL");
    const reason = (await this.#errors).trim().split("\n").slice(-3).join("; ");
    throw new GuestError(`the device (${this.#options.kind}) does not start: ${reason}`);
  }

  #kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has ended already.
      if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/**
 * Microseconds of processor time that a process has used.
 *
 * @param stat The text of its `/proc/PID/stat`.
 */
export function processorTimeOf(stat: string): number {
  // The name of the program, in parentheses, may contain anything. utime and stime are fields 14
  // and 15 (proc_pid_stat(5)), and field 3 is the first after the name.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/**
 * How a device is called.
 *
 * @param options The device.
 * @returns The program and its arguments.
 */
export function deviceCommand(options: DeviceOptions): [string, string[]] {
  const { kind, image, socket, direct = false, shared = false, extra = [] } = options;
  if (kind === "deno") {
    return [Deno.execPath(), [
      ...["run", "--allow-all", PROGRAM, "--socket", socket, "--image", image],
      ...(direct ? ["--direct"] : []),
      ...extra,
    ]];
  }
  const file = [
    "driver=file,node-name=disk",
    `filename=${escaped(image)}`,
    `aio=${kind}`,
    ...(direct ? ["cache.direct=on"] : []),
    ...(shared ? ["locking=off"] : []),
    "discard=unmap",
  ];
  const disk = "type=vhost-user-blk,id=export,node-name=disk,writable=on";
  return [options.storageDaemon, [
    ...["--blockdev", file.join(",")],
    ...["--export", `${disk},addr.type=unix,addr.path=${escaped(socket)}`],
  ]];
}

function spawn(options: DeviceOptions): [Deno.ChildProcess, Promise<string>] {
  const [program, args] = deviceCommand(options);
  const child = new Deno.Command(program, {
    args,
    // The libraries are those of QEMU's program.
    ...(options.kind !== "deno" && { env: options.env }),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    // Ctrl-C at the terminal is for QEMU: a device that ended before it would make it complain.
    detached: true,
  }).spawn();
  return [child, new Response(child.stderr).text()];
}

function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
