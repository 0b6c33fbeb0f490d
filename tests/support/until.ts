/**
 * Waiting for what another thread does.
 *
 * @module
 */

/**
 * Waits until something has happened.
 *
 * @param happened Whether it has.
 * @param seconds How long to wait.
 * @returns Whether it has, within that time.
 */
export async function until(happened: () => boolean, seconds: number = 10): Promise<boolean> {
  const end = performance.now() + seconds * 1000;
  while (!happened() && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return happened();
}
