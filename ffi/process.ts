/**
 * What belongs to the whole process.
 *
 * @module
 */
import { fileCalls, libc, processCalls } from "./libc.ts";

let secret: Uint32Array | undefined;

/**
 * Two words that every thread of this process knows, and code without FFI does not: the first half
 * of the kernel's random bytes for the process (`AT_RANDOM` of `getauxval(3)`). Without those, as on
 * macOS, they are the process's number.
 */
export function processSecret(): Uint32Array {
  return secret ??= askSecret();
}

// linux/auxvec.h
const AT_RANDOM = 25n;

function askSecret(): Uint32Array {
  const { runtime } = libc();
  const address = processCalls().getauxval?.(AT_RANDOM) ?? 0n;
  if (address === 0n) return Uint32Array.of(runtime.pid, 0);
  // SAFETY: the kernel puts 16 bytes there when it starts the process, for the process's life.
  return new Uint32Array(runtime.bufferAt(address, 8).slice(0));
}

/**
 * The text of a file of the system, such as one of `/proc`. Deno's permission to read is not asked
 * for: code with FFI has it anyway.
 *
 * @returns The text; `undefined` where the file cannot be read.
 */
export function readSystemFile(path: string): string | undefined {
  const { open, close, readBuffer } = fileCalls();
  // SAFETY: the path ends with a zero byte.
  const fd = open(new TextEncoder().encode(`${path}\0`), libc().platform.closeOnExec, 0);
  if (fd < 0) return undefined;
  try {
    const decoder = new TextDecoder();
    const part = new Uint8Array(2 ** 16);
    for (let text = "";;) {
      // SAFETY: the buffer has as many bytes.
      const done = readBuffer(fd, part, BigInt(part.length));
      if (done <= 0) return done < 0 ? undefined : text;
      text += decoder.decode(part.subarray(0, done), { stream: true });
    }
  } finally {
    close(fd);
  }
}

/**
 * Bytes of memory that this process can take before the kernel kills one: what the host has
 * (`MemAvailable` of `/proc/meminfo`), and what the limits of its control groups leave.
 *
 * @returns Bytes; `Infinity` where the platform does not say.
 */
export function availableMemory(): number {
  return Math.min(meminfo("MemAvailable"), ...groupLimits());
}

/** Bytes of memory that the host has; `Infinity` where the platform does not say. */
export function totalMemory(): number {
  return meminfo("MemTotal");
}

function meminfo(name: string): number {
  const line = new RegExp(`^${name}: +(\\d+) kB$`, "m");
  const kilobytes = line.exec(readSystemFile("/proc/meminfo") ?? "")?.[1];
  return kilobytes === undefined ? Infinity : Number(kilobytes) * 1024;
}

// What each control group of the process leaves. Page cache counts as used there, but can be dropped.
function* groupLimits(): Generator<number> {
  const path = /^0::(.*)$/m.exec(readSystemFile("/proc/self/cgroup") ?? "")?.[1];
  if (path === undefined) return;
  for (let group = path; group !== ""; group = group.slice(0, group.lastIndexOf("/"))) {
    const read = (name: string) => readSystemFile(`/sys/fs/cgroup${group}/memory.${name}`) ?? "";
    const limit = parseInt(read("max"));
    if (!Number.isFinite(limit)) continue;
    const cache = [...read("stat").matchAll(/^(?:in)?active_file (\d+)$/gm)];
    const droppable = cache.reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    yield Math.max(0, limit - parseInt(read("current")) + droppable);
  }
}
