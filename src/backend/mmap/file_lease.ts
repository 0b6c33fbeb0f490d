/**
 * Read leases: whoever wants to change a file that is mapped has to wait.
 *
 * @module
 */
import {
  endLease,
  isLeaseBreaking,
  leaseFile,
  offLeaseSignal,
  onLeaseSignal,
} from "../../../ffi/file_lease.ts";
import { forAll } from "../../bitmap/bitmap.ts";
import type { Descriptor } from "./descriptor.ts";

/** Called when another process wants to change a leased file. It can do so afterwards. */
export type OnLeaseBreak = () => void | Promise<void>;

// The leases of this thread by their file. The kernel has one for each.
const leases = new Map<Descriptor, Set<FileLease>>();

/** A read lease of a file, with a reference count. It ends when somebody wanted to change the file. */
export class FileLease {
  readonly #descriptor: Descriptor;
  readonly #onBreak: OnLeaseBreak;
  #references = 1;

  private constructor(descriptor: Descriptor, onBreak: OnLeaseBreak) {
    this.#descriptor = descriptor;
    this.#onBreak = onBreak;
  }

  /**
   * Takes a lease, with a reference for the caller.
   *
   * @param descriptor The file, open to read only. It stays open until the lease is released.
   * @param onBreak Called before somebody changes the file.
   * @throws {SystemError} The kernel refuses: the file is open for writing, or is somebody else's.
   * @throws {Error} This thread gets no signals: a Worker of Node.js or Bun.
   */
  static take(descriptor: Descriptor, onBreak: OnLeaseBreak): FileLease {
    const lease = new FileLease(descriptor, onBreak);
    const shared = leases.get(descriptor);
    if (shared !== undefined) {
      shared.add(lease);
      return lease;
    }
    if (leases.size === 0) onLeaseSignal(breakLeases);
    leases.set(descriptor, new Set([lease]));
    try {
      leaseFile(descriptor.fd);
      return lease;
    } catch (error) {
      forget(descriptor);
      throw error;
    }
  }

  /** Adds a reference. */
  retain(): void {
    this.#references++;
  }

  /** Removes a reference. The kernel's lease ends with the last one of the file. */
  release(): void {
    if (--this.#references > 0) return;
    const shared = leases.get(this.#descriptor);
    // Somebody may have ended it, and another one been taken since.
    if (!shared?.delete(this) || shared.size > 0) return;
    // First: a signal that comes when nobody listens ends a process of Node.js or Bun.
    if (!this.#descriptor.closed) endLease(this.#descriptor.fd);
    forget(this.#descriptor);
  }

  /** Says that somebody wants to change the file. */
  async onBreak(): Promise<void> {
    await this.#onBreak();
  }
}

function forget(descriptor: Descriptor): void {
  leases.delete(descriptor);
  if (leases.size === 0) offLeaseSignal(breakLeases);
}

function breakLeases(): void {
  for (const [descriptor, shared] of leases) {
    // Another thread may have closed it, and its number be another file's.
    if (!descriptor.closed && isLeaseBreaking(descriptor.fd)) void breakLease(descriptor, shared);
  }
}

async function breakLease(descriptor: Descriptor, shared: Iterable<FileLease>): Promise<void> {
  // The descriptor stays open though the functions may close the memory.
  descriptor.retain();
  forget(descriptor);
  const outcomes = await Promise.allSettled([...shared].map((lease) => lease.onBreak()));
  endLease(descriptor.fd);
  descriptor.release();
  forAll(outcomes, (outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
  });
}
