/**
 * Read leases of files. Linux only.
 *
 * @module
 */
import { fileCalls, lastError, libc } from "./libc.ts";

// linux/fcntl.h
const F_SETLEASE = 1024;
const F_GETLEASE = 1025;
const F_RDLCK = 0;
const F_UNLCK = 2;

/**
 * Opens a file once more, to read, close-on-exec. A lease belongs to an opening of the file, of which
 * others may have descriptors.
 *
 * @throws {SystemError} The call failed.
 */
export function reopenFile(fd: number): number {
  const path = `/proc/self/fd/${fd}`;
  // SAFETY: the path ends with a zero byte.
  const opened = fileCalls().open(
    new TextEncoder().encode(`${path}\0`),
    libc().platform.closeOnExec,
    0,
  );
  if (opened < 0) throw lastError("open", { path });
  return opened;
}

/**
 * Takes a read lease of a file: whoever opens it for writing or truncates it then waits, up
 * to `/proc/sys/fs/lease-break-time` seconds, and this process gets `SIGIO`.
 *
 * @throws {SystemError} The call failed: `EAGAIN` where the file is open for writing, `EACCES`
 * where it is somebody else's.
 */
export function leaseFile(fd: number): void {
  if (fileCalls().control(fd, F_SETLEASE, F_RDLCK) !== 0) throw lastError("fcntl", { fd });
}

/** Calls a function when `SIGIO` comes, which would end a process that does not listen. */
export function onLeaseSignal(listener: () => void): void {
  libc().runtime.addSignalListener("SIGIO", listener);
}

/** Ends {@linkcode onLeaseSignal}. */
export function offLeaseSignal(listener: () => void): void {
  libc().runtime.removeSignalListener("SIGIO", listener);
}

/** Ends a lease, if there is one. */
export function endLease(fd: number): void {
  fileCalls().control(fd, F_SETLEASE, F_UNLCK);
}

/** Whether somebody waits for the end of a lease: the kernel shows what it is to become. */
export function isLeaseBreaking(fd: number): boolean {
  return fileCalls().control(fd, F_GETLEASE, 0) === F_UNLCK;
}
