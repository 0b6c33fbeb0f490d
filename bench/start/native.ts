/**
 * The program in C that `bench/start_bench.ts` compares with.
 *
 * @module
 */

/** The program, compiled. */
export class NativeProgram implements Disposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Compiles it; gives `undefined` where there is no compiler. */
  static compile(): NativeProgram | undefined {
    const directory = Deno.makeTempDirSync();
    const source = decodeURIComponent(new URL("native.c", import.meta.url).pathname);
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
   * @param args Its arguments: see `native.c`.
   * @returns Nanoseconds.
   */
  async measure(...args: (string | number)[]): Promise<number> {
    return Number(await output(`${this.#directory}/native`, args.map(String)));
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
