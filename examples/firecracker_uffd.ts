/**
 * Both sides of Firecracker's page-fault handshake: a handler that loads a VMM's memory from a
 * snapshot when it is touched, and a VMM to try it with.
 *
 * Run it with `deno task firecracker-uffd`; `--help` shows its commands.
 *
 * | Module | What it is about |
 * | --- | --- |
 * | `handshake.ts` | the message |
 * | `serve.ts` | the handler |
 * | `vmm.ts`, `touching_worker.ts` | the VMM, and its threads |
 * | `demo.ts` | both as processes, of which one is killed |
 * | `arguments.ts`, `uffd_error.ts` | the program around it |
 *
 * @module
 */
import { type Request, requestOf, USAGE } from "./firecracker_uffd/arguments.ts";
import { reasonOf } from "./firecracker_uffd/uffd_error.ts";
import { runProgram } from "./lib/program.ts";

const PAGES_DIFFER = 1;
const CANNOT = 2;
const INTERRUPTED = 130;

async function run(request: Request): Promise<number> {
  switch (request.run) {
    case "serve": {
      const { serve } = await import("./firecracker_uffd/serve.ts");
      await serve(request.options, (listener) => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) {
          Deno.addSignalListener(signal, () => {
            // It removes the socket's file.
            listener.close();
            Deno.exit(INTERRUPTED);
          });
        }
      });
      return 0;
    }
    case "vmm": {
      const { runVmm } = await import("./firecracker_uffd/vmm.ts");
      return await runVmm(request.options) ? 0 : PAGES_DIFFER;
    }
    case "demo": {
      const { runDemo } = await import("./firecracker_uffd/demo.ts");
      return await runDemo(request.size) ? 0 : PAGES_DIFFER;
    }
  }
}

// A signal's listener, and threads that wait for a page, would keep the program.
if (import.meta.main) {
  const statusOf = () => CANNOT;
  const program = { name: "firecracker-uffd", usage: USAGE, run, reasonOf, statusOf };
  Deno.exit(await runProgram({ ...program, optionsOf: requestOf }, Deno.args));
}
