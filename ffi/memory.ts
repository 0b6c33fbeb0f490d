/**
 * Host mappings: the system calls that make, change and remove them, with their arguments checked.
 *
 * Addresses are plain numbers here: user addresses end below 2^53 on every supported platform.
 *
 * @module
 */
import { copyCalls, lastError, libc, pageCalls, u64 } from "./libc.ts";
import { type Advice, MS_ASYNC, PROT } from "./platform.ts";

export { PROT };

/** What `mmap(2)` is asked for. */
export interface MapRequest {
  /** Where to map if there is room; the kernel chooses otherwise, and at 0. */
  readonly hint: number;
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
 * `mmap(2)`, over nothing that is mapped already.
 *
 * @returns The address of the new mapping.
 * @throws {SystemError} The call failed.
 * @throws {RangeError} A number cannot be handed to the call.
 */
export function mapMemory({ hint, length, prot, flags, fd, offset }: MapRequest): number {
  checkSize("hint", hint);
  checkSize("length", length);
  checkSize("offset", offset);
  const address = libc().core.mmap(BigInt(hint), BigInt(length), prot, flags, fd, BigInt(offset));
  if (address === MAP_FAILED) {
    throw lastError("mmap", { length, prot, flags, fd, offset });
  }
  return Number(address);
}

// (void *) -1 as the unsigned 64-bit integer that the result is declared to be.
const MAP_FAILED = 2n ** 64n - 1n;

// Kernels place mappings as high as there is room. What other threads map meanwhile goes above what
// was found, as long as this much is free there.
const HEADROOM = 2 ** 30;
// A huge page on x86-64 and arm64 with pages of 4 KiB: memory that begins at one can consist of them.
const HUGE_PAGE = 2 ** 21;

/**
 * Finds room for mappings that are to lie side by side, at a multiple of 2 MiB. It is not reserved, so
 * it is a hint.
 *
 * @param length Bytes.
 * @returns Its address, or 0 where there is none.
 */
export function findRoom(length: number): number {
  if (!Number.isSafeInteger(length) || length <= 0) return 0;
  const { core, platform: { map } } = libc();
  const flags = map.private | map.anonymous | map.noReserve;
  const size = BigInt(length + HEADROOM);
  const address = core.mmap(0n, size, 0, flags, -1, 0n);
  if (address === MAP_FAILED) return 0;
  // SAFETY: nobody knows of the mapping, which was made a line above.
  if (core.munmap(address, size) !== 0) return 0;
  return Math.ceil(Number(address) / HUGE_PAGE) * HUGE_PAGE;
}

/**
 * `munmap(2)`. No view may point at the memory any more.
 *
 * @throws {SystemError} The call failed.
 */
export function unmapMemory(address: number, length: number): void {
  // SAFETY: callers detach every ArrayBuffer over the mapping first (src/mmap/mapped_memory.ts).
  if (libc().core.munmap(BigInt(address), BigInt(length)) !== 0) {
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
  if (pageCalls().mprotect(BigInt(address), BigInt(length), prot) !== 0) {
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
  const value = libc().platform.advice[advice];
  if (value === undefined) {
    throw new TypeError(`Cannot advise "${advice}": not known here`);
  }
  // SAFETY: the range lies in a live mapping of the caller's; no advice unmaps it.
  if (pageCalls().madvise(BigInt(address), BigInt(length), value) !== 0) {
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
  const { platform } = libc();
  // SAFETY: the range lies in a live mapping of the caller's.
  if (pageCalls().msync(BigInt(address), BigInt(length), wait ? platform.msSync : MS_ASYNC) !== 0) {
    throw lastError("msync", { address: `0x${address.toString(16)}`, length });
  }
}

// Pages that one call of mincore tells of.
const RESIDENCY_STEP = 65_536;

/**
 * Counts the pages of a mapping that are in the host's RAM, by `mincore(2)`.
 *
 * @throws {SystemError} The call failed.
 */
export function countResidentPages(address: number, length: number): number {
  const { pageSize } = libc();
  const residency = new Uint8Array(RESIDENCY_STEP);
  let resident = 0;
  for (let done = 0; done < length; done += RESIDENCY_STEP * pageSize) {
    const step = Math.min(RESIDENCY_STEP * pageSize, length - done);
    // SAFETY: the range lies in a live mapping of the caller's, and the vector has a byte for each
    // of its pages.
    if (pageCalls().mincore(BigInt(address + done), BigInt(step), residency) !== 0) {
      throw lastError("mincore", { address: `0x${(address + done).toString(16)}`, length: step });
    }
    const pages = Math.ceil(step / pageSize);
    // The other bits of a byte are reserved.
    for (let page = 0; page < pages; page++) resident += residency[page]! & 1;
  }
  return resident;
}

// What follows is small enough in all that V8 makes it a part of the loops that copy: 920 bytes of
// bytecode from there to here.

/** Bytes that are copied at a time at most: what a 32-bit number says. */
export const COPY_LIMIT: number = 2 ** 31 - 1;

/**
 * Copies bytes of a mapping to the start of a buffer: `memmove(3)`, whose call takes half of the time
 * of `TypedArray.prototype.set`, as that takes a view for each source (`bench/copy_bench.ts`).
 *
 * @param to The buffer.
 * @param address The address of the first byte.
 * @param count Bytes, in the mapping from there on, up to {@linkcode COPY_LIMIT}.
 * @throws {RangeError} The buffer has not as many bytes.
 */
export function copyFromMapping(to: Uint8Array, address: number, count: number): void {
  checkBuffer(to, count);
  // SAFETY: the buffer has the bytes; the caller has checked that the mapping has them too.
  copyCalls().read(to, u64(address), BigInt.asUintN(64, BigInt(count | 0)));
}

/**
 * Copies the start of a buffer to bytes of a mapping: `memmove(3)`.
 *
 * @param from The buffer.
 * @param address The address of the first byte.
 * @param count Bytes, in the mapping from there on, up to {@linkcode COPY_LIMIT}.
 * @throws {RangeError} The buffer has not as many bytes.
 */
export function copyToMapping(from: Uint8Array, address: number, count: number): void {
  checkBuffer(from, count);
  // SAFETY: the buffer has the bytes; the caller has checked that the mapping has them too.
  copyCalls().write(u64(address), from, BigInt.asUintN(64, BigInt(count | 0)));
}

// The bytes that a buffer really has, whatever a class derived from Uint8Array says.
const { get: byteLengthOf } = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  "byteLength",
) as { get(this: Uint8Array): number };

function checkBuffer(buffer: Uint8Array, count: number): void {
  const length = byteLengthOf.call(buffer);
  // What is a number here stays the same number: an object would be asked again with each use.
  if (!Number.isInteger(count) || count < 0 || count > length || count > COPY_LIMIT) {
    refuseBuffer(count, length);
  }
}

function refuseBuffer(count: number, length: number): never {
  throw new RangeError(`Cannot copy ${count} bytes: the buffer has ${length}`);
}

/**
 * The bytes of a mapping. Each call tells V8 of that much more external memory, so there is one buffer
 * over all of a mapping.
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

/**
 * Bytes in a page of host memory: what mappings, offsets in files and ranges of advice are multiples
 * of.
 *
 * @returns The number, a power of two.
 * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported.
 */
export function pageSize(): number {
  return libc().pageSize;
}

function checkSize(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot map memory: ${name} is ${value}, not an integer in [0, 2^53)`);
  }
}
