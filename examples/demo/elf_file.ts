/**
 * A file on disk with an ELF image.
 *
 * @module
 */
import { DemoError } from "./demo_error.ts";
import { quoted } from "../lib/quoted.ts";
import type { ByteSource } from "./elf.ts";

/** An open file, read at offsets. */
export class ElfFile implements ByteSource, Disposable {
  /** The path it was opened by. */
  readonly path: string;
  /** Bytes it had when it was opened. */
  readonly size: number;
  readonly #file: Deno.FsFile;

  /**
   * Opens a file.
   *
   * @param path Where it is.
   * @throws {DemoError} It is missing, not to be read, or not a regular file.
   */
  constructor(path: string) {
    this.path = path;
    this.size = explainFailure(path, () => sizeOfRegularFile(path));
    this.#file = explainFailure(path, () => Deno.openSync(path));
  }

  /** Its bytes from an offset: fewer than asked where the file ends. */
  readAt(offset: number, length: number): Uint8Array {
    const buffer = new Uint8Array(Math.min(length, this.size));
    return explainFailure(this.path, () => {
      const file = this.from(offset);
      let done = 0;
      while (done < buffer.length) {
        const count = file.readSync(buffer.subarray(done)) ?? 0;
        if (count === 0) break;
        done += count;
      }
      return buffer.subarray(0, done);
    });
  }

  /**
   * The file itself, to be read from an offset on.
   *
   * @param offset Bytes from its start.
   */
  from(offset: number): Deno.FsFile {
    this.#file.seekSync(offset, Deno.SeekMode.Start);
    return this.#file;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

// Opening a pipe would wait for its other end, so what a path is has to be known before.
function sizeOfRegularFile(path: string): number {
  const { isFile, isDirectory, size } = Deno.statSync(path);
  if (isFile) return size;
  throw new DemoError(
    `cannot read ${quoted(path)}: it is ${isDirectory ? "a directory" : "not a regular file"}`,
  );
}

function explainFailure<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof DemoError || !(error instanceof Error)) throw error;
    throw new DemoError(`cannot read ${quoted(path)}: ${reason(error)}`, { cause: error });
  }
}

function reason(error: Error): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  // Deno says which flag is missing.
  return error.message;
}
