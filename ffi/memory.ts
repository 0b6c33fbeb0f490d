/**
 * Host mappings: the system calls that make, change and remove them, with their arguments checked.
 *
 * Addresses are plain numbers here: user addresses end below 2^53 on every supported platform.
 *
 * @module
 */
import { lastError, libc } from "./libc.ts";
import { type Advice, MS_ASYNC, PROT } from "./platform.ts";

export { PROT };

/** What `mmap(2)` is asked for. */
export interface MapRequest {
  /** Bytes to map. */
  readonly length: number;
  /** `PROT_*` bits. */
  readonly prot: number;
  /** `MAP_*` bits. */
  readonly flags: number;
  /** The file to map, or -1. */
  readonly fd: number;
  /** Where in the file the mapping begins, in bytes. */
  readonly offset: number;
}

/**
 * `mmap(2)` at an address of the kernel's choice.
 *
 * @returns The address of the new mapping.
 * @throws {SystemError} The call failed.
 * @throws {RangeError} A number cannot be handed to the call.
 */
export function mapMemory({ length, prot, flags, fd, offset }: MapRequest): number {
  checkSize("length", length);
  checkSize("offset", offset);
  const { symbols } = libc();
  const address = symbols.mmap(0n, BigInt(length), prot, flags, fd, BigInt(offset));
  if (address === MAP_FAILED) {
    throw lastError("mmap", { length, prot, flags, fd, offset });
  }
  return Number(address);
}

// (void *) -1 as the unsigned 64-bit integer that the result is declared to be.
const MAP_FAILED = 2n ** 64n - 1n;

/**
 * `munmap(2)`. No view may point at the memory any more.
 *
 * @throws {SystemError} The call failed.
 */
export function unmapMemory(address: number, length: number): void {
  // SAFETY: callers detach the one ArrayBuffer over the mapping first (src/mmap/mapped_memory.ts).
  if (libc().symbols.munmap(BigInt(address), BigInt(length)) !== 0) {
    throw lastError("munmap", { address: `0x${address.toString(16)}`, length });
  }
}

/**
 * `mprotect(2)`.
 *
 * @throws {SystemError} The call failed.
 */
export function protectMemory(address: number, length: number, prot: number): void {
  // SAFETY: callers narrow what JavaScript may access before they narrow the protection.
  if (libc().symbols.mprotect(BigInt(address), BigInt(length), prot) !== 0) {
    throw lastError("mprotect", { address: `0x${address.toString(16)}`, length, prot });
  }
}

/**
 * `madvise(2)`.
 *
 * @throws {SystemError} The call failed.
 * @throws {TypeError} The platform does not know the advice.
 */
export function adviseMemory(address: number, length: number, advice: Advice): void {
  const { symbols, platform } = libc();
  const value = platform.advice[advice];
  if (value === undefined) {
    throw new TypeError(`Cannot advise "${advice}": not known here`);
  }
  // SAFETY: the range lies in a live mapping of the caller's; no advice unmaps it.
  if (symbols.madvise(BigInt(address), BigInt(length), value) !== 0) {
    throw lastError("madvise", { address: `0x${address.toString(16)}`, length, advice });
  }
}

/**
 * `msync(2)`: writes a shared file mapping's pages back.
 *
 * @param wait Whether to return only when the file holds them.
 * @throws {SystemError} The call failed.
 */
export function syncMemory(address: number, length: number, wait: boolean): void {
  const { symbols, platform } = libc();
  // SAFETY: the range lies in a live mapping of the caller's.
  if (symbols.msync(BigInt(address), BigInt(length), wait ? platform.msSync : MS_ASYNC) !== 0) {
    throw lastError("msync", { address: `0x${address.toString(16)}`, length });
  }
}

/**
 * The bytes of a mapping. Call it once a mapping: each call tells V8 of that much more external
 * memory.
 *
 * @returns A buffer over the memory itself, which the caller detaches before it unmaps.
 */
export function bufferAt(address: number, length: number): ArrayBuffer {
  const pointer = Deno.UnsafePointer.create(BigInt(address));
  if (pointer === null) {
    throw new RangeError("Cannot view memory at the null address");
  }
  // SAFETY: [address, address + length) is mapped, and stays so until the buffer is detached.
  return Deno.UnsafePointerView.getArrayBuffer(pointer, length);
}

/** Bytes in a page of host memory. */
export function pageSize(): number {
  return libc().pageSize;
}

function checkSize(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot map memory: ${name} is ${value}, not an integer in [0, 2^53)`);
  }
}
