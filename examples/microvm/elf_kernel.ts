/**
 * Loads a kernel that is an ELF file: Linux's `vmlinux`, or any kernel that can begin as PVH does.
 * Every other ELF file is refused: as a kernel, a program would run until it waits for an interrupt
 * that never comes.
 *
 * @module
 */
import { fromSlice, GuestAddress, type GuestMemory, struct, u32be, u32le } from "@vmm/guest-memory";
import { type Elf, ElfError, parseElf, type Segment } from "../lib/elf.ts";
import { hex, size as byteSize } from "../lib/units.ts";
import type { ImageFile } from "./image_file.ts";
import { MicrovmError } from "./microvm_error.ts";

// elf.h
const MAGIC = 0x7f_45_4c_46;
const Note = struct({ nameSize: u32le, descriptionSize: u32le, type: u32le });
/** `XEN_ELFNOTE_PHYS32_ENTRY` of Xen's elfnote.h: where a kernel begins in 32 bits, as PVH. */
const NOTE_PVH_ENTRY = 18;
const NOTE_NAME = "Xen\0";
/** The half of the address space that Linux on x86-64 keeps for itself. */
const KERNEL_HALF = 2n ** 63n;

/** A kernel in memory. */
export interface LoadedElf {
  /** The physical address of its 64-bit entry. */
  readonly entry: number;
  /** The physical address of its 32-bit entry, where it says that it has one. */
  readonly pvhEntry: number | undefined;
  /** One past its last byte in memory. */
  readonly end: number;
}

/** Whether a file begins as an ELF file does. */
export function isElf(file: ImageFile): boolean {
  return file.readObj(u32be, 0) === MAGIC;
}

/**
 * Loads each segment to its physical address.
 *
 * @param file The file, which is ELF.
 * @param memory The memory, all zero where the kernel goes.
 * @throws {MicrovmError} It is no kernel for this machine, or does not fit in its memory.
 */
export function loadElf(file: ImageFile, memory: GuestMemory): LoadedElf {
  const elf = parse(file);
  const pvhEntry = elf.notes
    .map(({ offset, fileSize }) => pvhEntryOf(file.readAt(offset, fileSize)))
    .find((entry) => entry !== undefined);
  const problem = problemOf(elf, pvhEntry);
  if (problem !== undefined) throw refusal(file, problem);
  const ends = elf.segments.map((segment) => loadSegment(file, memory, segment));
  return { entry: Number(elf.entry), pvhEntry, end: Math.max(...ends) };
}

function parse(file: ImageFile): Elf {
  try {
    return parseElf(file);
  } catch (error) {
    if (!(error instanceof ElfError)) throw error;
    throw refusal(file, error.message);
  }
}

// Why it is no kernel that can be booted. An executable for Linux differs from a kernel that is linked to
// its physical addresses in nothing but where it believes to be; so such a kernel needs a PVH note.
function problemOf(
  { machine, type, entry, segments }: Elf,
  pvhEntry: number | undefined,
): string | undefined {
  if (machine !== "x86-64") return `it is for ${machine}, another processor than x86-64`;
  if (type !== "executable") {
    return `it is no kernel: the type of the file is "${type}", not "executable"`;
  }
  const isLinux = segments.some(({ virtualAddress }) => virtualAddress >= KERNEL_HALF);
  if (!isLinux && pvhEntry === undefined) {
    return "it is no kernel, but a program that runs on one: it is not linked for the kernel's " +
      "half of the addresses, and has no PVH entry";
  }
  const hasEntry = segments.some(({ physicalAddress: start, memorySize }) =>
    entry >= start && entry < start + memorySize
  );
  return hasEntry ? undefined : `its entry point ${hex(entry)} is in none of its segments`;
}

// Returns one past the last byte.
function loadSegment(
  file: ImageFile,
  memory: GuestMemory,
  { offset, fileSize, memorySize, physicalAddress }: Segment,
): number {
  if (physicalAddress + memorySize >= 2n ** 53n) {
    throw refusal(file, `it has ${byteSize(memorySize)} for ${hex(physicalAddress)}`);
  }
  const [start, size] = [GuestAddress(physicalAddress), Number(memorySize)];
  // What a segment has beyond its bytes in the file stays zero, but the room has to be there.
  file.demandRoom(memory, start, size);
  file.load(memory, start, offset, fileSize);
  return start + size;
}

// A note is its header, its name and its description, each padded to 4 bytes.
function pvhEntryOf(notes: Uint8Array): number | undefined {
  let at = 0;
  while (at + Note.byteLength <= notes.length) {
    const note = fromSlice(Note, notes.subarray(at, at + Note.byteLength))!;
    const nameAt = at + Note.byteLength;
    const descriptionAt = nameAt + padded(note.nameSize);
    const name = notes.subarray(nameAt, nameAt + note.nameSize);
    // The description is the address in 32 bits or, as Linux has it, in 64.
    const entry = fromSlice(u32le, notes.subarray(descriptionAt, descriptionAt + 4));
    if (note.type === NOTE_PVH_ENTRY && new TextDecoder().decode(name) === NOTE_NAME) return entry;
    at = descriptionAt + padded(note.descriptionSize);
  }
  return undefined;
}

function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}

function refusal(file: ImageFile, reason: string): MicrovmError {
  return new MicrovmError(`cannot boot ${file.name}: ${reason}`);
}
