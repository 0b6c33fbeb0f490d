/**
 * Which packages of Debian the guest consists of, and what apt says about them.
 *
 * @module
 */
import { GuestError, NotProvided } from "./guest_error.ts";

/** A version of Debian. */
export interface Distribution {
  /** Such as `bookworm`. */
  readonly codename: string;
  /** Whether its own QEMU is too old, so that the one of its backports is taken. */
  readonly backports: boolean;
}

/** Where packages come from. */
export interface Archive {
  readonly uri: string;
  /** Such as `bookworm-security`. */
  readonly suite: string;
}

/** A file that is to be downloaded. */
export interface Download {
  readonly file: string;
  readonly bytes: number;
}

/** These come with what they depend on, as far as the machine does not have it. */
const PROGRAMS = ["qemu-system-x86", "qemu-utils", "e2fsprogs"];
/** The kernel with drivers of clouds only: this package names the one of the current version. */
export const KERNEL = "linux-image-cloud-amd64";
/** The package of the guest's commands. */
export const BUSYBOX = "busybox-static";
/** These make programs for the guest. */
export const COMPILER: readonly string[] = ["gcc", "libc6-dev", "make"];
/** The source of the program that loads the disk. */
export const FIO = "fio";

const BOOKWORM = 12;
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Which Debian a machine has.
 *
 * @param release The text of its `/etc/os-release`.
 * @throws {NotProvided} It is not Debian 12 or later.
 */
export function distributionOf(release: string): Distribution {
  const values = new Map(
    Array.from(release.matchAll(/^(\w+)="?([^"\n]*)"?$/gm), ([, key, value]) => [key!, value!]),
  );
  const codename = values.get("VERSION_CODENAME");
  const version = Number(values.get("VERSION_ID") ?? NaN);
  if (values.get("ID") !== "debian" || codename === undefined || !(version >= BOOKWORM)) {
    const name = values.get("PRETTY_NAME") ?? "an unknown system";
    throw new NotProvided(
      `the packages of the guest are Debian's (12 or later), and this is ${name}`,
    );
  }
  return { codename, backports: version === BOOKWORM };
}

/**
 * Where this machine gets Debian's packages.
 *
 * @param targets What `apt-get indextargets` prints.
 * @param distribution The Debian of this machine.
 * @returns The archive of the distribution itself, and that of its security updates if it is used.
 * @throws {NotProvided} apt is set up for no archive of this distribution.
 */
export function archivesOf(targets: string, { codename }: Distribution): Archive[] {
  const archives = new Map<string, Archive>();
  for (const target of targets.split("\n\n")) {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(target)?.[1];
    const suite = field("Release");
    const uri = field("Repo-URI");
    if (field("Created-By") !== "Packages" || field("Component") !== "main") continue;
    if (uri === undefined || (suite !== codename && suite !== `${codename}-security`)) continue;
    if (!archives.has(suite)) archives.set(suite, { uri, suite });
  }
  if (!archives.has(codename)) {
    throw new NotProvided(`apt has no source of ${codename} main: see /etc/apt/sources.list.d`);
  }
  return [...archives.values()];
}

/**
 * A list of sources for apt, with the additional ones that the guest needs.
 *
 * @param archives Those of the machine.
 * @param distribution Its Debian.
 */
export function sourcesList(archives: readonly Archive[], distribution: Distribution): string {
  const { codename, backports } = distribution;
  const line = (kind: string, uri: string, suite: string) =>
    `${kind} [signed-by=${KEYRING}] ${uri} ${suite} main\n`;
  const own = archives.find(({ suite }) => suite === codename)!;
  return [
    ...archives.map(({ uri, suite }) => line("deb", uri, suite)),
    backports ? line("deb", own.uri, `${codename}-backports`) : "",
    line("deb-src", own.uri, codename),
  ].join("");
}

/**
 * A configuration for apt that reads the system's own and writes to a folder only.
 *
 * @param folder The folder.
 */
export function aptConfiguration(folder: string): string {
  return `Dir::State::lists "${folder}/lists";
Dir::Cache "${folder}";
Dir::Etc::sourcelist "${folder}/sources.list";
Dir::Etc::sourceparts "-";
Debug::NoLocking "true";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
`;
}

/**
 * The programs of the host, as apt's command line names them.
 *
 * @param distribution The Debian of the machine.
 */
export function programsOf({ codename, backports }: Distribution): string[] {
  // What they depend on has to come from there too.
  return [...(backports ? [`--target-release=${codename}-backports`] : []), ...PROGRAMS];
}

/**
 * What is to be downloaded.
 *
 * @param uris What `apt-get … --print-uris` prints.
 */
export function downloadsOf(uris: string): Download[] {
  return Array.from(
    uris.matchAll(/^'[^']+' (\S+) (\d+)/gm),
    ([, file, bytes]) => ({ file: decodeURIComponent(file!), bytes: Number(bytes) }),
  );
}

/**
 * The package of the kernel that another package names.
 *
 * @param dependencies What `apt-cache depends` prints of it.
 * @throws {GuestError} It names none.
 */
export function kernelOf(dependencies: string): string {
  const name = /^ *Depends: (linux-image-\S+)$/m.exec(dependencies)?.[1];
  if (name === undefined) throw new GuestError(`package ${KERNEL} depends on no kernel`);
  return name;
}
