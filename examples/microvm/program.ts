/**
 * The program: what the arguments ask for, or one line that says why not.
 *
 * @module
 */
import { argumentsOf, USAGE } from "./arguments.ts";
import { reasonToStop, UsageError } from "../lib/expected_error.ts";

/**
 * Does what the arguments ask for.
 *
 * @param args The arguments.
 * @returns The exit code.
 */
export async function main(args: string[]): Promise<number> {
  try {
    const asked = await argumentsOf(args);
    if (asked === undefined) {
      console.log(USAGE);
    } else if (asked.boot === undefined && asked.view) {
      const { viewCounting } = await import("./counting_view.ts");
      await viewCounting(asked.device, 0, (line) => console.log(line));
    } else if (asked.boot === undefined) {
      const { sayHello } = await import("./hello.ts");
      const { openOutput } = await import("../lib/output.ts");
      await sayHello(asked.device, openOutput());
    } else {
      const { bootKernel } = await import("./boot.ts");
      return await bootKernel(asked.boot, asked, (line) => console.error(`microvm: ${line}`));
    }
    return 0;
  } catch (error) {
    const reason = reasonToStop(error);
    if (reason === undefined) throw error;
    console.error(`microvm: ${reason}`);
    return error instanceof UsageError ? 2 : 1;
  }
}
