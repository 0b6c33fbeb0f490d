/**
 * What all machines of a run have in common, and the folder that is removed in the end.
 *
 * @module
 */
import { type Accelerator, chooseAccelerator } from "./accelerator.ts";
import { BlockDevice, type DeviceKind, type DeviceOptions } from "./block_device.ts";
import { GuestError, Skipped } from "./guest_error.ts";
import { initramfs } from "./initramfs.ts";
import type { Provisions } from "./provisions.ts";
import type { Machine } from "./qemu_arguments.ts";
import { Vm } from "./vm.ts";

/** How a {@linkcode Host} is set up. */
export interface HostOptions {
  readonly provisions: Provisions;
  /** The programs of the checks by name, or why there are none. */
  readonly tools: Readonly<Record<string, string>> | string;
  /** MiB of each machine. */
  readonly memory: number;
  /** Who serves disks. */
  readonly device: DeviceKind;
  /** Whether these go past the host's page cache. */
  readonly direct: boolean;
  /** What runs the guests' code, if that is not found out. */
  readonly accelerator: Accelerator | undefined;
}

/** Makes machines and devices. Disposing of it ends those that run, and removes its folder. */
export class Host implements AsyncDisposable {
  readonly #options: HostOptions;
  /** Where sockets and images go: a path that is short enough for a socket. */
  readonly folder: string;
  readonly #running: Promise<AsyncDisposable>[] = [];
  #ended = false;
  #sockets = 0;
  #accelerator: Accelerator = "tcg";

  private constructor(options: HostOptions, folder: string) {
    this.#options = options;
    this.folder = folder;
  }

  /**
   * Makes the guest's file system, and finds out what runs its code.
   *
   * @param options What machines have in common.
   */
  static async create(options: HostOptions): Promise<Host> {
    const host = new Host(options, await Deno.makeTempDir({ prefix: "guest-" }));
    try {
      const tools = typeof options.tools === "string" ? {} : options.tools;
      await Deno.writeFile(host.#initramfs, await initramfs(options.provisions, tools));
      host.#accelerator = options.accelerator ?? await chooseAccelerator(host);
      return host;
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Who serves disks. */
  get device(): DeviceKind {
    return this.#options.device;
  }

  /** What runs the guests' code. */
  get accelerator(): Accelerator {
    return this.#accelerator;
  }

  /** What the guests consist of. */
  get provisions(): Provisions {
    return this.#options.provisions;
  }

  /**
   * Throws if the guests do not have the programs of the checks.
   *
   * @throws {Skipped} They do not.
   */
  ensureTools(): void {
    const { tools } = this.#options;
    if (typeof tools === "string") throw new Skipped(`fio and dma are missing: ${tools}`);
  }

  get #initramfs(): string {
    return `${this.folder}/initramfs`;
  }

  /** The path of a socket that nobody has used. */
  newSocket(): string {
    return `${this.folder}/${this.#sockets++}.sock`;
  }

  /**
   * Makes a disk with nothing in it.
   *
   * @param name Its name in the folder of this host.
   * @param bytes Its size.
   * @returns Its path.
   */
  async newImage(name: string, bytes: number): Promise<string> {
    this.#ensureNotEnded();
    const path = `${this.folder}/${name}`;
    await Deno.writeFile(path, new Uint8Array());
    await Deno.truncate(path, bytes);
    return path;
  }

  /**
   * A machine, as QEMU is called for it.
   *
   * @param machine What is particular about it.
   */
  machine(machine: Partial<Machine> & Pick<Machine, "disks">): Machine {
    return {
      session: "commands",
      firmware: this.provisions.firmware,
      kernel: this.provisions.kernel,
      initramfs: this.#initramfs,
      accelerator: this.#accelerator,
      memory: this.#options.memory,
      monitor: this.newSocket(),
      ...machine,
    };
  }

  /**
   * Starts a machine.
   *
   * @param machine What is particular about it.
   */
  async start(machine: Partial<Machine> & Pick<Machine, "disks">): Promise<Vm> {
    const { qemu, env } = this.provisions;
    return await this.#own(() => Vm.start({ ...this.machine(machine), qemu, env }));
  }

  /**
   * Starts a device.
   *
   * @param options The device: of the kind that was asked for, at a new socket, if these are not
   * given.
   */
  async serve(
    options: Partial<DeviceOptions> & Pick<DeviceOptions, "image">,
  ): Promise<BlockDevice & { readonly socket: string }> {
    const socket = options.socket ?? this.newSocket();
    const { storageDaemon, env } = this.provisions;
    const device = await this.#own(() =>
      BlockDevice.start({
        kind: this.device,
        direct: this.#options.direct,
        socket,
        storageDaemon,
        env,
        ...options,
      })
    );
    return Object.assign(device, { socket });
  }

  /** Ends what runs, and removes the folder. Nothing is started afterwards. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    // Machines before the devices that they were started after.
    for (const running of this.#running.reverse()) {
      await (await running.catch(() => undefined))?.[Symbol.asyncDispose]();
    }
    await Deno.remove(this.folder, { recursive: true });
  }

  // Whoever waits for it may have been abandoned when it has started.
  async #own<T extends AsyncDisposable>(start: () => Promise<T>): Promise<T> {
    this.#ensureNotEnded();
    const running = start();
    this.#running.push(running);
    return await running;
  }

  #ensureNotEnded(): void {
    if (this.#ended) throw new GuestError("the program is about to end");
  }
}
