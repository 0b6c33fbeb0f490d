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
  COMPILER,
  type Distribution,
  type Download,
  downloadsOf,
  FIO,
  KERNEL,
  kernelOf,
  programsOf,
  sourcesList,
} from "./packages.ts";

/** What is downloaded, each to a folder of that name. */
const KINDS = ["root", "compiler", "fio"] as const;
type Kind = (typeof KINDS)[number];

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
    for (const part of ["lists", ...KINDS]) {
      await Deno.mkdir(`${folder}/${part}/partial`, { recursive: true });
    }
    const targets = await run("apt-get", ["indextargets"]);
    const sources = sourcesList(archivesOf(targets, this.#distribution), this.#distribution);
    await Deno.writeTextFile(`${folder}/sources.list`, sources);
    await Deno.writeTextFile(`${folder}/apt.conf`, aptConfiguration(folder));
    try {
      await this.#get("root", "update", ["--error-on=any"]);
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      throw new NotProvided(`cannot get the lists of packages: ${error.message}`);
    }
  }

  /** The files that the guest takes. */
  async packages(): Promise<Download[]> {
    const programs = await this.#install("root", "--print-uris", programsOf(this.#distribution));
    const others = ["--print-uris", BUSYBOX, await this.#kernel()];
    return [...downloadsOf(programs), ...downloadsOf(await this.#get("root", "download", others))];
  }

  /** The files of a compiler, as far as the machine does not have them. */
  async compiler(): Promise<Download[]> {
    return downloadsOf(await this.#install("compiler", "--print-uris", COMPILER));
  }

  /** The files that {@linkcode fetchFio} takes. */
  async fioSource(): Promise<Download[]> {
    return downloadsOf(await this.#get("fio", "source", ["--print-uris", "--tar-only", FIO]));
  }

  /**
   * Downloads the packages of the guest.
   *
   * @returns The paths of what was downloaded.
   */
  async fetchPackages(): Promise<string[]> {
    await this.#install("root", "--download-only", programsOf(this.#distribution));
    await this.#get("root", "download", [BUSYBOX, await this.#kernel()]);
    return await this.#found("root", /\.deb$/);
  }

  /**
   * Downloads a compiler.
   *
   * @returns The paths of what was downloaded.
   */
  async fetchCompiler(): Promise<string[]> {
    await this.#install("compiler", "--download-only", COMPILER);
    return await this.#found("compiler", /\.deb$/);
  }

  /**
   * Downloads the source of fio.
   *
   * @returns The path of its archive.
   */
  async fetchFio(): Promise<string> {
    await this.#get("fio", "source", ["--download-only", "--tar-only", FIO]);
    const [archive] = await this.#found("fio", /\.orig\.tar\.\w+$/);
    if (archive !== undefined) return archive;
    throw new GuestError("the source of fio was not downloaded");
  }

  async #install(kind: Kind, action: string, names: readonly string[]): Promise<string> {
    const archives = `Dir::Cache::archives=${this.#folder}/${kind}`;
    const options = [action, "--yes", "--no-install-recommends", "-o", archives];
    return await this.#get(kind, "install", [...options, ...names]);
  }

  async #kernel(): Promise<string> {
    return kernelOf(await run("apt-cache", ["depends", KERNEL], { env: this.#env }));
  }

  // Downloads go to the current folder.
  async #get(kind: Kind, command: string, args: readonly string[]): Promise<string> {
    const cwd = `${this.#folder}/${kind}`;
    return await run("apt-get", [command, "--quiet=2", ...args], { env: this.#env, cwd });
  }

  async #found(kind: Kind, name: RegExp): Promise<string[]> {
    const names = await Array.fromAsync(
      Deno.readDir(`${this.#folder}/${kind}`),
      (entry) => entry.name,
    );
    return names.filter((entry) => name.test(entry)).map((entry) =>
      `${this.#folder}/${kind}/${entry}`
    );
  }
}
