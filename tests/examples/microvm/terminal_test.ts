import { assertEquals, assertStringIncludes } from "@std/assert";
import { TemporaryFile } from "../elf_builder.ts";
import { elfKernel, PRINT_AND_RESET, PRINT_AND_WAIT } from "./images.ts";
import { kvmTest } from "./kvm_guest.ts";
import { commandOf } from "./program.ts";

const SCRIPT = "/usr/bin/script";
const TERMINAL = "microvm gives the terminal back as it was, at Ctrl-C and at the end";

if (exists(SCRIPT)) {
  kvmTest(TERMINAL, async () => {
    using waiting = new TemporaryFile(elfKernel(PRINT_AND_WAIT));
    using ending = new TemporaryFile(elfKernel(PRINT_AND_RESET));
    using failing = new TemporaryFile(elfKernel(Uint8Array.of(0x0f, 0x0b)));
    for (const [file, code] of [[waiting, 130], [ending, 0], [failing, 1]] as const) {
      const { text, modes } = await inTerminal(
        commandOf(["--kernel", file.path, "--memory", "4M"]),
        file === waiting,
      );
      assertStringIncludes(text, `code ${code}`);
      assertEquals(modes.length, 2, text);
      assertStringIncludes(modes[0]!, " icanon ");
      assertEquals(modes[1], modes[0]);
    }
  });
} else {
  Deno.test.ignore(`${TERMINAL} (ignored: needs ${SCRIPT})`, () => {});
}

/** Runs a command in a new terminal, between two looks at the terminal's modes. */
async function inTerminal(
  command: readonly string[],
  interrupt: boolean,
): Promise<{ text: string; modes: string[] }> {
  const quoted = command.map((part) => `'${part}'`).join(" ");
  const shell = `trap : INT; stty -a; ${quoted}; echo code $?; stty -a`;
  const child = new Deno.Command(SCRIPT, {
    args: ["--quiet", "--return", "--command", shell, "/dev/null"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const keys = child.stdin.getWriter();
  let text = "";
  let interrupted = false;
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (interrupt && !interrupted && text.includes("ok\r\n")) {
      interrupted = true;
      await keys.write(Uint8Array.of(3));
    }
  }
  await keys.close().catch(() => {});
  await child.status;
  return { text, modes: text.match(/^.*\bicanon\b.*$/gm)?.map((line) => ` ${line.trim()} `) ?? [] };
}

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
