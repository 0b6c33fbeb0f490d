/**
 * A virtual machine as KVM has it: slots of memory, interrupt lines and virtual CPUs.
 *
 * @module
 */
import { array, struct, u32, u64 } from "@vmm/guest-memory";
import {
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_CREATE_VCPU,
  KVM_GET_DIRTY_LOG,
  KVM_IRQ_LINE,
  KVM_SET_TSS_ADDR,
  KVM_SET_USER_MEMORY_REGION,
} from "./kvm_requests.ts";
import { addressOf, close, ioctl, ioctlSet } from "./libc.ts";

// Structures of linux/kvm.h.
const MemoryRegion = struct({ slot: u32, flags: u32, guestAddress: u64, size: u64, host: u64 });
const DirtyLog = struct({ slot: u32, padding: u32, bitmap: u64 });
const IrqLevel = struct({ irq: u32, level: u32 });
const PitConfig = struct({ flags: u32, padding: array(u32, 15) });

/** `KVM_MEM_LOG_DIRTY_PAGES`: KVM remembers which pages the guest writes. */
const LOG_DIRTY_PAGES = 1;
/** `KVM_MEM_READONLY`: what the guest writes there exits instead. */
const READ_ONLY = 2;
/** `KVM_PIT_SPEAKER_DUMMY`: the guest's port 0x61, which calibrates its clock, needs no exit. */
const SPEAKER_DUMMY = 1;
/** Three pages that Intel's real mode wants, below the top of 4 GiB, as Firecracker has them. */
const TSS_ADDRESS = 0xfffbd000;
/** KVM's dirty log has a bit for each page of 4 KiB, in whole words of 64 bits. */
const PAGE = 4096;

/** A stretch of host memory that the guest sees at an address. */
export interface Slot {
  /** Its number, unique in a machine. */
  readonly slot: number;
  /** The guest physical address, a multiple of 4096. */
  readonly guestAddress: number;
  /** Bytes, a multiple of 4096; 0 removes the slot. */
  readonly size: number;
  /** The host address. It has to stay mapped as long as the slot is there. */
  readonly host: bigint;
  /** Whether the guest may only read. */
  readonly readOnly?: boolean;
  /** Whether KVM remembers what the guest writes. */
  readonly logDirtyPages?: boolean;
}

/** A virtual machine. Closing it ends it, once its virtual CPUs are closed too. */
export class Vm implements Disposable {
  /** Its descriptor, for raising interrupts from another thread. */
  readonly fd: number;

  /** Takes the descriptor of a machine. */
  constructor(fd: number) {
    this.fd = fd;
  }

  /** Adds, changes or removes a slot of memory immediately, also while the guest runs. */
  setSlot(slot: Slot): void {
    const { size, readOnly = false, logDirtyPages = false } = slot;
    ioctlSet(this.fd, KVM_SET_USER_MEMORY_REGION, MemoryRegion, {
      slot: slot.slot,
      flags: (logDirtyPages ? LOG_DIRTY_PAGES : 0) | (readOnly ? READ_ONLY : 0),
      guestAddress: BigInt(slot.guestAddress),
      size: BigInt(size),
      host: slot.host,
    });
  }

  /**
   * Takes the log of the pages that the guest wrote since the last call.
   *
   * @param slot The slot, one that logs.
   * @param size Its bytes.
   * @returns Bit n is page n.
   */
  takeDirtyLog(slot: number, size: number): Uint8Array {
    const log = new Uint8Array(Math.ceil(size / PAGE / 64) * 8);
    ioctlSet(this.fd, KVM_GET_DIRTY_LOG, DirtyLog, { slot, padding: 0, bitmap: addressOf(log) });
    return log;
  }

  /**
   * Adds the interrupt controllers and the timer of a PC. It has to come before the virtual CPUs.
   * From then on, a guest that waits for an interrupt (`hlt`) waits inside KVM.
   */
  addInterruptsAndTimer(): void {
    ioctl(this.fd, KVM_SET_TSS_ADDR, TSS_ADDRESS);
    ioctl(this.fd, KVM_CREATE_IRQCHIP);
    const padding = Array.from({ length: 15 }, () => 0);
    ioctlSet(this.fd, KVM_CREATE_PIT2, PitConfig, { flags: SPEAKER_DUMMY, padding });
  }

  /** Adds a virtual CPU and returns its descriptor. */
  createVcpu(id: number): number {
    return ioctl(this.fd, KVM_CREATE_VCPU, id);
  }

  /** Ends the machine. */
  [Symbol.dispose](): void {
    close(this.fd);
  }
}

/** Sets the level of an interrupt line. */
export function setIrqLine(vmFd: number, irq: number, level: boolean): void {
  ioctlSet(vmFd, KVM_IRQ_LINE, IrqLevel, { irq, level: level ? 1 : 0 });
}
