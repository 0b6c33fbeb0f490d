/** ELF files as they are on a machine, none of which is a kernel. */
import { assertMatch } from "@std/assert";
import { GuestAddress, GuestMemoryHeap } from "@vmm/guest-memory";
import { loadElf } from "../../../examples/microvm/elf_kernel.ts";
import { ImageFile } from "../../../examples/microvm/image_file.ts";
import { kvmTest } from "./kvm_guest.ts";
import { assertRefused, microvm } from "./program.ts";

const KINDS: readonly (readonly [what: string, flags: readonly string[], reason: RegExp])[] = [
  ["a static executable", ["-static", "-no-pie"], /a program that runs on one/],
  ["a dynamic executable", ["-no-pie"], /a program that runs on one/],
  ["a static position-independent executable", ["-static-pie"], /"position-independent"/],
  ["a position-independent executable", ["-pie"], /"position-independent"/],
  ["a shared library", ["-shared", "-fPIC"], /"position-independent"/],
  ["an object file", ["-c"], /of type "relocatable object"/],
  ["a 32-bit object file", ["-c", "-m32"], /a 32-bit ELF file/],
];

function reasonAgainst(path: string): string {
  using file = new ImageFile(path);
  using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 2 ** 20]]);
  try {
    loadElf(file, memory);
    return "none: it was loaded";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Compiles a program, or says why it cannot be. */
function compile(folder: string, flags: readonly string[]): { path: string } | { reason: string } {
  const [source, path] = [`${folder}/program.c`, `${folder}/program`];
  Deno.writeTextFileSync(source, "int main(void) { return 0; }\n");
  try {
    const args = [...flags, "-o", path, source];
    const { success, stderr } = new Deno.Command("cc", { args }).outputSync();
    if (success) return { path };
    return { reason: new TextDecoder().decode(stderr).trim().split("\n").at(-1)! };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { reason: "there is no cc" };
  }
}

/** A test of this machine's own files, which are for x86-64. */
function x86Test(name: string, fn: () => void): void {
  const ignore = Deno.build.os !== "linux" || Deno.build.arch !== "x86_64";
  Deno.test({ name: ignore ? `${name} (ignored: needs Linux on x86-64)` : name, ignore, fn });
}

for (const [what, flags, reason] of KINDS) {
  x86Test(`loadElf() refuses ${what} that cc made`, () => {
    const folder = Deno.makeTempDirSync();
    try {
      const made = compile(folder, flags);
      if ("reason" in made) console.log(`skipped: ${made.reason}`);
      else assertMatch(reasonAgainst(made.path), reason);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}

x86Test("loadElf() refuses Deno itself", () => {
  assertMatch(reasonAgainst(Deno.execPath()), /it is no kernel/);
});

kvmTest("microvm refuses a program in place of a kernel", async () => {
  for (const path of ["/bin/true", Deno.execPath()]) {
    assertRefused(await microvm(["--kernel", path]), "it is no kernel");
  }
});
