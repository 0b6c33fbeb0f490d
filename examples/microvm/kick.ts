/**
 * How a thread that is inside the guest is asked to come out: by a signal that it blocks, except
 * while it is in the guest. A signal that comes too early stays pending, and lets the thread not
 * enter: none is lost, and no handler is needed.
 *
 * @module
 */
import { asSlice, struct, u32, u64 } from "@vmm/guest-memory";
import { KVM_SET_SIGNAL_MASK } from "./kvm_requests.ts";
import { blockSignal, ioctlOnBytes, signalThread, takePendingSignal } from "./libc.ts";

/** `SIGUSR2` of asm/signal.h. Deno has no use for it. */
const KICK = 12;

// struct kvm_signal_mask of linux/kvm.h: the size of the kernel's sigset_t, and the set itself.
const SignalMask = struct({ size: u32, blocked: u64 }, { packed: true });

/** Prepares the calling thread, which will run the virtual CPU, to be kicked. */
export function prepareForKicks(vcpuFd: number): void {
  blockSignal(KICK);
  // Nothing is blocked inside the guest.
  ioctlOnBytes(vcpuFd, KVM_SET_SIGNAL_MASK, asSlice(SignalMask, { size: 8, blocked: 0n }));
}

/** Takes note of a kick, in the thread that was kicked. */
export function takeKick(): void {
  takePendingSignal(KICK);
}

/** Gets a thread out of the guest, now or as soon as it enters. */
export function kick(thread: number): void {
  signalThread(thread, KICK);
}
