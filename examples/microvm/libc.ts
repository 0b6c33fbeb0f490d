/**
 * The few C functions that a VMM needs beside `mmap`, which is the library's: to open KVM's device,
 * to control it, and to interrupt a thread that is inside the guest.
 *
 * @module
 */
import { asSlice, type ByteValued, fromSlice, SystemError } from "@vmm/guest-memory";

const SYMBOLS = {
  // int open(const char *path, int flags);
  open: { parameters: ["buffer", "i32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  // int ioctl(int fd, unsigned long request, unsigned long argument);
  ioctl: { parameters: ["i32", "usize", "usize"], result: "i32" },
  // The same, where the argument is the address of a structure.
  ioctlOnBytes: { name: "ioctl", parameters: ["i32", "usize", "buffer"], result: "i32" },
  // int sigprocmask(int how, const sigset_t *set, sigset_t *old);  On Linux: of this thread.
  sigprocmask: { parameters: ["i32", "buffer", "pointer"], result: "i32" },
  // int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
  sigtimedwait: { parameters: ["buffer", "pointer", "buffer"], result: "i32" },
  // long syscall(long number, ...);  Older C libraries have neither gettid() nor tgkill().
  syscall: { parameters: ["i64", "i64", "i64", "i64"], result: "i64" },
  // int *__errno_location(void);
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.StaticForeignLibraryInterface<typeof SYMBOLS>;

let opened: { readonly symbols: Symbols; readonly errno: Int32Array } | undefined;

function libc(): { readonly symbols: Symbols; readonly errno: Int32Array } {
  if (opened !== undefined) return opened;
  const { symbols } = Deno.dlopen("libc.so.6", SYMBOLS);
  // SAFETY: a thread's errno stays where it is, and a Worker is one thread.
  const errno = Deno.UnsafePointerView.getArrayBuffer(symbols.__errno_location()!, 4);
  return opened = { symbols, errno: new Int32Array(errno) };
}

/** A signal interrupted the call. */
export const EINTR = 4;
/** Not now. */
export const EAGAIN = 11;
const ESRCH = 3;
// asm-generic/errno-base.h, as far as these calls go. node:util has all the names, but takes longer
// to load than the rest of a virtual CPU's thread.
const ERRNO: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  [ESRCH]: "ESRCH",
  [EINTR]: "EINTR",
  6: "ENXIO",
  7: "E2BIG",
  9: "EBADF",
  [EAGAIN]: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  19: "ENODEV",
  21: "EISDIR",
  22: "EINVAL",
  25: "ENOTTY",
};
// asm-generic/fcntl.h
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

/** The error of the call that has just failed: call it before anything else. */
export function lastError(call: string, args: Record<string, unknown> = {}): SystemError {
  const errno = libc().errno[0]!;
  return new SystemError(call, errno, ERRNO[errno] ?? `errno ${errno}`, args);
}

/** `errno` after a call that has just failed. */
export function lastErrno(): number {
  return libc().errno[0]!;
}

/** Opens a file to read and write, one that Deno itself would not open, such as a device. */
export function open(path: string): number {
  const { symbols } = libc();
  const fd = symbols.open(new TextEncoder().encode(`${path}\0`), O_RDWR | O_CLOEXEC);
  if (fd < 0) throw lastError("open", { path });
  return fd;
}

/** Closes a descriptor. */
export function close(fd: number): void {
  if (libc().symbols.close(fd) !== 0) throw lastError("close", { fd });
}

/** An `ioctl` request: its number and the name that errors show. */
export interface Request {
  /** The name in `linux/kvm.h`. */
  readonly name: string;
  /** The number. */
  readonly number: bigint;
}

/**
 * `ioctl(2)` with a number as its argument, or none.
 *
 * @returns What the call returned.
 * @throws {SystemError} It failed.
 */
export function ioctl(fd: number, request: Request, argument: number | bigint = 0): number {
  const result = libc().symbols.ioctl(fd, request.number, BigInt(argument));
  if (result < 0) throw lastError(request.name, { fd });
  return result;
}

/** `ioctl(2)` that reads, fills or changes the bytes of a structure. */
export function ioctlOnBytes(fd: number, request: Request, bytes: Uint8Array): number {
  const result = libc().symbols.ioctlOnBytes(fd, request.number, bytes as BufferSource);
  if (result < 0) throw lastError(request.name, { fd });
  return result;
}

/** `ioctl(2)` that takes a structure. */
export function ioctlSet<T>(fd: number, request: Request, codec: ByteValued<T>, value: T): void {
  ioctlOnBytes(fd, request, asSlice(codec, value));
}

/** `ioctl(2)` that gives a structure. */
export function ioctlGet<T>(fd: number, request: Request, codec: ByteValued<T>): T {
  const bytes = new Uint8Array(codec.byteLength);
  ioctlOnBytes(fd, request, bytes);
  return fromSlice(codec, bytes)!;
}

/**
 * `ioctl(2)` as a function of nothing, for a loop that calls it over and over.
 *
 * @returns The function, which returns what the call returns: negative where it failed.
 */
export function ioctlCaller(fd: number, { number }: Request): () => number {
  const { ioctl } = libc().symbols;
  return () => ioctl(fd, number, 0n);
}

/** The host address of bytes on the heap, for a structure that points to them. */
export function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
}

// asm/unistd_64.h
const SYS_GETTID = 186n;
const SYS_TGKILL = 234n;
// bits/sigaction.h
const SIG_BLOCK = 0;

/** The calling thread's id. */
export function threadId(): number {
  return Number(libc().symbols.syscall(SYS_GETTID, 0n, 0n, 0n));
}

/** Sends a signal to a thread of this process, or to nobody where the thread has ended. */
export function signalThread(thread: number, signal: number): void {
  const { symbols } = libc();
  const result = symbols.syscall(SYS_TGKILL, BigInt(Deno.pid), BigInt(thread), BigInt(signal));
  if (result < 0n && lastErrno() !== ESRCH) throw lastError("tgkill", { thread, signal });
}

/** Keeps a signal from being delivered to the calling thread: it stays pending. */
export function blockSignal(signal: number): void {
  if (libc().symbols.sigprocmask(SIG_BLOCK, setOf(signal), null) !== 0) {
    throw lastError("sigprocmask", { signal });
  }
}

/** Takes back a signal that is pending for the calling thread, if there is one. */
export function takePendingSignal(signal: number): void {
  libc().symbols.sigtimedwait(setOf(signal), null, new Uint8Array(16));
}

// sigset_t of the C library has 128 bytes; signal n is bit n - 1.
function setOf(signal: number): BigUint64Array<ArrayBuffer> {
  const set = new BigUint64Array(16);
  set[0] = 1n << BigInt(signal - 1);
  return set;
}
