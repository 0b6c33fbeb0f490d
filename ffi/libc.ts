/**
 * The C library: opened on first use, so that importing the module needs no permission.
 *
 * @module
 */
import { currentPlatform, type Platform } from "./platform.ts";
import { currentRuntime, runtimeName } from "./runtime/current_runtime.ts";
import {
  type Calls,
  ForeignAccessDenied,
  type ForeignRuntime,
  type PoolCall,
  type Signature,
  type Symbols,
} from "./runtime/foreign_runtime.ts";
import { LibcUnavailable, SystemError } from "./system_error.ts";

// 64-bit parameters are declared as 64-bit integers and take bigint: a number there leaves V8's
// fast call path.

// Declaring a function generates machine code for it, which takes 0.1 ms: the first mapping waits
// only for these.
const CORE = {
  // void *mmap(void *addr, size_t length, int prot, int flags, int fd, off_t offset);
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  // int munmap(void *addr, size_t length);
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  // long sysconf(int name);
  sysconf: { parameters: ["i32"], result: "i64" },
  // long syscall(long number, ...);  on Linux only, where variadic calls are ordinary calls
  gettid: { name: "syscall", parameters: ["i64"], result: "i64" },
} as const;

const PAGES = {
  // int mprotect(void *addr, size_t len, int prot);
  mprotect: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // int madvise(void *addr, size_t length, int advice);
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // int msync(void *addr, size_t length, int flags);
  msync: { parameters: ["usize", "usize", "i32"], result: "i32" },
  // int mincore(void *addr, size_t length, unsigned char *vec);
  mincore: { parameters: ["usize", "usize", "buffer"], result: "i32" },
  // long syscall(long number, ...);  on Linux only, where variadic calls are ordinary calls
  membarrier: { name: "syscall", parameters: ["i64", "i32", "u32", "i32"], result: "i64" },
} as const;

const PAGE_OPTIONS = {
  // int mlock2(const void *addr, size_t len, unsigned int flags);  Linux
  mlock2: { parameters: ["usize", "usize", "u32"], result: "i32", optional: true },
  // int mlock(const void *addr, size_t len);
  mlock: { parameters: ["usize", "usize"], result: "i32" },
  // int munlock(const void *addr, size_t len);
  munlock: { parameters: ["usize", "usize"], result: "i32" },
  // long mbind(void *addr, unsigned long len, int mode, const unsigned long *nodemask,
  //            unsigned long maxnode, unsigned flags);
  mbind: {
    name: "syscall",
    parameters: ["i64", "usize", "usize", "i32", "buffer", "usize", "u32"],
    result: "i64",
  },
} as const;

const CONTENTS = {
  // void *memset(void *s, int c, size_t n);
  memset: { parameters: ["usize", "i32", "usize"], result: "void" },
  // int memcmp(const void *s1, const void *s2, size_t n);
  memcmp: { parameters: ["usize", "usize", "usize"], result: "i32" },
} as const;

const THREADS = {
  // long syscall(long number, ...);  pid_t tgid, pid_t tid, int sig
  tgkill: { name: "syscall", parameters: ["i64", "i32", "i32", "i32"], result: "i64" },
} as const;

const PROCESS = {
  // unsigned long getauxval(unsigned long type);  Linux
  getauxval: { parameters: ["usize"], result: "usize", optional: true },
} as const;

const COPIES = {
  // void *memmove(void *dest, const void *src, size_t n);
  memmove: { parameters: ["buffer", "usize", "usize"], result: "void" },
} as const;

const FILES = {
  // int open(const char *path, int flags, ...);
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  // int close(int fd);
  close: { parameters: ["i32"], result: "i32" },
  // ssize_t read(int fd, void *buf, size_t count);
  readBuffer: { name: "read", parameters: ["i32", "buffer", "usize"], result: "i32" },
  // int fcntl(int fd, int op, int arg);  on Linux only, where variadic calls are ordinary calls
  control: { name: "fcntl", parameters: ["i32", "i32", "i32"], result: "i32" },
  // ssize_t readlink(const char *path, char *buf, size_t bufsiz);
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i64" },
  // int ftruncate(int fd, off_t length);
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  // int memfd_create(const char *name, unsigned int flags);  Linux
  memfd_create: { parameters: ["buffer", "u32"], result: "i32", optional: true },
  // int fallocate(int fd, int mode, off_t offset, off_t len);  Linux
  fallocate: { parameters: ["i32", "i32", "i64", "i64"], result: "i32", optional: true },
  // off_t lseek(int fd, off_t offset, int whence);
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  // int fcntl(int fd, int op, ...);  only with operations that take no argument
  fcntl: { parameters: ["i32", "i32"], result: "i32" },
  // DIR *opendir(const char *name);
  opendir: { parameters: ["buffer"], result: "usize" },
  // struct dirent *readdir(DIR *dirp);
  readdir: { parameters: ["usize"], result: "usize" },
  // int closedir(DIR *dirp);
  closedir: { parameters: ["usize"], result: "i32" },
  // int statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *buf);  Linux
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32", optional: true },
  // int fstatfs(int fd, struct statfs *buf);  used on Linux only
  fstatfs: { parameters: ["i32", "buffer"], result: "i32", optional: true },
  // int fstat(int fd, struct stat *buf);  macOS on arm64, where the inode is always 64 bits wide
  fstat: { parameters: ["i32", "buffer"], result: "i32", optional: true },
  // The same on macOS for x86-64.
  fstat64: { name: "fstat$INODE64", parameters: ["i32", "buffer"], result: "i32", optional: true },
} as const;

const IO = {
  // ssize_t read(int fd, void *buf, size_t count);
  // A transfer is at most 0x7ffff000 bytes (MAX_RW_COUNT of linux/fs.h; INT_MAX on macOS), so the
  // result of these eight fits an i32, which needs no bigint.
  read: { parameters: ["i32", "usize", "usize"], result: "i32" },
  // ssize_t write(int fd, const void *buf, size_t count);
  write: { parameters: ["i32", "usize", "usize"], result: "i32" },
  // ssize_t pread(int fd, void *buf, size_t count, off_t offset);
  pread: { parameters: ["i32", "usize", "usize", "i64"], result: "i32" },
  // ssize_t pwrite(int fd, const void *buf, size_t count, off_t offset);
  pwrite: { parameters: ["i32", "usize", "usize", "i64"], result: "i32" },
  // ssize_t readv(int fd, const struct iovec *iov, int iovcnt);
  readv: { parameters: ["i32", "usize", "i32"], result: "i32" },
  // ssize_t writev(int fd, const struct iovec *iov, int iovcnt);
  writev: { parameters: ["i32", "usize", "i32"], result: "i32" },
  // ssize_t preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset);
  preadv: { parameters: ["i32", "usize", "i32", "i64"], result: "i32" },
  // ssize_t pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset);
  pwritev: { parameters: ["i32", "usize", "i32", "i64"], result: "i32" },
} as const;

const DYNAMIC = {
  // void *dlsym(void *handle, const char *symbol);
  dlsym: { parameters: ["usize", "buffer"], result: "usize" },
} as const;

/** The C functions and what depends on the platform. */
export interface Libc {
  /** The calls that make and remove mappings. The others are opened when they are needed. */
  readonly core: Calls<typeof CORE>;
  /** What calls them. */
  readonly runtime: ForeignRuntime;
  /** The platform's numbers. */
  readonly platform: Platform;
  /** Bytes in a page of host memory. */
  readonly pageSize: number;
  /** This thread's `errno`, element 0. */
  readonly errno: Int32Array;
}

let opened: Libc | undefined;
let copies: Calls<typeof COPIES> | undefined;

/**
 * The C library, opened at the first call.
 *
 * @returns Its functions.
 * @throws {LibcUnavailable} FFI is denied, or the platform is not supported.
 */
export function libc(): Libc {
  return opened ??= open();
}

/** The calls that change pages of mappings, opened at the first call, as those that follow. */
export const pageCalls: () => Calls<typeof PAGES> = lazily(PAGES);

/** The calls that lock and place pages. */
export const pageOptionCalls: () => Calls<typeof PAGE_OPTIONS> = lazily(PAGE_OPTIONS);

/** The calls that fill and compare memory. */
export const contentCalls: () => Calls<typeof CONTENTS> = lazily(CONTENTS);

/** The calls about threads. */
export const threadCalls: () => Calls<typeof THREADS> = lazily(THREADS);

/** The calls about the process. */
export const processCalls: () => Calls<typeof PROCESS> = lazily(PROCESS);

/** The calls about files. */
export const fileCalls: () => Calls<typeof FILES> = lazily(FILES);

/** The calls that transfer data. */
export const ioCalls: () => Calls<typeof IO> = lazily(IO);

/** The calls that copy. */
export function copyCalls(): Calls<typeof COPIES> {
  // A separate variable, as this is inlined into the loops that copy.
  return copies ?? openCopies();
}

function openCopies(): Calls<typeof COPIES> {
  return copies = openLibrary(libc(), COPIES);
}

/**
 * A group of functions that is opened at its first call.
 *
 * @param symbols What each function takes and returns.
 * @returns A function that returns them.
 */
export function lazily<S extends Symbols>(symbols: S): () => Calls<S> {
  let calls: Calls<S> | undefined;
  return () => calls ??= openLibrary(libc(), symbols);
}

/**
 * A function of the C library on the runtime's pool of threads. Linux only.
 *
 * @param name Its name.
 * @param signature What it takes and returns.
 * @returns `undefined` where the runtime has no such pool.
 * @throws {LibcUnavailable} There is no such function.
 */
export function poolCall<S extends Signature>(
  name: string,
  signature: S,
): PoolCall<S> | undefined {
  const { platform, runtime } = libc();
  if (runtime.onPool === undefined) return undefined;
  // glibc before 2.34 has dlsym in a library of its own.
  const names = { runtime, platform: { libc: [...platform.libc, "libdl.so.2"] } };
  const { dlsym } = openLibrary(names, DYNAMIC);
  // SAFETY: the name ends with a zero byte. The handle 0 is RTLD_DEFAULT: all that is loaded.
  const address = dlsym(0n, new TextEncoder().encode(`${name}\0`));
  if (address === 0n) throw new LibcUnavailable(`Cannot find ${name} in the C library`);
  return runtime.onPool(address, signature);
}

function open(): Libc {
  const runtime = currentRuntime();
  const platform = runtime && currentPlatform(runtime);
  if (runtime === undefined || platform === undefined) {
    const found = runtime === undefined
      ? `${runtimeName()} without FFI`
      : `${runtimeName()} on ${runtime.os}, ${runtime.arch}`;
    throw new LibcUnavailable(
      "Cannot map host memory: it takes Deno, Node.js 26 or Bun on Linux or macOS (x86-64 or " +
        `arm64), this is ${found}. Memory on the heap works everywhere: see GuestMemoryHeap`,
    );
  }
  const { location, ...core } = openLibrary({ runtime, platform }, {
    ...CORE,
    // int *__errno_location(void);
    location: { name: platform.errnoLocation, parameters: [], result: "usize" },
  });
  return {
    core,
    runtime,
    platform,
    pageSize: Number(core.sysconf(platform.scPageSize)),
    // SAFETY: the C library keeps a thread's errno at one address for the thread's life, and
    // synchronous calls run on the thread that makes them.
    errno: new Int32Array(runtime.bufferAt(location(), 4)),
  };
}

// Opens functions of the first library that there is.
function openLibrary<S extends Symbols>(
  { runtime, platform }: {
    readonly runtime: ForeignRuntime;
    readonly platform: Pick<Platform, "libc">;
  },
  symbols: S,
): Calls<S> {
  let cause: unknown;
  for (const name of platform.libc) {
    try {
      return runtime.open(name, symbols);
    } catch (error) {
      if (error instanceof ForeignAccessDenied) {
        throw new LibcUnavailable(
          `Cannot map host memory: FFI access is denied, ${error.message}`,
          { cause: error.cause },
        );
      }
      cause ??= error;
    }
  }
  const names = platform.libc.join(", ");
  throw new LibcUnavailable(`Cannot map host memory: none of ${names} can be opened`, { cause });
}

/**
 * An integer in [0, 2^53) as a 64-bit parameter of a call. Call it in the argument list: optimised
 * code then calculates it in registers. `BigInt(n)` of a number of more than 32 bits allocates an
 * object, which takes longer than the call.
 */
export function u64(n: number): bigint {
  return BigInt.asUintN(64, BigInt(n / 2 ** 22 | 0) * 0x40_0000n + BigInt(n & 0x3f_ffff));
}

/**
 * The error of the call that has just failed. Call it before anything else: the next system call
 * may change errno.
 *
 * @param call The call that failed.
 * @param args The arguments that matter, by name.
 * @returns The error to throw.
 */
export function lastError(call: string, args: Record<string, unknown> = {}): SystemError {
  return systemError(call, libc().errno[0]!, args);
}

/** A signal interrupted a call. The same number on every platform. */
export const EINTR = 4;

/**
 * The error of a call, by the errno that was read right after it. Making an object for `args` may
 * collect garbage first, and waiting for V8's threads changes errno.
 */
export function systemError(
  call: string,
  errno: number,
  args: Record<string, unknown>,
): SystemError {
  const name = libc().platform.errno[errno] ?? `errno ${errno}`;
  return new SystemError(call, errno, name, args);
}
