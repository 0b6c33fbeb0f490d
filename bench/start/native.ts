/**
 * The programs in C that `bench/start_bench.ts` and `bench/snapshot_bench.ts` compare with.
 *
 * @module
 */

/** The program, compiled. */
export class NativeProgram implements Disposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Compiles it.
   *
   * @param url Its source: that of `bench/start_bench.ts` by default.
   * @returns The program; `undefined` where there is no compiler.
   */
  static compile(url: URL = new URL("native.c", import.meta.url)): NativeProgram | undefined {
    const directory = Deno.makeTempDirSync();
    const source = decodeURIComponent(url.pathname);
    const args = ["-O2", "-pthread", "-o", `${directory}/native`, source];
    try {
      const { success, stderr } = new Deno.Command("cc", { args }).outputSync();
      if (!success) throw new Error(new TextDecoder().decode(stderr));
      return new NativeProgram(directory);
    } catch (error) {
      Deno.removeSync(directory, { recursive: true });
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /**
   * Runs it.
   *
   * @param args Its arguments: see its source.
   * @returns What it prints.
   */
  run(...args: (string | number)[]): Promise<string> {
    return output(`${this.#directory}/native`, args.map(String));
  }

  /** Runs one that prints nanoseconds. */
  async measure(...args: (string | number)[]): Promise<number> {
    return Number(await this.run(...args));
  }

  /** Removes it. */
  [Symbol.dispose](): void {
    Deno.removeSync(this.#directory, { recursive: true });
  }
}

/** What a program prints. */
export async function output(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
