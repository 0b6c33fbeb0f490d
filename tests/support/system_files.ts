/**
 * What the kernel says of the host, replaced.
 *
 * @module
 */
import { fileCalls } from "../../ffi/libc.ts";

/**
 * Replaces files that the library reads from `/proc` and `/sys` while a function runs.
 *
 * @param files Their texts by path; undefined for a file that there is not.
 * @param use The function.
 */
export function withSystemFiles<T>(
  files: Readonly<Record<string, string | undefined>>,
  use: () => T,
): T {
  const calls = fileCalls() as { open: (path: Uint8Array, flags: number, mode: number) => number };
  const { open } = calls;
  const copy = Deno.makeTempFileSync();
  calls.open = (path, flags, mode) => {
    const name = new TextDecoder().decode(path).replace("\0", "");
    if (!(name in files)) return open(path, flags, mode);
    const text = files[name];
    if (text === undefined) return -1;
    Deno.writeTextFileSync(copy, text);
    return open(new TextEncoder().encode(`${copy}\0`), flags, mode);
  };
  try {
    return use();
  } finally {
    calls.open = open;
    Deno.removeSync(copy);
  }
}
