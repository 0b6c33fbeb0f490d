/**
 * The numbers that differ between platforms, one table for each platform.
 *
 * Linux: `include/uapi/asm-generic/{mman-common,mman,errno-base,errno}.h` (x86-64 and arm64 share
 * them) and `bits/confname.h` of glibc; musl uses the same values. macOS: `sys/mman.h`,
 * `sys/errno.h` and `unistd.h` of the SDK.
 *
 * @module
 */
import type { ForeignRuntime } from "./runtime/foreign_runtime.ts";

/**
 * Advice for the kernel on the use of memory: the names of `madvise(2)`. All but the first five are
 * of Linux only.
 */
export type Advice =
  | "normal"
  | "random"
  | "sequential"
  | "willneed"
  | "dontneed"
  | "free"
  | "remove"
  | "dontfork"
  | "dofork"
  | "mergeable"
  | "unmergeable"
  | "hugepage"
  | "nohugepage"
  | "dontdump"
  | "dodump"
  | "cold"
  | "pageout"
  | "populate-read"
  | "populate-write"
  | "dontneed-locked"
  | "collapse";

const LINUX_ADVICE: Readonly<Record<Advice, number>> = {
  normal: 0,
  random: 1,
  sequential: 2,
  willneed: 3,
  dontneed: 4,
  free: 8,
  remove: 9,
  dontfork: 10,
  dofork: 11,
  mergeable: 12,
  unmergeable: 13,
  hugepage: 14,
  nohugepage: 15,
  dontdump: 16,
  dodump: 17,
  cold: 20,
  pageout: 21,
  "populate-read": 22,
  "populate-write": 23,
  "dontneed-locked": 24,
  collapse: 25,
};

/** What the library needs to know of one platform. */
export interface Platform {
  /** Names of the C library, in the order to try. */
  readonly libc: readonly string[];
  /** The C function that returns the address of the thread's `errno`. */
  readonly errnoLocation: string;
  /** Value of `_SC_PAGESIZE` for `sysconf`. */
  readonly scPageSize: number;
  /** Flags of `mmap(2)`. */
  readonly map: {
    readonly shared: number;
    readonly private: number;
    readonly fixed: number;
    readonly anonymous: number;
    /** `MAP_FIXED_NOREPLACE`; 0 where there is none. */
    readonly fixedNoReplace: number;
    readonly noReserve: number;
    /** `MAP_HUGETLB`; 0 where there is none. */
    readonly hugeTlb: number;
  };
  /** `MADV_*` of `madvise(2)`. */
  readonly advice: Readonly<Partial<Record<Advice, number>>>;
  /** The numbers of system calls without a function in every C library; absent but on Linux. */
  readonly systemCalls: SystemCalls | undefined;
  /** `O_CLOEXEC` of `open(2)`. */
  readonly closeOnExec: number;
  /** `FIOCLEX` of `ioctl(2)`. */
  readonly closeOnExecRequest: bigint;
  /** `MS_SYNC` of `msync(2)`. */
  readonly msSync: number;
  /** The folder with an entry for each open descriptor, where `readdir(3)` has one layout. */
  readonly descriptorFolder: string | undefined;
  /** Symbolic names of errno values. */
  readonly errno: Readonly<Record<number, string>>;
}

/** Numbers of system calls of Linux, by architecture. */
export interface SystemCalls {
  readonly membarrier: bigint;
  readonly gettid: bigint;
  readonly tgkill: bigint;
  readonly mbind: bigint;
  readonly userfaultfd: bigint;
}

// asm/unistd_64.h of x86, asm-generic/unistd.h for arm64
const SYSTEM_CALLS: Readonly<Record<"x86_64" | "aarch64", SystemCalls>> = {
  x86_64: { membarrier: 324n, gettid: 186n, tgkill: 234n, mbind: 237n, userfaultfd: 323n },
  aarch64: { membarrier: 283n, gettid: 178n, tgkill: 131n, mbind: 235n, userfaultfd: 282n },
};

/** `PROT_*` of `mmap(2)`: the same on every platform. */
export const PROT = { none: 0, read: 1, write: 2 } as const;

/** `MS_ASYNC` of `msync(2)`: the same on every platform. */
export const MS_ASYNC = 1;

// errno-base.h: 1 to 34 are the same on Linux and macOS, but for 11.
const COMMON_ERRNO = named(
  1,
  "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT " +
    "ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG " +
    "ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE",
);

// Names for errno values from `first` on.
function named(first: number, names: string): Record<number, string> {
  return Object.fromEntries(names.split(" ").map((name, i) => [first + i, name]));
}

const LINUX: Platform = {
  libc: ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"],
  errnoLocation: "__errno_location",
  scPageSize: 30,
  map: {
    shared: 0x01,
    private: 0x02,
    fixed: 0x10,
    anonymous: 0x20,
    fixedNoReplace: 0x100000,
    noReserve: 0x4000,
    hugeTlb: 0x40000,
  },
  advice: LINUX_ADVICE,
  systemCalls: undefined,
  closeOnExec: 0o2000000,
  closeOnExecRequest: 0x5451n,
  msSync: 4,
  descriptorFolder: "/proc/self/fd",
  errno: {
    ...COMMON_ERRNO,
    ...named(36, "ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP"),
    75: "EOVERFLOW",
    ...named(88, "ENOTSOCK EDESTADDRREQ EMSGSIZE EPROTOTYPE"),
    ...named(95, "EOPNOTSUPP EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL"),
    ...named(
      103,
      "ECONNABORTED ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT " +
        "ECONNREFUSED",
    ),
    133: "EHWPOISON",
  },
};

const DARWIN: Platform = {
  libc: ["libSystem.B.dylib"],
  errnoLocation: "__error",
  scPageSize: 29,
  map: {
    shared: 0x01,
    private: 0x02,
    fixed: 0x10,
    anonymous: 0x1000,
    fixedNoReplace: 0,
    noReserve: 0x40,
    hugeTlb: 0,
  },
  advice: { normal: 0, random: 1, sequential: 2, willneed: 3, dontneed: 4, free: 5 },
  systemCalls: undefined,
  closeOnExec: 0x1000000,
  closeOnExecRequest: 0x2000_6601n,
  msSync: 0x10,
  descriptorFolder: undefined,
  errno: {
    ...COMMON_ERRNO,
    11: "EDEADLK",
    35: "EAGAIN",
    38: "ENOTSOCK",
    45: "ENOTSUP",
    54: "ECONNRESET",
    57: "ENOTCONN",
    60: "ETIMEDOUT",
    78: "ENOSYS",
    84: "EOVERFLOW",
  },
};

/**
 * The platform this program runs on, or `undefined` where the library cannot map memory.
 *
 * @param system The system and the processor.
 */
export function currentPlatform(
  { os, arch }: Pick<ForeignRuntime, "os" | "arch">,
): Platform | undefined {
  if (arch !== "x86_64" && arch !== "aarch64") return undefined;
  if (os === "linux") return { ...LINUX, systemCalls: SYSTEM_CALLS[arch] };
  return os === "darwin" ? DARWIN : undefined;
}
