/**
 * Unix sockets where another process listens.
 *
 * @module
 */

/** Linux: `include/linux/net.h`, `__SO_ACCEPTCON`. */
const LISTENS = 1 << 16;
const POLL_MS = 20;

/**
 * Waits until a process listens at a path. Nothing connects: some servers take one client only.
 *
 * @param path The path, as the process names it.
 * @param seconds How long to wait.
 * @returns Whether one listens.
 */
export async function listening(path: string, seconds: number): Promise<boolean> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    if (hasListener(await Deno.readTextFile("/proc/net/unix"), path)) return true;
    if (performance.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/**
 * Whether a process listens at a path.
 *
 * @param sockets The text of `/proc/net/unix`.
 * @param path The path.
 */
export function hasListener(sockets: string, path: string): boolean {
  return sockets.split("\n").some((line) => {
    // Num, references, protocol, flags, type, state, inode, path.
    const [, , , flags, , , , ...name] = line.trim().split(" ").filter((word) => word !== "");
    return name.join(" ") === path && (parseInt(flags!, 16) & LISTENS) !== 0;
  });
}
