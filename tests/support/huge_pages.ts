/**
 * Tests with huge pages of hugetlbfs.
 *
 * @module
 */
const POOL = "/proc/sys/vm/nr_hugepages";

/**
 * A test that needs huge pages of 2 MiB: it takes them for the pool if it may, and gives them back.
 *
 * @param name Its name.
 * @param count How many pages it needs.
 * @param fn The test.
 */
export function hugePagesTest(name: string, count: number, fn: () => void | Promise<void>): void {
  const before = poolSize();
  const reason = Deno.build.os !== "linux"
    ? "needs Linux"
    : before === undefined
    ? "no huge pages in this kernel"
    : !tryPool(before + count) || poolSize()! < before + count
    ? "the host has too few free huge pages, or they may not be taken"
    : undefined;
  if (before !== undefined) tryPool(before);
  Deno.test({
    name: reason === undefined ? name : `${name} (ignored: ${reason})`,
    ignore: reason !== undefined,
    async fn() {
      tryPool(before! + count);
      try {
        await fn();
      } finally {
        tryPool(before!);
      }
    },
  });
}

function poolSize(): number | undefined {
  try {
    return Number(Deno.readTextFileSync(POOL));
  } catch {
    return undefined;
  }
}

function tryPool(pages: number): boolean {
  try {
    Deno.writeTextFileSync(POOL, `${pages}`);
    return true;
  } catch {
    return false;
  }
}
