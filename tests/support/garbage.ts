/**
 * Forced garbage collection.
 *
 * @module
 */
import { linuxTest } from "./linux_test.ts";

const { gc } = globalThis as { gc?: () => void };

/** A test of what garbage collection does, which has to be forced. */
export function gcTest(name: string, fn: () => Promise<void>): void {
  if (gc === undefined) {
    Deno.test.ignore(`${name} (ignored: needs --v8-flags=--expose-gc)`, fn);
  } else {
    linuxTest(name, fn);
  }
}

/**
 * Collects garbage until something has happened.
 *
 * @returns Whether it has, within many rounds.
 */
export async function collectUntil(happened: () => boolean): Promise<boolean> {
  for (let round = 0; round < 100; round++) {
    if (happened()) return true;
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return happened();
}
