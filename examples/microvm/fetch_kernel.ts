/**
 * Gets a Linux kernel from Debian's packages, for the example to boot: as it is shipped
 * (`vmlinuz`), and unpacked (`vmlinux`), which spares the guest the work.
 *
 * Run it on Debian, as root or not: `deno run -A examples/microvm/fetch_kernel.ts`. `--help` shows more.
 *
 * @module
 */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parse } from "../lib/arguments.ts";
import { UsageError } from "../lib/expected_error.ts";
import { size } from "../lib/units.ts";
import { ImageFile } from "./image_file.ts";
import { MicrovmError } from "./microvm_error.ts";
import { unpackKernel } from "./unpack_kernel.ts";
import { runProgram } from "../lib/program.ts";

const USAGE = `Usage: deno run -A examples/microvm/fetch_kernel.ts [PACKAGE]

Downloads the kernel of PACKAGE, one of Debian's packages (by default
linux-image-cloud-amd64), to target/kernels: vmlinuz as it is shipped, and
vmlinux unpacked. Nothing is installed, and no rights are needed.

Options:
  -h, --help  Show this text`;

/** A kernel with the drivers of clouds only. The package names the one of the current version. */
const PACKAGE = "linux-image-cloud-amd64";
/** Where kernels go: git ignores this folder. */
const TARGET = fileURLToPath(new URL("../../target/kernels/", import.meta.url));

function fetchKernel(name: string): void {
  const folder = Deno.makeTempDirSync({ prefix: "kernel-" });
  try {
    const archive = download(name, folder);
    run("dpkg-deb", ["-x", archive, `${folder}/files`]);
    const boot = `${folder}/files/boot`;
    const image = Array.from(Deno.readDirSync(boot), (entry) => entry.name)
      .find((entry) => entry.startsWith("vmlinuz-"));
    if (image === undefined) throw new MicrovmError(`package ${name} has no kernel`);
    Deno.mkdirSync(TARGET, { recursive: true });
    Deno.copyFileSync(`${boot}/${image}`, `${TARGET}vmlinuz`);
    using file = new ImageFile(`${TARGET}vmlinuz`);
    Deno.writeFileSync(`${TARGET}vmlinux`, unpackKernel(file));
    console.log(`${image}:`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
  for (const name of ["vmlinuz", "vmlinux"]) {
    const path = relative(Deno.cwd(), `${TARGET}${name}`);
    console.log(`  ${path} (${size(Deno.statSync(path).size)})`);
  }
}

// The lists of packages on this system may be old or missing. Newer ones go to a folder of ours, so
// that it takes no rights.
function download(name: string, folder: string): string {
  const own = ["-o", `Dir::State::Lists=${folder}/lists`, "-o", `Dir::Cache=${folder}/cache`];
  try {
    return tryDownload(name, folder, []);
  } catch (error) {
    if (!(error instanceof MicrovmError)) throw error;
    console.error("Getting the lists of packages…");
    for (const part of ["lists/partial", "cache/archives/partial"]) {
      Deno.mkdirSync(`${folder}/${part}`, { recursive: true });
    }
    run("apt-get", [...own, "--quiet", "update"]);
    return tryDownload(name, folder, own);
  }
}

function tryDownload(name: string, folder: string, options: readonly string[]): string {
  const depends = run("apt-cache", [...options, "depends", name]);
  // A kernel's package depends on others; one that depends on a kernel is only its name.
  const kernel = /^ *Depends: (linux-image-\S+)$/m.exec(depends)?.[1] ?? name;
  console.error(`Downloading ${kernel}…`);
  run("apt-get", [...options, "--quiet", "download", kernel], folder);
  const archive = Array.from(Deno.readDirSync(folder), (entry) => entry.name)
    .find((entry) => entry.endsWith(".deb"));
  if (archive === undefined) throw new MicrovmError(`package ${kernel} was not downloaded`);
  return `${folder}/${archive}`;
}

function run(command: string, args: readonly string[], cwd?: string): string {
  let output;
  try {
    output = new Deno.Command(command, { args: [...args], ...(cwd !== undefined && { cwd }) })
      .outputSync();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new MicrovmError(`cannot run ${command}: this takes Debian, or a system made of it`);
  }
  const text = new TextDecoder();
  if (output.success) return text.decode(output.stdout);
  const lines = text.decode(output.stderr).trim().split("\n");
  throw new MicrovmError(`${command} failed: ${lines.at(-1)}`);
}

function packageOf(args: string[]): string | undefined {
  const { values, positionals } = parse({
    args,
    options: { help: { type: "boolean", short: "h" } },
    allowPositionals: true,
  });
  if (positionals.length > 1) {
    throw new UsageError(`expected one PACKAGE, found ${positionals.length}`);
  }
  return values.help ? undefined : positionals[0] ?? PACKAGE;
}

if (import.meta.main) {
  const program = { name: "fetch_kernel", usage: USAGE, optionsOf: packageOf, run: fetchKernel };
  Deno.exitCode = await runProgram(program, Deno.args);
}
