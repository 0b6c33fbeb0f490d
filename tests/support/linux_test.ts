/**
 * Tests of what only Linux has.
 *
 * @module
 */

/** A test that needs Linux: for its numbers, or for what only its kernel has. */
export function linuxTest(name: string, fn: () => void | Promise<void>): void {
  const ignore = Deno.build.os !== "linux";
  Deno.test({ name: ignore ? `${name} (ignored: needs Linux)` : name, ignore, fn });
}
