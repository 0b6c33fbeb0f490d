/**
 * Read leases: whoever wants to change a file that is mapped has to wait.
 *
 * @module
 */
import { endLease, isLeaseBreaking, leaseFile } from "../../../ffi/file_lease.ts";
import type { Descriptor } from "./descriptor.ts";

/** Called when another process wants to change a leased file. It can do so afterwards. */
export type OnLeaseBreak = () => void | Promise<void>;

const leases = new Map<Descriptor, OnLeaseBreak>();

/**
 * Takes a read lease of a file. It ends with the descriptor, or when somebody wanted to change the
 * file.
 *
 * @param descriptor The file, open to read only.
 * @param onBreak Called before somebody changes the file.
 * @throws {SystemError} The kernel refuses: the file is open for writing, or is somebody else's.
 */
export function takeLease(descriptor: Descriptor, onBreak: OnLeaseBreak): void {
  // The kernel sends SIGIO, which would end a process that does not listen.
  if (leases.size === 0) Deno.addSignalListener("SIGIO", breakLeases);
  leases.set(descriptor, onBreak);
  try {
    leaseFile(descriptor.fd);
    descriptor.onClose = () => forget(descriptor);
  } catch (error) {
    forget(descriptor);
    throw error;
  }
}

function forget(descriptor: Descriptor): void {
  if (leases.delete(descriptor) && leases.size === 0) {
    Deno.removeSignalListener("SIGIO", breakLeases);
  }
}

function breakLeases(): void {
  for (const [descriptor, onBreak] of leases) {
    if (descriptor.closed) forget(descriptor);
    else if (isLeaseBreaking(descriptor.fd)) void breakLease(descriptor, onBreak);
  }
}

async function breakLease(descriptor: Descriptor, onBreak: OnLeaseBreak): Promise<void> {
  forget(descriptor);
  try {
    await onBreak();
  } finally {
    if (!descriptor.closed) endLease(descriptor.fd);
  }
}
