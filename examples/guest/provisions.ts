/**
 * What the guest consists of: QEMU, a kernel, commands. All of it is kept in `target/guest`.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { Apt } from "./apt.ts";
import { run } from "./commands.ts";
import { buildDma, buildFio, compiles, hasDma, unpackedCompiler } from "./built_tools.ts";
import { GuestError, NotProvided } from "./guest_error.ts";
import { type Distribution, distributionOf, type Download } from "./packages.ts";

/** Where everything is. Git ignores this folder. */
const TARGET = fileURLToPath(new URL("../../target/guest", import.meta.url));
const ROOT = `${TARGET}/root`;
const COMPILER_ROOT = `${TARGET}/compiler`;
/** The bytes of the lists of packages, about: their size is not known before. */
const LISTS_MB = 20;
/** The first that names the interval of `reconnect-ms`. */
const LEAST_QEMU = 9.2;

/** Paths of what the guest consists of. */
export interface Provisions {
  readonly qemu: string;
  readonly storageDaemon: string;
  readonly mke2fs: string;
  readonly e2fsck: string;
  readonly debugfs: string;
  readonly busybox: string;
  /** Folders of what QEMU loads into machines. */
  readonly firmware: readonly string[];
  /** The kernel, and the folder of its drivers. */
  readonly kernel: string;
  readonly modules: string;
  /** What the programs above have to find in their environment. */
  readonly env: Record<string, string>;
}

/** How packages are got. */
export interface ProvideOptions {
  /** Answers whether to do what the lines say. */
  readonly ask: (lines: readonly string[]) => boolean;
  /** Is called with what is done now. */
  readonly onStage?: (text: string) => void;
}

/**
 * Finds what the guest consists of, or gets it from the distribution's packages, if that is agreed
 * to. Nothing is installed.
 *
 * @param options Who agrees.
 * @throws {NotProvided} It cannot be had here.
 * @throws {GuestError} It was not agreed to.
 */
export async function provide(options: ProvideOptions): Promise<Provisions> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    throw new NotProvided(
      `the guest takes Linux on x86_64, and this is ${Deno.build.os} on ${Deno.build.arch}`,
    );
  }
  if (!await exists(ROOT)) await fetch(options, { packages: true, fio: false, compiler: false });
  return await found();
}

/**
 * Finds the programs of the checks, or makes them of the distribution's packages, if that is agreed
 * to.
 *
 * @param options Who agrees.
 * @returns The programs by name. They have no libraries.
 * @throws {GuestError} They cannot be had here, or were not agreed to.
 */
export async function provideTools(options: ProvideOptions): Promise<Record<string, string>> {
  const fio = !await exists(`${TARGET}/fio`);
  if (fio || !await hasDma(TARGET)) {
    const compiler = !await compiles({});
    if (fio || compiler) await fetch(options, { packages: false, fio, compiler });
    if (!compiler) await buildDma(TARGET, {});
  }
  return { fio: `${TARGET}/fio`, dma: `${TARGET}/dma` };
}

/** What has to be downloaded. */
interface Needs {
  readonly packages: boolean;
  readonly fio: boolean;
  readonly compiler: boolean;
}

async function fetch({ ask, onStage = () => {} }: ProvideOptions, needs: Needs): Promise<void> {
  const distribution = distributionOf(await textOf("/etc/os-release"));
  const lists = `apt's lists of packages: about ${LISTS_MB} MB`;
  agree(ask, ["To see what is missing, this is downloaded to target/guest:", `  ${lists}`]);
  onStage("Getting the lists of packages");
  const apt = new Apt(`${TARGET}/apt`, distribution);
  await apt.update();
  const packages = needs.packages ? await apt.packages() : [];
  const compiler = needs.compiler ? await apt.compiler() : [];
  const sources = needs.fio ? await apt.fioSource() : [];
  agree(ask, planOf(distribution, [...packages, ...compiler], sources));
  onStage("Getting packages");
  if (needs.packages) await unpack(await apt.fetchPackages(), ROOT);
  if (needs.compiler) await unpack(await apt.fetchCompiler(), COMPILER_ROOT);
  const env = needs.compiler ? await unpackedCompiler(COMPILER_ROOT) : {};
  if (needs.fio) {
    onStage("Compiling fio");
    await buildFio(await apt.fetchFio(), TARGET, env);
  }
  if (needs.compiler) await buildDma(TARGET, env);
  // The packages are unpacked, the lists will be old, and nothing else is compiled.
  await Deno.remove(`${TARGET}/apt`, { recursive: true });
  if (needs.compiler) await Deno.remove(COMPILER_ROOT, { recursive: true });
}

/**
 * What is shown before it is done.
 *
 * @param distribution The Debian of this machine.
 * @param packages What is unpacked.
 * @param sources What is compiled.
 */
export function planOf(
  { codename }: Distribution,
  packages: readonly Download[],
  sources: readonly Download[],
): string[] {
  const total = [...packages, ...sources].reduce((sum, { bytes }) => sum + bytes, 0);
  const lines = (downloads: readonly Download[]) =>
    downloads.map(({ file, bytes }) => `  ${megabytes(bytes)}  ${file}`);
  return [
    `From the packages of ${codename}, ${megabytes(total).trim()} are downloaded:`,
    ...lines(packages),
    ...lines(sources),
    "They are unpacked in target/guest, and nothing is installed.",
    ...(sources.length === 0 ? [] : ["fio is compiled there (most of a minute)."]),
  ];
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1).padStart(6)} MB`;
}

function agree(ask: ProvideOptions["ask"], lines: readonly string[]): void {
  if (!ask(lines)) throw new GuestError("the guest needs these packages (--yes does not ask)");
}

// The folder gets its name when it is complete.
async function unpack(archives: readonly string[], root: string): Promise<void> {
  const folder = `${root}.part`;
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true });
  for (const archive of archives) await run("dpkg-deb", ["--extract", archive, folder]);
  await Deno.remove(root, { recursive: true }).catch(() => {});
  await Deno.rename(folder, root);
}

async function found(): Promise<Provisions> {
  const env = {
    LD_LIBRARY_PATH: [`${ROOT}/usr/lib/x86_64-linux-gnu`, `${ROOT}/lib/x86_64-linux-gnu`].join(":"),
  };
  const qemu = await program("qemu-system-x86_64");
  await ensureVersion(qemu, env);
  const kernel = (await namesIn(`${ROOT}/boot`)).find((name) => name.startsWith("vmlinuz-"));
  if (kernel === undefined) throw new GuestError(`there is no kernel in target/guest: ${REMOVE}`);
  const version = kernel.slice("vmlinuz-".length);
  return {
    qemu,
    storageDaemon: await program("qemu-storage-daemon"),
    mke2fs: await program("mke2fs"),
    e2fsck: await program("e2fsck"),
    debugfs: await program("debugfs"),
    busybox: await program("busybox"),
    firmware: await existing([`${ROOT}/usr/share/qemu`, `${ROOT}/usr/share/seabios`]),
    kernel: `${ROOT}/boot/${kernel}`,
    modules: await firstOf([
      `${ROOT}/lib/modules/${version}`,
      `${ROOT}/usr/lib/modules/${version}`,
    ]),
    env,
  };
}

const REMOVE = "remove that folder, and start again";

async function ensureVersion(qemu: string, env: Record<string, string>): Promise<void> {
  const text = await run(qemu, ["--version"], { env });
  const version = /version (\d+\.\d+)/.exec(text)?.[1];
  if (Number(version) >= LEAST_QEMU) return;
  throw new NotProvided(`QEMU ${LEAST_QEMU} or later is needed, and ${qemu} is ${version}`);
}

async function program(name: string): Promise<string> {
  const path = await findProgram(name);
  if (path !== undefined) return path;
  throw new GuestError(`${name} is neither in target/guest nor installed: ${REMOVE}`);
}

// What is installed on the machine is not among the packages that were downloaded.
async function findProgram(name: string): Promise<string | undefined> {
  const own = ["usr/bin", "bin", "usr/sbin", "sbin"];
  const system = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"];
  for (const folder of [...own.map((folder) => `${ROOT}/${folder}`), ...system]) {
    if (await exists(`${folder}/${name}`)) return `${folder}/${name}`;
  }
  return undefined;
}

async function existing(paths: readonly string[]): Promise<string[]> {
  const found = [];
  for (const path of paths) if (await exists(path)) found.push(path);
  return found;
}

async function firstOf(paths: readonly string[]): Promise<string> {
  const [path] = await existing(paths);
  if (path !== undefined) return path;
  throw new GuestError(`there is no ${paths[0]}: ${REMOVE}`);
}

async function namesIn(folder: string): Promise<string[]> {
  return await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function textOf(path: string): Promise<string> {
  return await Deno.readTextFile(path).catch(() => "");
}
