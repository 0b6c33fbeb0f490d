/**
 * What `/proc` says of a process: its command line, and the files that it maps.
 *
 * @module
 */
import { IntrospectError } from "./introspect_error.ts";

/** A part of a process's address space that is a file's, shared and writable. */
export interface SharedMapping {
  /** Bytes. */
  readonly len: number;
  /** Where in the file it begins. */
  readonly fileOffset: number;
  /** Device, as `/proc/PID/maps` has it: two numbers in hexadecimal. */
  readonly device: string;
  /** Inode. */
  readonly inode: number;
  /** The file's name, as the kernel shows it. */
  readonly name: string;
}

/**
 * The process to attach to.
 *
 * @param pid The one that is asked for; `undefined` for the only running QEMU.
 * @throws {IntrospectError} There is none, or there are several.
 */
export function processOf(pid: number | undefined): number {
  if (pid !== undefined) {
    if (isRunning(pid)) return pid;
    throw new IntrospectError(`there is no process ${pid}`);
  }
  const found = runningGuests();
  if (found.length === 1) return found[0]!;
  throw new IntrospectError(
    found.length === 0
      ? "no qemu-system process is running here: start one, or name a process by --pid"
      : `several guests are running (${found.join(", ")}): choose one by --pid`,
  );
}

/** Whether a process is there still, and is more than an exit status. */
export function isRunning(pid: number): boolean {
  try {
    // State Z is a zombie: the state follows the name, which may itself have brackets.
    return !/^\S+ \(.*\) [ZX]/s.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || (error as { code?: string }).code === "ESRCH") {
      return false;
    }
    throw error;
  }
}

/** The words that a process was started with. */
export function commandLine(pid: number): string[] {
  return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0").slice(0, -1);
}

/** The name of a process, of at most 15 bytes. */
export function nameOf(pid: number): string {
  return Deno.readTextFileSync(`/proc/${pid}/comm`).trimEnd();
}

/** The shared, writable mappings of files, the largest first. */
export function sharedMappings(pid: number): SharedMapping[] {
  return parseMaps(Deno.readTextFileSync(`/proc/${pid}/maps`)).sort((a, b) => b.len - a.len);
}

/**
 * The shared, writable mappings of files in the text of `/proc/PID/maps`. Parts of one file that
 * follow each other in the file are one: protection of a part splits it.
 *
 * @param text The text.
 */
export function parseMaps(text: string): SharedMapping[] {
  const mappings: SharedMapping[] = [];
  for (const line of text.split("\n")) {
    const fields = LINE.exec(line);
    if (fields === null) continue;
    const [, from, to, offset, device, inode, name] = fields as unknown as string[];
    const len = parseInt(to!, 16) - parseInt(from!, 16);
    const mapping = {
      len,
      fileOffset: parseInt(offset!, 16),
      device: device!,
      inode: Number(inode),
      name: name!,
    };
    const last = mappings.at(-1);
    const continues = last !== undefined && last.device === mapping.device &&
      last.inode === mapping.inode && last.fileOffset + last.len === mapping.fileOffset;
    if (continues) mappings[mappings.length - 1] = { ...last, len: last.len + len };
    else mappings.push(mapping);
  }
  return mappings;
}

/**
 * Opens the file of a mapping, to read only.
 *
 * @param pid The process.
 * @param mapping The mapping.
 * @throws {IntrospectError} The process has no descriptor of it any more, and it has no name.
 */
export function openFileOf(pid: number, mapping: SharedMapping): Deno.FsFile {
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    const path = `/proc/${pid}/fd/${name}`;
    // The number may be reused meanwhile: what was opened is looked at, too.
    if (linkOf(path) !== mapping.name) continue;
    const file = Deno.openSync(path);
    if (file.statSync().ino === mapping.inode) return file;
    file.close();
  }
  throw new IntrospectError(`process ${pid} has no descriptor of ${mapping.name} open any more`);
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch (error) {
    // It was closed between listing and looking.
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

const LINE = /^([0-9a-f]+)-([0-9a-f]+) rw.s ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) +(\/.*)$/;

function runningGuests(): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (/(^|\/)qemu-system-[^/]*$/.test(commandLine(Number(name))[0] ?? "")) {
        found.push(Number(name));
      }
    } catch {
      // It has ended since, or is of another user.
    }
  }
  return found;
}
