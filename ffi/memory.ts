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

/** The arguments of `mmap(2)`. */
export interface MapRequest {
  /** Where to map if that is free; the kernel chooses otherwise, and at 0. */
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
 * `mmap(2)`, never over an existing mapping.
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

// Kernels place mappings as high as possible. What other threads map meanwhile goes above the found
// range, as long as this much is free there.
const HEADROOM = 2 ** 30;
// A huge page on x86-64 and arm64 with pages of 4 KiB: memory that begins at one can consist of
// them.
const HUGE_PAGE = 2 ** 21;

/**
 * Finds a free range for adjacent mappings, at a multiple of 2 MiB. It is not reserved, so it is
 * only a hint.
 *
 * @param length Bytes.
 * @returns Its address, or 0 where there is none.
 */
export function findFreeRange(length: number): number {
  if (!Number.isSafeInteger(length) || length <= 0) return 0;
  const { core, platform: { map } } = libc();
  const flags = map.private | map.anonymous | map.noReserve;
  const size = BigInt(length + HEADROOM);
  const address = core.mmap(0n, size, 0, flags, -1, 0n);
  if (address === MAP_FAILED) return 0;
  // SAFETY: the mapping was made above, and nothing else has its address.
  if (core.munmap(address, size) !== 0) return 0;
  return Math.ceil(Number(address) / HUGE_PAGE) * HUGE_PAGE;
}

/**
 * `munmap(2)`. No view may point at the memory any more.
 *
 * @throws {SystemError} The call failed.
 */
export function unmapMemory(address: number, length: number): void {
  // SAFETY: callers detach every ArrayBuffer over the mapping first
  // (src/backend/mmap/mapped_memory.ts).
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
 * @throws {TypeError} The platform does not have the advice.
 */
export function adviseMemory(address: number, length: number, advice: Advice): void {
  const value = libc().platform.advice[advice];
  if (value === undefined) {
    throw new TypeError(`Cannot advise "${advice}": not known here`);
  }
  // SAFETY: the range is in a live mapping of the caller; no advice unmaps it.
  if (pageCalls().madvise(BigInt(address), BigInt(length), value) !== 0) {
    throw lastError("madvise", { address: `0x${address.toString(16)}`, length, advice });
  }
}

/**
 * `msync(2)`: writes a shared file mapping's pages back.
 *
 * @param wait Whether to return only when the file has them.
 * @throws {SystemError} The call failed.
 */
export function syncMemory(address: number, length: number, wait: boolean): void {
  const { platform } = libc();
  // SAFETY: the range is in a live mapping of the caller.
  if (pageCalls().msync(BigInt(address), BigInt(length), wait ? platform.msSync : MS_ASYNC) !== 0) {
    throw lastError("msync", { address: `0x${address.toString(16)}`, length });
  }
}

// Pages of one call of mincore.
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
    // SAFETY: the range is in a live mapping of the caller, and the vector has a byte for each of
    // its pages.
    if (pageCalls().mincore(BigInt(address + done), BigInt(step), residency) !== 0) {
      throw lastError("mincore", { address: `0x${(address + done).toString(16)}`, length: step });
    }
    const pages = Math.ceil(step / pageSize);
    // The other bits of a byte are reserved.
    for (let page = 0; page < pages; page++) resident += residency[page]! & 1;
  }
  return resident;
}

// From the read and write of a map of regions to here, the functions must fit V8's cumulative
// inlining budget (920 bytes of bytecode): docs/architecture.md lists them.

/** The most bytes of one copy: the largest signed 32-bit number. */
export const COPY_LIMIT: number = 2 ** 31 - 1;

/**
 * Copies bytes of a mapping to a buffer: `memmove(3)`, in half the time of
 * `TypedArray.prototype.set`, which needs a view for each source (`bench/copy_bench.ts`).
 *
 * @param to The buffer.
 * @param address The address of the first byte.
 * @param count Bytes in the mapping from there on.
 * @returns Whether the buffer has exactly as many bytes, up to {@linkcode COPY_LIMIT}. Nothing is
 * copied otherwise.
 */
export function copyFromMapping(to: Uint8Array, address: number, count: number): boolean {
  if (!hasLength(to, count)) return false;
  // SAFETY: the buffer has the bytes; the caller has checked that the mapping has them too.
  copyCalls().read(to, u64(address), BigInt.asUintN(64, BigInt(count | 0)));
  return true;
}

/**
 * Copies a buffer to bytes of a mapping: `memmove(3)`.
 *
 * @param from The buffer.
 * @param address The address of the first byte.
 * @param count Bytes in the mapping from there on.
 * @returns Whether the buffer has exactly as many bytes, up to {@linkcode COPY_LIMIT}. Nothing is
 * copied otherwise.
 */
export function copyToMapping(from: Uint8Array, address: number, count: number): boolean {
  if (!hasLength(from, count)) return false;
  // SAFETY: the buffer has the bytes; the caller has checked that the mapping has them too.
  copyCalls().write(u64(address), from, BigInt.asUintN(64, BigInt(count | 0)));
  return true;
}

// The real bytes of a buffer, even if its class overrides `byteLength`. None of its code runs: the
// memory that was checked before is still there.
const { get: byteLengthOf } = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  "byteLength",
) as { get(this: Uint8Array): number };

// `count` is used as compared: a number, while an object would be converted again at each use.
function hasLength(buffer: Uint8Array, count: number): boolean {
  return byteLengthOf.call(buffer) === count && count <= COPY_LIMIT;
}

/**
 * The bytes of a mapping. Each call adds as much to what V8 counts as external memory, so there is
 * one buffer over all of a mapping.
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
 * Bytes in a page of host memory: what mappings, offsets in files and ranges of advice are
 * multiples of.
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
