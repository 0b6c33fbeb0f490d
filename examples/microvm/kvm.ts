/**
 * KVM itself: the device that makes virtual machines.
 *
 * @module
 */
import { SystemError } from "@vmm/guest-memory";
import { type CpuidEntry, supportedCpuid } from "./cpuid.ts";
import { KVM_CREATE_VM, KVM_GET_API_VERSION, KVM_GET_VCPU_MMAP_SIZE } from "./kvm_requests.ts";
import { close, ioctl, open } from "./libc.ts";
import { MicrovmError } from "./microvm_error.ts";
import { Vm } from "./vm.ts";

/** `KVM_API_VERSION`: the only one there has been since Linux 2.6.22. */
const API_VERSION = 12;

/** KVM, open. */
export class Kvm implements Disposable {
  /** Bytes of the page that KVM and the program share for each virtual CPU. */
  readonly runPageSize: number;
  readonly #fd: number;

  /**
   * Opens KVM.
   *
   * @param path Its device.
   * @throws {MicrovmError} It is not there, not for this user, or not KVM.
   */
  constructor(path: string = "/dev/kvm") {
    this.#fd = openDevice(path);
    try {
      const version = ioctl(this.#fd, KVM_GET_API_VERSION);
      if (version !== API_VERSION) {
        throw new MicrovmError(`cannot use ${path}: its API version is ${version}, not 12`);
      }
      this.runPageSize = ioctl(this.#fd, KVM_GET_VCPU_MMAP_SIZE);
    } catch (error) {
      close(this.#fd);
      if (!(error instanceof SystemError)) throw error;
      throw new MicrovmError(`cannot use ${path}: it is not KVM (${error.code})`, { cause: error });
    }
  }

  /** Makes a virtual machine that has nothing yet. */
  createVm(): Vm {
    return new Vm(ioctl(this.#fd, KVM_CREATE_VM));
  }

  /** What KVM can offer a guest as its processor. */
  supportedCpuid(): CpuidEntry[] {
    return supportedCpuid(this.#fd);
  }

  /** Closes the device. What was made with it stays. */
  [Symbol.dispose](): void {
    close(this.#fd);
  }
}

function openDevice(path: string): number {
  try {
    return open(path);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new MicrovmError(`cannot open ${path}: ${explain(error.code)}`, { cause: error });
  }
}

function explain(code: string): string {
  switch (code) {
    case "ENOENT":
    case "ENODEV":
    case "ENXIO":
      return "there is no KVM here. It takes Linux on x86-64 with virtualization enabled";
    case "EACCES":
    case "EPERM":
      return "permission denied. Run as root, or as a member of the device's group (mostly kvm)";
    default:
      return code;
  }
}
