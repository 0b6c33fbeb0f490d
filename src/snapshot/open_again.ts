/**
 * Files whose holes are looked for.
 *
 * @module
 */
import { reopenFile } from "../../ffi/file_lease.ts";
import { SystemError } from "../../ffi/system_error.ts";

/**
 * Opens a file once more to read, with a position that nobody else needs.
 *
 * @returns A descriptor; `undefined` where the file may not be read, or there is no `/proc`.
 */
export function openAgain(fd: number): number | undefined {
  try {
    return reopenFile(fd);
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}
