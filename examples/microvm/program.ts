/**
 * The program: what the arguments ask for, or one line that says why not.
 *
 * @module
 */
import { type Arguments, argumentsOf, USAGE } from "./arguments.ts";
import { runProgram } from "../lib/program.ts";

/**
 * Does what the arguments ask for.
 *
 * @param args The arguments.
 * @returns The exit code.
 */
export function main(args: string[]): Promise<number> {
  return runProgram({ name: "microvm", usage: USAGE, optionsOf: argumentsOf, run }, args);
}

async function run(asked: Arguments): Promise<number> {
  if (asked.boot !== undefined) {
    const { bootKernel } = await import("./boot.ts");
    return await bootKernel(asked.boot, asked, (line) => console.error(`microvm: ${line}`));
  }
  if (asked.view) {
    const { viewCounting } = await import("./counting_view.ts");
    await viewCounting(asked.device, 0, (line) => console.log(line));
  } else {
    const { sayHello } = await import("./hello.ts");
    const { openOutput } = await import("../lib/output.ts");
    await sayHello(asked.device, openOutput());
  }
  return 0;
}
