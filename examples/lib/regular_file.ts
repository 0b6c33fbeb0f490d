/**
 * A file on disk, read at offsets.
 *
 * @module
 */
import { ExpectedError } from "./expected_error.ts";
import { quoted } from "./quoted.ts";

/** A file's bytes, wherever they are. */
export interface ByteSource {
  /** How many there are. */
  readonly size: number;
  /** Reads from an offset: fewer bytes than asked where the file ends. */
  readAt(offset: number, length: number): Uint8Array;
}

/** A file cannot be read. The message says which, and why. */
export class FileError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "FileError";
}

/** An open file. */
export class RegularFile implements ByteSource, Disposable {
  /** The path it was opened by, fit to be shown. */
  readonly name: string;
  /** Bytes it had when it was opened. */
  readonly size: number;
  readonly #file: Deno.FsFile;

  /**
   * Opens a file to read.
   *
   * @param path Where it is.
   * @throws {FileError} It is missing, not to be read, or not a regular file.
   */
  constructor(path: string) {
    this.name = quoted(path);
    this.size = this.#explainFailure(() => sizeOfRegularFile(path));
    this.#file = this.#explainFailure(() => Deno.openSync(path));
  }

  /**
   * Its bytes from an offset: fewer than asked where the file ends.
   *
   * @param offset Bytes from its start, any number.
   * @param length Bytes at most.
   * @throws {FileError} It cannot be read any more.
   */
  readAt(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const buffer = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    if (buffer.length === 0) return buffer;
    return this.#explainFailure(() => {
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

  #explainFailure<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      throw new FileError(`cannot read ${this.name}: ${reasonOf(error)}`, { cause: error });
    }
  }
}

// Opening a pipe would wait for its other end, so what a path is has to be known before.
function sizeOfRegularFile(path: string): number {
  const { isFile, isDirectory, size } = Deno.statSync(path);
  if (isFile) return size;
  throw new Error(`it is ${isDirectory ? "a directory" : "not a regular file"}`);
}

function reasonOf(error: Error): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  // Deno says which flag is missing.
  return error.message;
}
