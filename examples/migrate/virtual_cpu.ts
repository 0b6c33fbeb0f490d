/**
 * The program of a virtual CPU, as the thread that runs it sees it.
 *
 * @module
 */
import { KVM_RUN } from "../microvm/kvm_requests.ts";
import { EAGAIN, EINTR, ioctlCaller, lastErrno, lastError } from "../microvm/libc.ts";
import { RunPage } from "../microvm/run_page.ts";
import { BATCH, type Program } from "./guest.ts";
import { MigrateError } from "./migrate_error.ts";

// KVM_EXIT_IO of linux/kvm.h.
const EXIT_IO = 2;

/** A virtual CPU that asks the host, by a port, how many steps to make next. */
export class VirtualCpu implements Program, Disposable {
  readonly #run: () => number;
  readonly #page: RunPage;

  /**
   * Takes a virtual CPU.
   *
   * @param vcpuFd Its descriptor.
   * @param runPageSize Bytes of the page that KVM shares.
   */
  constructor(vcpuFd: number, runPageSize: number) {
    this.#run = ioctlCaller(vcpuFd, KVM_RUN);
    this.#page = new RunPage(vcpuFd, runPageSize);
  }

  /** Enters the guest, which makes its steps, and asks again. */
  run(): void {
    const page = this.#page;
    while (this.#run() < 0) {
      const errno = lastErrno();
      if (errno !== EINTR && errno !== EAGAIN) throw lastError(KVM_RUN.name);
    }
    const { exitReason } = page;
    if (exitReason !== EXIT_IO || page.isOut || page.size !== 4) {
      throw new MigrateError(`the guest has ended: exit ${exitReason} of KVM`);
    }
    page.setValue(page.dataOffset, 4, BATCH);
  }

  /**
   * Lets KVM finish the instruction that asked. Before that, the registers are not those that
   * another virtual CPU can continue from (`Documentation/virt/kvm/api.rst`, `KVM_RUN`).
   */
  settle(): void {
    this.#page.immediateExit = true;
    const isInterrupted = this.#run() < 0 && lastErrno() === EINTR;
    this.#page.immediateExit = false;
    if (!isInterrupted) throw new MigrateError("KVM has not finished an instruction");
  }

  /** Unmaps what it has mapped. */
  [Symbol.dispose](): void {
    this.#page[Symbol.dispose]();
  }
}
