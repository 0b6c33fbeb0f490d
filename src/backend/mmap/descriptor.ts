/**
 * Descriptors that mappings own.
 *
 * @module
 */
import { closeDescriptor, duplicate } from "../../../ffi/descriptor.ts";
import { endLease } from "../../../ffi/file_lease.ts";
import { accessMode, fileStatus } from "../../../ffi/file.ts";
import { SystemError } from "../../../ffi/system_error.ts";
import { InvalidHandle } from "../../error/mmap_region_error.ts";

/** Which file a descriptor is of. Numbers of descriptors are reused, these are not. */
export interface FileIdentity {
  /** The descriptor. */
  readonly fd: number;
  /** Device and inode, as text. */
  readonly file: string;
  /** Whether the file can be written through it. */
  readonly writable: boolean;
}

// This thread's descriptors of regular files, by file: thousands of regions of one file need only one.
const known = new Map<string, Descriptor>();

/** A descriptor with a reference count, which all threads share. The last reference closes it. */
export class Descriptor {
  readonly #references: Int32Array;

  private constructor(
    readonly identity: FileIdentity,
    readonly references: SharedArrayBuffer = new SharedArrayBuffer(4),
  ) {
    this.#references = new Int32Array(references);
  }

  /** Whether the last reference is gone. */
  get closed(): boolean {
    return Atomics.load(this.#references, 0) === 0;
  }

  /** The descriptor's number. */
  get fd(): number {
    return this.identity.fd;
  }

  /**
   * A descriptor of the same open file, for this library's own use.
   *
   * @param fd The caller's. It may be closed afterwards.
   * @returns The descriptor, with a reference for the caller.
   * @throws {SystemError} It is not open, or there are too many.
   */
  static of(fd: number): Descriptor {
    // Two openings of a device are two things, such as two virtual machines.
    if (!fileStatus(fd).isRegular) return Descriptor.own(duplicate(fd));
    const identity = identify(fd);
    const key = `${identity.file},${identity.writable}`;
    const shared = known.get(key);
    if (shared !== undefined && shared.#retain()) {
      if (shared.#isSameFile()) return shared;
      shared.release();
    }
    const descriptor = Descriptor.own(duplicate(fd));
    known.set(key, descriptor);
    return descriptor;
  }

  /** Takes over a descriptor. It has one reference. */
  static own(fd: number): Descriptor {
    const descriptor = new Descriptor(identify(fd));
    descriptor.#references[0] = 1;
    return descriptor;
  }

  /** A descriptor of another thread, without a new reference. */
  static over(identity: FileIdentity, references: SharedArrayBuffer): Descriptor {
    return new Descriptor(identity, references);
  }

  /**
   * Refuses a descriptor that was closed behind this library's back, and whose number is another
   * file's now.
   *
   * @throws {SystemError} It is not open.
   * @throws {InvalidHandle} It is of another file.
   */
  ensureSameFile(): void {
    fileStatus(this.fd);
    if (!this.#isSameFile()) {
      throw new InvalidHandle(`Cannot use descriptor ${this.fd}: it is of another file now`);
    }
  }

  /** Adds a reference. */
  retain(): void {
    this.#retain();
  }

  /**
   * Removes a reference; the last one closes the descriptor, unless somebody else has closed it: its
   * number may be another file's.
   */
  release(): void {
    if (Atomics.sub(this.#references, 0, 1) !== 1) return;
    for (const [key, descriptor] of known) if (descriptor === this) known.delete(key);
    if (!this.#isSameFile()) return;
    // The caller's descriptor, of the same open file, would keep the lease of another thread.
    endLease(this.fd);
    closeDescriptor(this.fd);
  }

  #isSameFile(): boolean {
    try {
      return identify(this.fd).file === this.identity.file;
    } catch (error) {
      if (error instanceof SystemError && error.code === "EBADF") return false;
      throw error;
    }
  }

  // Whether a reference was added: another thread may just have removed the last one.
  #retain(): boolean {
    for (;;) {
      const count = Atomics.load(this.#references, 0);
      if (count === 0) return false;
      if (Atomics.compareExchange(this.#references, 0, count, count + 1) === count) return true;
    }
  }
}

function identify(fd: number): FileIdentity {
  const { device, inode, hasType } = fileStatus(fd);
  // These share one inode, such as the virtual processors of KVM.
  const file = hasType ? `${device}:${inode}` : `${device}:${inode}:${fd}`;
  return { fd, file, writable: accessMode(fd) !== "read" };
}
