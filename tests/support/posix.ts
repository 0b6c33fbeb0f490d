/**
 * Descriptors of every kind, straight from the C library.
 *
 * What is made here is closed at the end of its scope (`using`). The numbers are Linux's.
 *
 * @module
 */
import { closeSync, openSync } from "node:fs";

/** A descriptor that is closed at the end of its scope. */
export interface Descriptor extends Disposable {
  /** Its number. */
  readonly fd: number;
}

/** Two descriptors: what is written to the one is read from the other. */
export interface Channel extends Disposable {
  /** Where data comes out. */
  readonly reader: number;
  /** Where data goes in. */
  readonly writer: number;
  /** Closes the reading end before the end of the scope. */
  closeReader(): void;
  /** Closes the writing end before the end of the scope: data ends. */
  closeWriter(): void;
}

/** A file that is closed and removed at the end of its scope. */
export interface OpenFile extends Descriptor {
  /** Its path. */
  readonly path: string;
  /** Where the descriptor itself stands, in bytes. */
  readonly position: number;
  /** All that is in the file. */
  readonly content: Uint8Array;
}

/** Makes a pipe. */
export function pipe({ blocking = true }: { blocking?: boolean } = {}): Channel {
  const fds = new Int32Array(2);
  check("pipe2", libc().pipe2(fds, blocking ? O_CLOEXEC : O_CLOEXEC | O_NONBLOCK));
  return channel(fds);
}

/**
 * Makes a pair of sockets that keeps the limits of messages: one read takes one message. Reading
 * where there is none is an error, so that a test that reads too often fails.
 */
export function datagrams(): Channel {
  const fds = new Int32Array(2);
  check("socketpair", libc().socketpair(AF_UNIX, SOCK_DGRAM | O_CLOEXEC | O_NONBLOCK, 0, fds));
  return channel(fds);
}

/** Makes an eventfd, which takes and gives whole 64-bit integers only. */
export function eventFd(count: number): Descriptor {
  const fd = check("eventfd", libc().eventfd(count, O_CLOEXEC));
  return { fd, [Symbol.dispose]: () => close(fd) };
}

/** Makes a file with a content, open to read and to write. */
export function openFile(content: Uint8Array): OpenFile {
  const path = Deno.makeTempFileSync();
  Deno.writeFileSync(path, content);
  const { fd, [Symbol.dispose]: dispose } = open(path, "r+");
  return {
    fd,
    path,
    get position() {
      return check("lseek", Number(libc().lseek(fd, 0n, SEEK_CUR)));
    },
    get content() {
      return Deno.readFileSync(path);
    },
    [Symbol.dispose]() {
      dispose();
      Deno.removeSync(path);
    },
  };
}

/**
 * Opens what there is at a path.
 *
 * @param path The path.
 * @param flags As of `node:fs`: `"r"`, `"w"`, `"r+"`.
 */
export function open(path: string, flags: string): Descriptor {
  const fd = openSync(path, flags);
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

/** Writes all of a buffer in one call, which has to take it. */
export function put(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  const written = check("write", Number(libc().write(fd, bytes, BigInt(bytes.length))));
  if (written !== bytes.length) throw new Error(`write took ${written} of ${bytes.length} bytes`);
}

/** Reads once, waiting for data. */
export function take(fd: number, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  return bytes.subarray(0, check("read", Number(libc().read(fd, bytes, BigInt(count)))));
}

/** Bytes that are there to be read now. */
export function available(fd: number): number {
  const count = new Int32Array(1);
  check("ioctl", libc().ioctl(fd, FIONREAD, count));
  return count[0]!;
}

const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SEEK_CUR = 1;
const FIONREAD = 0x541bn;

const SYMBOLS = {
  // int pipe2(int pipefd[2], int flags);
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  // int socketpair(int domain, int type, int protocol, int sv[2]);
  socketpair: { parameters: ["i32", "i32", "i32", "buffer"], result: "i32" },
  // int eventfd(unsigned int initval, int flags);
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // ssize_t read(int fd, void *buf, size_t count);
  read: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
  // off_t lseek(int fd, off_t offset, int whence);
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  // int ioctl(int fd, unsigned long request, ...);
  ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.StaticForeignLibraryInterface<typeof SYMBOLS> | undefined;

function libc(): Deno.StaticForeignLibraryInterface<typeof SYMBOLS> {
  if (opened === undefined) {
    const library = Deno.dlopen("libc.so.6", SYMBOLS);
    // The functions stay valid, as nothing unloads the C library. Left open, it would count as a
    // leak of the first test.
    library.close();
    opened = library.symbols;
  }
  return opened;
}

function check(call: string, result: number): number {
  if (result < 0) throw new Error(`${call} failed`);
  return result;
}

function close(fd: number): void {
  check("close", libc().close(fd));
}

function channel([reader, writer]: Int32Array): Channel {
  const open = new Set([reader!, writer!]);
  const closeOnce = (fd: number) => {
    if (open.delete(fd)) close(fd);
  };
  return {
    reader: reader!,
    writer: writer!,
    closeReader: () => closeOnce(reader!),
    closeWriter: () => closeOnce(writer!),
    [Symbol.dispose]() {
      closeOnce(reader!);
      closeOnce(writer!);
    },
  };
}
