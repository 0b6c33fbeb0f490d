/** Files that leave nothing behind. */

/**
 * Makes an empty file, open to read and write, among the temporary files. It has no name any more.
 *
 * @param prefix What its name begins with, as long as it has one.
 */
export function openUnnamedFile(prefix: string): Deno.FsFile {
  const path = Deno.makeTempFileSync({ prefix });
  try {
    return Deno.openSync(path, { read: true, write: true });
  } finally {
    Deno.removeSync(path);
  }
}
