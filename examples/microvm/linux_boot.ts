/**
 * Makes a machine ready to boot a kernel: the kernel, its initial RAM disk and its command line in
 * memory, the description of the machine, and the virtual CPU at the entry.
 *
 * @module
 */
import { GuestAddress, type GuestMemory } from "@vmm/guest-memory";
import { hex } from "../lib/units.ts";
import { loadBzImage, readSetupHeader } from "./bzimage.ts";
import { enterLongMode, enterProtectedMode } from "./cpu_modes.ts";
import { isElf, loadElf } from "./elf_kernel.ts";
import { ImageFile } from "./image_file.ts";
import { COMMAND_LINE, COMMAND_LINE_SIZE, PVH_INFO, ZERO_PAGE } from "./layout.ts";
import { MicrovmError } from "./microvm_error.ts";
import { writeStartInfo } from "./pvh.ts";
import type { SetupHeader } from "./setup_header.ts";
import { type Ramdisk, writeZeroPage } from "./zero_page.ts";

const PAGE = 4096;
/** The last address of an initial RAM disk, where the kernel says nothing: below 2 GiB. */
const RAMDISK_LAST = 0x7fff_ffff;

/** What to boot. */
export interface BootOptions {
  /** The path of the kernel: an ELF file (`vmlinux`) or a bzImage (`vmlinuz`). */
  readonly kernel: string;
  /** The path of the initial RAM disk. */
  readonly initrd?: string | undefined;
  /** The kernel's command line. */
  readonly cmdline: string;
  /** Whether to begin in 32 bits as PVH does, which an ELF file has to offer. */
  readonly pvh?: boolean;
}

/** What was loaded, in a few words. */
export interface Booted {
  /** Such as `ELF, 64-bit entry at 0x1000000`. */
  readonly description: string;
}

interface LoadedKernel {
  readonly kind: "ELF" | "bzImage";
  readonly entry: number;
  readonly end: number;
  readonly pvhEntry?: number | undefined;
  readonly header?: SetupHeader;
}

/**
 * Loads what to boot, and sets up the virtual CPU.
 *
 * @param vcpuFd The virtual CPU.
 * @param memory The memory, all zero.
 * @param options What to boot.
 * @throws {MicrovmError} It cannot be booted: the message says why.
 */
export function prepareBoot(vcpuFd: number, memory: GuestMemory, options: BootOptions): Booted {
  using file = new ImageFile(options.kernel);
  const kernel = loadKernel(file, memory);
  const ramdisk = options.initrd === undefined
    ? undefined
    : loadRamdisk(options.initrd, memory, kernel);
  writeCommandLine(memory, options.cmdline, kernel.header);
  const { kind, entry, pvhEntry, header } = kernel;
  if (options.pvh !== true) {
    writeZeroPage(memory, header, ramdisk);
    enterLongMode(vcpuFd, memory, { entry, registers: { rsi: BigInt(ZERO_PAGE) } });
    return { description: `${kind}, 64-bit entry at ${hex(entry)}` };
  }
  if (pvhEntry === undefined) {
    throw new MicrovmError(`cannot boot ${file.name} as PVH: it has no PVH entry`);
  }
  writeStartInfo(memory, ramdisk);
  enterProtectedMode(vcpuFd, memory, { entry: pvhEntry, registers: { rbx: BigInt(PVH_INFO) } });
  return { description: `${kind}, PVH entry at ${hex(pvhEntry)}` };
}

function loadKernel(file: ImageFile, memory: GuestMemory): LoadedKernel {
  if (isElf(file)) return { kind: "ELF", ...loadElf(file, memory) };
  const header = readSetupHeader(file);
  if (header !== undefined) return { kind: "bzImage", ...loadBzImage(file, header, memory) };
  throw new MicrovmError(
    `cannot boot ${file.name}: it is not a kernel, neither an ELF file nor a bzImage`,
  );
}

// As high as the kernel takes it, in the memory below the hole.
function loadRamdisk(
  path: string,
  memory: GuestMemory,
  { end, header }: LoadedKernel,
): Ramdisk {
  using file = new ImageFile(path);
  const low = memory.findRegion(GuestAddress(0))!;
  const limit = Math.min(low.len, (header?.ramdiskLast ?? RAMDISK_LAST) + 1);
  const start = Math.floor((limit - file.size) / PAGE) * PAGE;
  if (start < end) {
    throw new MicrovmError(
      `cannot load ${file.name}: ${file.size} bytes do not fit between the kernel, which ends at ` +
        `${hex(end)}, and ${hex(limit)} (see --memory)`,
    );
  }
  file.load(memory, GuestAddress(start), 0, file.size);
  return { start, size: file.size };
}

function writeCommandLine(memory: GuestMemory, cmdline: string, header?: SetupHeader): void {
  const text = new TextEncoder().encode(`${cmdline}\0`);
  const longest = Math.min(COMMAND_LINE_SIZE, (header?.commandLineSize || COMMAND_LINE_SIZE) + 1);
  if (text.length > longest) {
    throw new MicrovmError(
      `cannot boot with a command line of ${text.length - 1} bytes: at most ${longest - 1} fit`,
    );
  }
  memory.writeSlice(text, COMMAND_LINE);
}
