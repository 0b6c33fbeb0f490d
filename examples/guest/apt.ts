/**
 * Downloads of packages by apt, which installs nothing: its lists and files stay in a folder.
 *
 * @module
 */
import { run } from "./commands.ts";
import { GuestError, NotProvided } from "./guest_error.ts";
import {
  aptConfiguration,
  archivesOf,
  BUSYBOX,
  type Distribution,
  type Download,
  downloadsOf,
  FIO,
  KERNEL,
  kernelOf,
  packagesOf,
  sourcesList,
} from "./packages.ts";

/** apt with a configuration that is not the system's. */
export class Apt {
  readonly #folder: string;
  readonly #distribution: Distribution;
  readonly #env: Record<string, string>;

  /**
   * Takes a folder; nothing is done yet.
   *
   * @param folder Where lists and packages go.
   * @param distribution The Debian of this machine.
   */
  constructor(folder: string, distribution: Distribution) {
    this.#folder = folder;
    this.#distribution = distribution;
    this.#env = { APT_CONFIG: `${folder}/apt.conf`, LC_ALL: "C" };
  }

  /**
   * Gets the lists of packages.
   *
   * @throws {NotProvided} They cannot be had.
   */
  async update(): Promise<void> {
    const folder = this.#folder;
    for (const part of ["lists/partial", "archives/partial"]) {
      await Deno.mkdir(`${folder}/${part}`, { recursive: true });
    }
    const targets = await run("apt-get", ["indextargets"]);
    const sources = sourcesList(archivesOf(targets, this.#distribution), this.#distribution);
    await Deno.writeTextFile(`${folder}/sources.list`, sources);
    await Deno.writeTextFile(`${folder}/apt.conf`, aptConfiguration(folder));
    try {
      await this.#get("update", "--error-on=any");
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      throw new NotProvided(`cannot get the lists of packages: ${error.message}`);
    }
  }

  /** The files that the guest takes. */
  async packages(): Promise<Download[]> {
    const [programs, kernel] = [
      await this.#programs("--print-uris"),
      await this.#get("download", "--print-uris", BUSYBOX, await this.#kernel()),
    ];
    return [...downloadsOf(programs), ...downloadsOf(kernel)];
  }

  /** The files that {@linkcode fetchFio} takes. */
  async fioSource(): Promise<Download[]> {
    return downloadsOf(await this.#get("source", "--print-uris", "--tar-only", FIO));
  }

  /**
   * Downloads the packages.
   *
   * @returns The paths of what was downloaded.
   */
  async fetchPackages(): Promise<string[]> {
    const archives = `${this.#folder}/archives`;
    await this.#programs("--download-only");
    await this.#get("download", BUSYBOX, await this.#kernel());
    return Array.fromAsync(Deno.readDir(archives), ({ name }) => `${archives}/${name}`)
      .then((paths) => paths.filter((path) => path.endsWith(".deb")));
  }

  /**
   * Downloads the source of fio.
   *
   * @returns The path of its archive.
   */
  async fetchFio(): Promise<string> {
    await this.#get("source", "--download-only", "--tar-only", FIO);
    const archives = `${this.#folder}/archives`;
    for await (const { name } of Deno.readDir(archives)) {
      if (/^fio_.*\.orig\.tar\.\w+$/.test(name)) return `${archives}/${name}`;
    }
    throw new GuestError("the source of fio was not downloaded");
  }

  #programs(action: string): Promise<string> {
    const names = packagesOf(this.#distribution);
    return this.#get("install", action, "--yes", "--no-install-recommends", ...names);
  }

  async #kernel(): Promise<string> {
    return kernelOf(await run("apt-cache", ["depends", KERNEL], { env: this.#env }));
  }

  // Downloads go to the current folder.
  #get(command: string, ...args: string[]): Promise<string> {
    const options = { env: this.#env, cwd: `${this.#folder}/archives` };
    return run("apt-get", [command, "--quiet=2", ...args], options);
  }
}
