/**
 * Files of a test.
 *
 * @module
 */

/** A file that is removed at the end of the test. */
export interface TemporaryFile extends Disposable {
  /** Its path. */
  readonly path: string;
}

/** Makes a file with some content, or with a number of zero bytes. */
export function temporaryFile(content: Uint8Array | number): TemporaryFile {
  const path = Deno.makeTempFileSync();
  if (typeof content === "number") Deno.truncateSync(path, content);
  else Deno.writeFileSync(path, content);
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}
