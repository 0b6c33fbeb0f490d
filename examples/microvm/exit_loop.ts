/**
 * The heart of a VMM: enter the guest, see why it came out, do what it wants, enter again.
 *
 * @module
 */
import type { Ending } from "./ending.ts";
import { KVM_RUN } from "./kvm_requests.ts";
import { EAGAIN, EINTR, ioctlCaller, lastErrno, lastError } from "./libc.ts";
import type { MmioBus } from "./mmio_bus.ts";
import type { PortBus } from "./port_bus.ts";
import type { RunPage } from "./run_page.ts";

// KVM_EXIT_* of linux/kvm.h.
const EXIT_IO = 2;
const EXIT_HLT = 5;
const EXIT_MMIO = 6;
const EXIT_SHUTDOWN = 8;
const EXIT_FAIL_ENTRY = 9;
const EXIT_INTERNAL_ERROR = 17;
const EXIT_SYSTEM_EVENT = 24;

/** The names of the exits that a guest here may make. */
export const EXIT_NAMES: Readonly<Record<number, string>> = {
  [EXIT_IO]: "port access",
  [EXIT_HLT]: "halt",
  [EXIT_MMIO]: "memory access",
  [EXIT_SHUTDOWN]: "triple fault",
  [EXIT_FAIL_ENTRY]: "entry failure",
  [EXIT_INTERNAL_ERROR]: "internal error",
  [EXIT_SYSTEM_EVENT]: "system event",
};

/** What the loop works with. */
export interface LoopOptions {
  readonly vcpuFd: number;
  readonly page: RunPage;
  readonly ports: PortBus;
  readonly mmio: MmioBus;
  /**
   * Whether an access to memory that is not there reads all ones and writes nothing, as on a PC.
   * Otherwise it ends the loop.
   */
  readonly floatingBus: boolean;
}

/** The loop of one virtual CPU. Nothing in it makes an object for an exit. */
export class ExitLoop {
  /** How often the guest exited, by `KVM_EXIT_*`. */
  readonly exits: Uint32Array<ArrayBuffer> = new Uint32Array(64);
  /** When it exited first, in milliseconds since 1970; 0 before. */
  firstExit = 0;
  readonly #run: () => number;
  readonly #page: RunPage;
  readonly #ports: PortBus;
  readonly #mmio: MmioBus;
  readonly #floatingBus: boolean;
  #ending: Ending | undefined;

  /** Prepares the loop. */
  constructor({ vcpuFd, page, ports, mmio, floatingBus }: LoopOptions) {
    this.#run = ioctlCaller(vcpuFd, KVM_RUN);
    this.#page = page;
    this.#ports = ports;
    this.#mmio = mmio;
    this.#floatingBus = floatingBus;
  }

  /** Ends the loop at the next opportunity: for devices. */
  end(ending: Ending): void {
    this.#ending ??= ending;
  }

  /**
   * Runs the guest.
   *
   * @returns Why it ended, or `undefined` where a signal asks for attention: call it again then.
   */
  run(): Ending | undefined {
    while (this.#ending === undefined) {
      if (this.#run() < 0) {
        const errno = lastErrno();
        if (errno === EINTR) return undefined;
        if (errno === EAGAIN) continue;
        throw lastError(KVM_RUN.name);
      }
      const reason = this.#page.exitReason;
      if (this.firstExit === 0) this.firstExit = performance.timeOrigin + performance.now();
      this.exits[reason]!++;
      if (reason === EXIT_IO) this.#accessPort();
      else if (reason === EXIT_MMIO && this.#accessMemory()) continue;
      else this.#ending ??= this.#endingOf(reason);
    }
    return this.#ending;
  }

  #accessPort(): void {
    const page = this.#page;
    const { port, size, isOut } = page;
    const device = this.#ports.at(port);
    let { count, dataOffset } = page;
    for (; count > 0; count--, dataOffset += size) {
      if (isOut) device.write(port, page.value(dataOffset, size), size);
      else page.setValue(dataOffset, size, device.read(port, size));
    }
  }

  // Returns whether there is somebody to answer.
  #accessMemory(): boolean {
    const page = this.#page;
    const { address, length, isWrite } = page;
    const window = this.#mmio.at(address);
    if (window === undefined && !this.#floatingBus) return false;
    // Bytes of an access that KVM had to split, or 64 bits: no register here is accessed so.
    const isWhole = length === 1 || length === 2 || length === 4;
    if (window === undefined || !isWhole) {
      page.floatBus();
      return true;
    }
    const { device, start } = window;
    const at = page.memoryDataOffset;
    if (isWrite) device.write(address - start, page.value(at, length), length);
    else page.setValue(at, length, device.read(address - start, length));
    return true;
  }

  #endingOf(reason: number): Ending {
    const page = this.#page;
    switch (reason) {
      case EXIT_HLT:
        return { kind: "halted" };
      case EXIT_MMIO: {
        const { address, length, isWrite } = page;
        return { kind: "mmio", address, length, written: isWrite ? page.data : undefined };
      }
      case EXIT_SHUTDOWN:
        return { kind: "triple fault" };
      case EXIT_FAIL_ENTRY:
        return { kind: "entry failed", reason: page.entryFailure };
      case EXIT_INTERNAL_ERROR:
        return { kind: "internal error", ...page.internalError };
      case EXIT_SYSTEM_EVENT:
        return { kind: "reset" };
      default:
        return { kind: "unknown exit", reason };
    }
  }
}
