/**
 * Host mappings: the system calls that make, change and remove them, with their arguments checked.
 *
 * Addresses are plain numbers here: user addresses end below 2^53 on every supported platform.
 *
 * @module
 */
import { copyCalls, lastError, libc, pageCalls, systemError, u64 } from "./libc.ts";
import { type Advice, MS_ASYNC, PROT } from "./platform.ts";

export { PROT };

/** The arguments of `mmap(2)`. */
export interface MapRequest {
  /** Where to map: in a range of {@linkcode reserveMemory}, which the mapping replaces. */
  readonly address: number;
  /** Bytes to map. */
  readonly length: number;
  /** `PROT_*` bits. */
  readonly prot: number;
  /** `MAP_*` bits, without `MAP_FIXED`. */
  readonly flags: number;
  /** The file to map, or -1. */
  readonly fd: number;
  /** Where in the file the mapping begins, in bytes. */
  readonly offset: number;
}

/**
 * Reserves a range of host addresses, which cannot be accessed: for {@linkcode mapMemory}.
 *
 * @param length Bytes.
 * @param alignment What the address is a multiple of: a power of two, from the page size.
 * @returns The address. {@linkcode unmapMemory} gives it back.
 * @throws {SystemError} There is no such range.
 */
export function reserveMemory(length: number, alignment: number): number {
  const { core, errno, pageSize, platform: { map } } = libc();
  const surplus = alignment > pageSize ? alignment : 0;
  const flags = map.private | map.anonymous | map.noReserve;
  const pages = Math.ceil(length / pageSize) * pageSize;
  // The kernel refuses a length of 0.
  const size = BigInt(length === 0 ? 0 : pages + surplus);
  const found = core.mmap(0n, size, PROT.none, flags, -1, 0n);
  const failure = errno[0]!;
  if (found === MAP_FAILED) throw systemError("mmap", failure, { length, prot: PROT.none, flags });
  const start = Number(found);
  const address = Math.ceil(start / alignment) * alignment;
  // SAFETY: the range was mapped above, and nothing else has its addresses.
  if (address > start) unmapMemory(start, address - start);
  const rest = start + surplus - address;
  if (rest > 0) unmapMemory(address + pages, rest);
  return address;
}

/**
 * `mmap(2)` in a range that was reserved.
 *
 * @throws {SystemError} The call failed. The range stays reserved.
 * @throws {RangeError} A number cannot be handed to the call.
 */
export function mapMemory({ address, length, prot, flags, fd, offset }: MapRequest): void {
  checkSize("length", length);
  checkSize("offset", offset);
  const { core, errno, platform: { map } } = libc();
  const [at, size, from] = [BigInt(address), BigInt(length), BigInt(offset)];
  // SAFETY: the range is reserved for this mapping, so nothing is replaced.
  const mapped = core.mmap(at, size, prot, flags | map.fixed, fd, from);
  const failure = errno[0]!;
  if (mapped === MAP_FAILED) {
    throw systemError("mmap", failure, { length, prot, flags, fd, offset });
  }
}

/**
 * Replaces a mapping by private anonymous memory, which reads zero and takes no memory until it is
 * written.
 *
 * @param prot `PROT_*` bits; reading and writing by default.
 * @throws {SystemError} The call failed, as where the process has too many mappings (`ENOMEM`).
 */
export function replaceMemory(address: number, length: number, prot: number = 3): void {
  const { platform: { map } } = libc();
  const flags = map.private | map.anonymous | map.noReserve;
  // SAFETY: the caller owns the mapping that is replaced. Views of it stay valid.
  mapMemory({ address, length, prot, flags, fd: -1, offset: 0 });
}

// (void *) -1 as the unsigned 64-bit integer that the result is declared to be.
const MAP_FAILED = 2n ** 64n - 1n;

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
 * Finds the pages of a mapping that are in the host's RAM, by `mincore(2)`.
 *
 * @param onRun Called with each run of them, in order: the offset of its first byte, and its bytes.
 * @throws {SystemError} The call failed.
 */
export function forResidentRuns(
  address: number,
  length: number,
  onRun: (offset: number, length: number) => void,
): void {
  const { pageSize } = libc();
  const residency = new Uint8Array(RESIDENCY_STEP);
  let begin = -1;
  for (let done = 0; done < length; done += RESIDENCY_STEP * pageSize) {
    const step = Math.min(RESIDENCY_STEP * pageSize, length - done);
    // SAFETY: the range is in a live mapping of the caller, and the vector has a byte for each of
    // its pages.
    if (pageCalls().mincore(BigInt(address + done), BigInt(step), residency) !== 0) {
      throw lastError("mincore", { address: `0x${(address + done).toString(16)}`, length: step });
    }
    const pages = Math.ceil(step / pageSize);
    for (let page = 0; page < pages; page++) {
      // The other bits of a byte are reserved.
      const isResident = (residency[page]! & 1) === 1;
      if (isResident === begin >= 0) continue;
      const offset = done + page * pageSize;
      if (isResident) begin = offset;
      else onRun(begin, offset - begin), begin = -1;
    }
  }
  if (begin >= 0) onRun(begin, Math.ceil(length / pageSize) * pageSize - begin);
}

// From the read and write of a map of regions to here, the functions must fit V8's cumulative
// inlining budget (920 bytes of bytecode): docs/architecture.md lists them.

/**
 * The most bytes of one copy: the largest signed 32-bit number. 0 where typed arrays do all copies:
 * a call of Node.js takes 160 ns, four times as long as 512 bytes take by a typed array. In Bun both
 * ways take about the same.
 */
export const COPY_LIMIT: number = typeof Deno === "undefined" ? 0 : 2 ** 31 - 1;

/**
 * Copies bytes of a mapping to a buffer: `memmove(3)`, in half the time of
 * `TypedArray.prototype.set`, which needs a view for each source (`bench/copies_bench.ts`).
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
  copyCalls().memmove(to, u64(address), BigInt.asUintN(64, BigInt(count | 0)));
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
  if (address === 0) throw new RangeError("Cannot view memory at the null address");
  // SAFETY: [address, address + length) is mapped, and stays so until the buffer is detached.
  return libc().runtime.bufferAt(BigInt(address), length);
}

/**
 * Bytes in a page of host memory: what mappings, offsets in files and ranges of advice are
 * multiples of.
 *
 * @returns The number, a power of two.
 * @throws {LibcUnavailable} FFI is not allowed, or the platform not supported.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryMmap, pageSize } from "@vmm/guest-memory";
 * import { assertEquals } from "@std/assert";
 *
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4 * pageSize()]]);
 * // Whole pages alone are given back.
 * assertEquals(memory.discard(GuestAddress(1), 3 * pageSize()), 2 * pageSize());
 * ```
 */
export function pageSize(): number {
  return libc().pageSize;
}

function checkSize(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot map memory: ${name} is ${value}, not an integer in [0, 2^53)`);
  }
}
