/**
 * A virtual machine: QEMU as a child process.
 *
 * @module
 */
import { GuestError } from "./guest_error.ts";
import { type Machine, qemuArguments } from "./qemu_arguments.ts";
import { Qmp } from "./qmp.ts";
import { type CommandResult, SerialLine } from "./serial_line.ts";
import { listening } from "./sockets.ts";

/** What runs a machine whose serial line a program reads. */
export type VmOptions = Omit<Machine, "session"> & {
  /** The program, and what it has to find in its environment. */
  readonly qemu: string;
  readonly env: Record<string, string>;
};

const START_SECONDS = 20;
/** A guest on a loaded host without KVM needs most of it. */
const BOOT_SECONDS = 90;
const COMMAND_SECONDS = 60;
const END_SECONDS = 10;

/**
 * A running guest that takes commands.
 *
 * @example
 * ```ts ignore
 * await using vm = await Vm.start({ ...provisions, initramfs, disks, accelerator: "tcg", monitor, memory: 512 });
 * await vm.ready();
 * console.log(vm.pid, (await vm.run("uname -r")).output);
 * ```
 */
export class Vm implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #line: SerialLine;
  readonly #errors: Promise<string>;
  /** Its monitor. */
  readonly qmp: Qmp;

  private constructor(
    child: Deno.ChildProcess,
    line: SerialLine,
    errors: Promise<string>,
    qmp: Qmp,
  ) {
    this.#child = child;
    this.#line = line;
    this.#errors = errors;
    this.qmp = qmp;
  }

  /**
   * Starts QEMU. The guest boots meanwhile: see {@linkcode ready}.
   *
   * @param options The machine, and what runs it.
   * @throws {GuestError} QEMU does not start; the message says why.
   */
  static async start(options: VmOptions): Promise<Vm> {
    const child = new Deno.Command(options.qemu, {
      args: qemuArguments({ ...options, session: "commands" }),
      env: options.env,
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const line = new SerialLine(child.stdin, child.stdout);
    const errors = new Response(child.stderr).text();
    try {
      const listens = listening(options.monitor, START_SECONDS);
      if (!await Promise.race([listens, child.status.then(() => false)])) {
        throw new GuestError(`it listens at no monitor within ${START_SECONDS} s`);
      }
      return new Vm(child, line, errors, await Qmp.connect(options.monitor));
    } catch (error) {
      end(child, "SIGKILL");
      await line.close();
      await child.status;
      const reason = (await errors).trim() || (error as Error).message;
      throw new GuestError(`QEMU does not start: ${reason}`);
    }
  }

  /** The number of QEMU's process, where the guest's memory can be found. */
  get pid(): number {
    return this.#child.pid;
  }

  /**
   * Waits until the guest has booted.
   *
   * @param seconds How long it may take.
   * @throws {GuestError} It does not boot.
   */
  async ready(seconds: number = BOOT_SECONDS): Promise<void> {
    await this.#line.ready(seconds);
  }

  /**
   * Runs a command in the guest.
   *
   * @param command One line for its shell.
   * @param seconds How long it may take.
   * @throws {GuestError} It takes longer, or the guest has ended.
   */
  async run(command: string, seconds: number = COMMAND_SECONDS): Promise<CommandResult> {
    return await this.#line.run(command, seconds);
  }

  /**
   * Runs a command in the guest that has to succeed.
   *
   * @param command One line for its shell.
   * @param seconds How long it may take.
   * @returns What it wrote, without blanks at the ends.
   * @throws {GuestError} It fails.
   */
  async check(command: string, seconds: number = COMMAND_SECONDS): Promise<string> {
    const { output, code } = await this.run(command, seconds);
    if (code === 0) return output.trim();
    throw new GuestError(`in the guest, ${command} failed (${code}): ${output.trim().slice(-300)}`);
  }

  /** Powers the guest off, and waits for QEMU's end. */
  async powerOff(): Promise<void> {
    await this.#line.send("poweroff -f").catch(() => {});
    await this.#ended();
  }

  /** Ends QEMU, whatever the guest does. */
  async [Symbol.asyncDispose](): Promise<void> {
    end(this.#child, "SIGTERM");
    await this.#ended();
  }

  async #ended(): Promise<void> {
    const timer = setTimeout(() => end(this.#child, "SIGKILL"), END_SECONDS * 1000);
    await this.#child.status;
    clearTimeout(timer);
    this.qmp[Symbol.dispose]();
    await this.#line.close();
    await this.#errors;
  }
}

function end(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch (error) {
    // It has ended already.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}
