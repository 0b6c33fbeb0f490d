/**
 * The guest's first and only file system, in its memory.
 *
 * @module
 */
import { basename } from "node:path";
import { run } from "./commands.ts";
import { cpio, type CpioEntry, foldersOf } from "./cpio.ts";
import { GuestError } from "./guest_error.ts";
import type { Provisions } from "./provisions.ts";

/**
 * Drivers in the order in which they are loaded: each after those that it needs. One that the
 * kernel was built with has no file.
 */
const MODULES = [
  "virtio_ring",
  "virtio",
  "virtio_pci_legacy_dev",
  "virtio_pci_modern_dev",
  "virtio_pci",
  "virtio_blk",
  "crc16",
  "crc32c_generic",
  "libcrc32c",
  "mbcache",
  "jbd2",
  "ext4",
];

const SHELL_SETTINGS = `PS1='guest:\\w# '
alias poweroff='poweroff -f' reboot='reboot -f' halt='poweroff -f'
`;

const WELCOME = `
This is Linux in QEMU, and its disk is /dev/vda. "poweroff" or Ctrl-C ends it.

`;

/**
 * Writes the file system.
 *
 * @param provisions What it is made of.
 * @param tools Other programs for it, by name.
 * @returns A cpio archive.
 * @throws {GuestError} Something that it needs is missing.
 */
export async function initramfs(
  provisions: Provisions,
  tools: Readonly<Record<string, string>>,
): Promise<Uint8Array<ArrayBuffer>> {
  const files = new Map<string, Uint8Array>([
    ["init", await Deno.readFile(new URL("./init.sh", import.meta.url))],
    ["bin/busybox", await Deno.readFile(provisions.busybox)],
    ["sbin/mke2fs", await Deno.readFile(provisions.mke2fs)],
    ["etc/shrc", encode(SHELL_SETTINGS)],
    ["etc/motd", encode(WELCOME)],
  ]);
  const libraries = await run("ldd", [provisions.mke2fs], { env: provisions.env });
  for (const path of librariesOf(libraries)) {
    // The linker has to be where the program says; the others where it looks.
    const place = /\/ld-linux/.test(path) ? `lib64/${basename(path)}` : `lib/${basename(path)}`;
    files.set(place, await Deno.readFile(path));
  }
  const paths = modulesOf(await filesBelow(provisions.modules));
  for (const path of paths) {
    files.set(`modules/${moduleOf(path)}`, await moduleFile(path, provisions.busybox));
  }
  files.set("modules/order", encode(paths.map((path) => `${moduleOf(path)}\n`).join("")));
  for (const [name, path] of Object.entries(tools)) {
    files.set(`bin/${name}`, await Deno.readFile(path));
  }
  return cpio(entriesOf(files));
}

/**
 * The libraries of a program.
 *
 * @param text What `ldd` prints of it.
 * @returns Their paths, with the one of the dynamic linker.
 * @throws {GuestError} One is missing.
 */
export function librariesOf(text: string): string[] {
  const missing = /(\S+) => not found/.exec(text)?.[1];
  if (missing !== undefined) {
    throw new GuestError(`library ${missing} is missing: remove target/guest, and start again`);
  }
  return Array.from(text.matchAll(/(\/\S+) \(0x[0-9a-f]+\)$/gm), ([, path]) => path!);
}

/**
 * The files of the drivers that the guest needs.
 *
 * @param files Paths of all drivers.
 * @returns Some of these, in the order in which they are loaded.
 */
export function modulesOf(files: readonly string[]): string[] {
  const byName = new Map(files.map((path) => [moduleOf(path), path]));
  return MODULES.flatMap((name) => byName.get(`${name}.ko`) ?? []);
}

function moduleOf(path: string): string {
  return basename(path).replace(/\.xz$/, "").replaceAll("-", "_");
}

async function moduleFile(path: string, busybox: string): Promise<Uint8Array> {
  if (!path.endsWith(".xz")) return await Deno.readFile(path);
  const { success, stdout } = await new Deno.Command(busybox, { args: ["xz", "-dc", path] })
    .output();
  if (!success) throw new GuestError(`cannot unpack ${path}`);
  return stdout;
}

function entriesOf(files: ReadonlyMap<string, Uint8Array>): CpioEntry[] {
  return [
    ...foldersOf([...files.keys(), "dev/", "proc/", "sys/", "tmp/", "mnt/"]),
    // The kernel opens it for the first program.
    { path: "dev/console", kind: "character device", major: 5, minor: 1 },
    { path: "bin/sh", kind: "link", target: "busybox" },
    ...Array.from(files, ([path, data]): CpioEntry => ({
      path,
      kind: "file",
      data,
      executable: /^(init$|bin\/|sbin\/|lib64\/)/.test(path),
    })),
  ];
}

async function filesBelow(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) paths.push(...await filesBelow(`${folder}/${name}`));
    else paths.push(`${folder}/${name}`);
  }
  return paths;
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
