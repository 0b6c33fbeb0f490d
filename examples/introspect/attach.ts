/**
 * A running guest's memory, mapped here too.
 *
 * @module
 */
import {
  Backing,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  type MmapRange,
  pageSize,
  Permissions,
} from "@vmm/guest-memory";
import { size as sizeText } from "../lib/units.ts";
import { IntrospectError } from "./introspect_error.ts";
import { layoutOf, machineOf, type Placed, ramNamesOf, ramSizeOf } from "./layout.ts";
import {
  commandLine,
  nameOf,
  openFileOf,
  processOf,
  type SharedMapping,
  sharedMappings,
} from "./processes.ts";
import { askLayout } from "./qmp.ts";

/** A guest that was attached to. */
export interface Guest extends Disposable {
  readonly pid: number;
  /** The name of its process. */
  readonly name: string;
  /** The type of machine, by which its RAM was placed; `null` where QEMU was asked. */
  readonly machine: string | null;
  /** The file that is its RAM. */
  readonly file: string;
  /** Which parts of the file are where. */
  readonly parts: readonly Placed[];
  /** Its memory, to read only. */
  readonly memory: GuestMemoryMmap;
}

// Smaller shared files of a QEMU are queues, screens and the like.
const LEAST_RAM = 2 ** 20;

/**
 * Maps the memory of a guest, to read only. The guest does not notice.
 *
 * @param options Which process (the only QEMU by default), and a monitor to ask for the layout.
 * @throws {IntrospectError} There is none, or its memory is not shared.
 */
export async function attach(options: {
  readonly pid: number | undefined;
  readonly qmp: string | undefined;
}): Promise<Guest> {
  const pid = processOf(options.pid);
  const words = commandLine(pid);
  const ram = ramOf(pid, ramSizeOf(words));
  const machine = options.qmp === undefined ? machineOf(words) : null;
  const parts = machine === null
    ? await askLayout(options.qmp!, ramNamesOf(words))
    : layoutOf(machine, ram.len);
  return {
    pid,
    name: nameOf(pid),
    machine,
    file: ram.name,
    parts,
    ...mapped(pid, ram, parts),
  };
}

function mapped(
  pid: number,
  ram: SharedMapping,
  parts: readonly Placed[],
): { memory: GuestMemoryMmap } & Disposable {
  using file = openFileOf(pid, ram);
  const page = pageSize();
  const ranges = parts.map(({ startAddr, len, offset }): MmapRange => {
    if (offset + len > ram.len || len % page !== 0) {
      throw new IntrospectError(
        `the guest has ${sizeText(len)} at offset ${offset} of its RAM, of which ${
          sizeText(ram.len)
        } are shared in one file: guests with several memory backends cannot be shown`,
      );
    }
    const place = new FileOffset(file, ram.fileOffset + offset);
    return [GuestAddress(startAddr), len, { backing: Backing.file(place) }];
  });
  // Nothing here could write to the guest, not even by mistake.
  const memory = GuestMemoryMmap.fromRanges(ranges, { protection: Permissions.Read });
  return { memory, [Symbol.dispose]: () => memory.close() };
}

// Memory that was plugged in may be larger than the RAM: where its size is known, it decides.
function ramOf(pid: number, size: number | undefined): SharedMapping {
  const shared = sharedMappings(pid).filter(({ len }) => len >= LEAST_RAM);
  if (shared.length === 0) throw notShared(pid);
  const ram = size === undefined ? shared[0] : shared.find(({ len }) => len === size);
  if (ram !== undefined) return ram;
  throw new IntrospectError(
    `process ${pid} shares ${shared.map(({ len }) => sizeText(len)).join(", ")}, but its RAM of ${
      sizeText(size!)
    } is not one of these: guests with several memory backends cannot be shown`,
  );
}

function notShared(pid: number): IntrospectError {
  return new IntrospectError(
    `process ${pid} shares no memory: start QEMU with -machine q35,memory-backend=mem ` +
      `-object memory-backend-memfd,id=mem,size=512M,share=on`,
  );
}
