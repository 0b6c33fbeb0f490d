/**
 * Answers to page faults: what a thread does that serves a descriptor of ./userfaultfd.ts. It must
 * not access the memory itself.
 *
 * @module
 */
import { EINTR, lastError, lazily, libc, systemError, u64 } from "./libc.ts";

// errno is read right after each call that may fail, before any other function is called: see
// systemError().

const calls = lazily(
  {
    // int ioctl(int fd, unsigned long op, ...);
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    // ssize_t read(int fd, void *buf, size_t count);
    read: { parameters: ["i32", "usize", "usize"], result: "i32" },
  } as const,
);

// linux/userfaultfd.h: _IOR(0xaa, 2, struct uffdio_range), _IOWR(0xaa, 3, struct uffdio_copy),
// _IOWR(0xaa, 4, struct uffdio_zeropage)
const UFFDIO_WAKE = 0x8010_aa02n;
const UFFDIO_COPY = 0xc028_aa03n;
const UFFDIO_ZEROPAGE = 0xc020_aa04n;
const UFFDIO_COPY_MODE_WP = 2;

/** What became of a copy that was not made: `errno` of asm-generic/errno-base.h. */
export const NOT_COPIED = {
  /** The memory is not registered any more. */
  gone: -2,
  /** The process of the memory has ended. */
  ended: -3,
  /** A range is being discarded: its message has to be read first. */
  again: -11,
  /** The source cannot be read, as where its file was cut off. */
  noSource: -14,
  /** The page is there. */
  exists: -17,
} as const;

// struct uffdio_copy has five 64-bit numbers: dst, src, len, mode and copy; struct uffdio_zeropage
// four: start, len, mode and zeropage; struct uffdio_range two: start and len.
const argument = new Uint32Array(10);

function put(index: number, value: number): void {
  argument[2 * index] = value;
  argument[2 * index + 1] = value / 2 ** 32;
}

/**
 * Fills missing pages with a copy, and wakes who waits for them.
 *
 * @param fd The descriptor.
 * @param to Where the pages begin in the memory's process.
 * @param from Where the copy begins in this process.
 * @param length Bytes: a multiple of the page size.
 * @param isProtected Whether the pages are protected against writes.
 * @returns Bytes that were copied, fewer perhaps: the next page shows why. If none was, a negative
 * `errno`: see {@linkcode NOT_COPIED}.
 */
export function copyPages(
  fd: number,
  to: number,
  from: number,
  length: number,
  isProtected: boolean,
): number {
  put(0, to);
  put(1, from);
  put(2, length);
  put(3, isProtected ? UFFDIO_COPY_MODE_WP : 0);
  put(4, 0);
  // SAFETY: the structure is whole. The kernel checks both ranges, and fails with an errno where one is
  // not there.
  const { errno } = libc();
  const { ioctl } = calls();
  return ioctl(fd, UFFDIO_COPY, argument) === 0 ? length : copied(4, errno[0]!);
}

/**
 * Makes missing pages read zero, and wakes who waits for them.
 *
 * @returns As of {@linkcode copyPages}. Pages whose place in the page table is marked, as by a
 * protection that has ended, count as there, and have to be copied.
 */
export function zeroPages(fd: number, address: number, length: number): number {
  put(0, address);
  put(1, length);
  put(2, 0);
  put(3, 0);
  // SAFETY: the structure is whole. The kernel checks the range.
  const { errno } = libc();
  const { ioctl } = calls();
  return ioctl(fd, UFFDIO_ZEROPAGE, argument) === 0 ? length : copied(3, errno[0]!);
}

// What the kernel has put into the last number of a structure, of a call that failed: bytes, or the
// negative errno. It leaves that alone where it has not come to the pages.
function copied(index: number, errno: number): number {
  const number = argument[2 * index]! + (argument[2 * index + 1]! | 0) * 2 ** 32;
  return number === 0 ? -errno : number;
}

/**
 * What the system calls a negative `errno` of {@linkcode copyPages} or {@linkcode zeroPages}.
 *
 * @param result The number.
 */
export function codeOf(result: number): string {
  return systemError("ioctl", -result, {}).code;
}

/**
 * Refuses a descriptor that gets no faults, and memory that its process cannot have: wakes who waits for
 * pages there, which is harmless.
 *
 * @param fd A descriptor from elsewhere.
 * @param address Where the memory begins in its process.
 * @param length Bytes.
 * @throws {SystemError} `ENOTTY` where the descriptor is of another kind, `EINVAL` where the process can
 * have no such memory, or the descriptor's features were not agreed upon yet.
 */
export function ensureHandles(fd: number, address: number, length: number): void {
  put(0, address);
  put(1, length);
  // SAFETY: the structure is whole. The kernel checks the range.
  if (calls().ioctl(fd, UFFDIO_WAKE, argument) === 0) return;
  throw lastError("ioctl", { fd, request: "UFFDIO_WAKE", address, length });
}

/** Wakes who waits for pages of a range: those that are still missing fault again. */
export function wakePages(fd: number, address: number, length: number): void {
  put(0, address);
  put(1, length);
  // SAFETY: the structure is whole. The kernel checks the range. There is nobody to wake if it fails.
  calls().ioctl(fd, UFFDIO_WAKE, argument);
}

/** Bytes of `struct uffd_msg`. */
export const MESSAGE_BYTES = 32;

/** What a message is about. */
export type FaultKind = "missing" | "minor" | "write" | "discard" | "other";

/** Takes a message: see {@linkcode forMessages}. */
export type OnMessage = (kind: FaultKind, start: number, end: number) => void;

/**
 * Reads messages, if there are any.
 *
 * @param fd The descriptor.
 * @param address Where to put them: the address of memory that outlives the call.
 * @param length Bytes there: a multiple of {@linkcode MESSAGE_BYTES}.
 * @returns How many there were.
 * @throws {SystemError} The call failed.
 */
export function readMessages(fd: number, address: number, length: number): number {
  const { errno } = libc();
  const { read } = calls();
  const [to, size] = [u64(address), u64(length)];
  for (;;) {
    // SAFETY: the caller has the memory.
    const bytes = read(fd, to, size);
    const failure = errno[0]!;
    if (bytes >= 0) return bytes / MESSAGE_BYTES;
    if (failure === EAGAIN) return 0;
    if (failure !== EINTR) throw systemError("read", failure, { fd });
  }
}

const EAGAIN = 11;

// struct uffd_msg: the event at 0; of a fault the flags at 8 and the address at 16; of a removal the
// start at 8 and the end at 16.
const UFFD_EVENT_PAGEFAULT = 0x12;
const UFFD_EVENT_REMOVE = 0x15;
const UFFD_PAGEFAULT_FLAG_WP = 2;
const UFFD_PAGEFAULT_FLAG_MINOR = 4;

/**
 * Goes through messages: faults of a page each, with the address as `start` and as `end`; and ranges
 * that are discarded.
 *
 * @param words Where they are, as 32-bit words.
 * @param count How many.
 */
export function forMessages(words: Uint32Array, count: number, onMessage: OnMessage): void {
  for (let at = 0; at < count * MESSAGE_BYTES / 4; at += MESSAGE_BYTES / 4) {
    const event = words[at]! & 0xff;
    const address = words[at + 4]! + words[at + 5]! * 2 ** 32;
    if (event === UFFD_EVENT_PAGEFAULT) {
      const flags = words[at + 2]!;
      const isWrite = (flags & UFFD_PAGEFAULT_FLAG_WP) !== 0;
      const isMinor = (flags & UFFD_PAGEFAULT_FLAG_MINOR) !== 0;
      onMessage(isWrite ? "write" : isMinor ? "minor" : "missing", address, address);
    } else if (event === UFFD_EVENT_REMOVE) {
      onMessage("discard", words[at + 2]! + words[at + 3]! * 2 ** 32, address);
    } else onMessage("other", 0, 0);
  }
}
