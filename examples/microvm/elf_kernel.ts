/**
 * Loads a kernel that is an ELF file: Linux's `vmlinux`, or any kernel that can begin as PVH does.
 *
 * Every number comes from the file, so none is trusted.
 *
 * @module
 */
import { array, bytes, fromSlice, GuestAddress, type GuestMemory, struct } from "@vmm/guest-memory";
import { u16le, u32be, u32le, u64le, u8, type ValueOf } from "@vmm/guest-memory";
import { hex, size as byteSize } from "../lib/units.ts";
import type { ImageFile } from "./image_file.ts";
import { MicrovmError } from "./microvm_error.ts";

// elf.h
const Header = struct({
  magic: u32be,
  class: u8,
  data: u8,
  identification: bytes(10),
  type: u16le,
  machine: u16le,
  version: u32le,
  entry: u64le,
  programHeaders: u64le,
  sectionHeaders: u64le,
  flags: u32le,
  size: u16le,
  programHeaderSize: u16le,
  programHeaderCount: u16le,
  sectionHeaderSize: u16le,
  sectionHeaderCount: u16le,
  sectionNames: u16le,
});
const ProgramHeader = struct({
  type: u32le,
  flags: u32le,
  offset: u64le,
  virtualAddress: u64le,
  physicalAddress: u64le,
  fileSize: u64le,
  memorySize: u64le,
  alignment: u64le,
});
const Note = struct({ nameSize: u32le, descriptionSize: u32le, type: u32le });

const MAGIC = 0x7f_45_4c_46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const MACHINE_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** `XEN_ELFNOTE_PHYS32_ENTRY` of Xen's elfnote.h: where a kernel begins in 32 bits, as PVH. */
const NOTE_PVH_ENTRY = 18;
const NOTE_NAME = "Xen\0";

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
  const header = readHeader(file);
  let [end, pvhEntry]: [number, number | undefined] = [0, undefined];
  for (const programHeader of readProgramHeaders(file, header)) {
    const { type, offset, fileSize } = programHeader;
    if (type !== PT_LOAD && type !== PT_NOTE) continue;
    if (offset + fileSize > BigInt(file.size)) throw refusal(file, "it is truncated");
    if (type === PT_LOAD) end = Math.max(end, loadSegment(file, memory, programHeader));
    else pvhEntry ??= pvhEntryOf(file.read(Number(offset), Number(fileSize)));
  }
  if (end === 0) throw refusal(file, "it has nothing to load");
  const entry = Number(header.entry);
  if (!Number.isSafeInteger(entry) || !memory.addressInRange(GuestAddress(entry))) {
    throw refusal(file, `its entry point ${hex(header.entry)} is in no memory`);
  }
  return { entry, pvhEntry, end };
}

function readHeader(file: ImageFile): ValueOf<typeof Header> {
  const header = file.readObj(Header, 0);
  if (header === undefined) throw refusal(file, "it is truncated");
  if (header.class !== CLASS_64 || header.data !== LITTLE_ENDIAN) {
    throw refusal(file, "it is an ELF file, but not a 64-bit little-endian one");
  }
  if (header.machine !== MACHINE_X86_64) throw refusal(file, "it is for another processor");
  return header;
}

function readProgramHeaders(
  file: ImageFile,
  { programHeaders, programHeaderCount, programHeaderSize }: ValueOf<typeof Header>,
): ValueOf<typeof ProgramHeader>[] {
  if (programHeaderSize !== ProgramHeader.byteLength) {
    throw refusal(file, `it has program headers of ${programHeaderSize} bytes`);
  }
  const table = file.readObj(array(ProgramHeader, programHeaderCount), Number(programHeaders));
  if (table === undefined) throw refusal(file, "it is truncated: it has no program headers");
  return table;
}

// Returns one past the last byte.
function loadSegment(
  file: ImageFile,
  memory: GuestMemory,
  { offset, fileSize, memorySize, physicalAddress }: ValueOf<typeof ProgramHeader>,
): number {
  // What a segment has beyond its bytes in the file stays zero, but the room has to be there.
  const size = memorySize > fileSize ? memorySize : fileSize;
  if (physicalAddress + size >= 2n ** 53n) {
    throw refusal(file, `it has ${byteSize(size)} for ${hex(physicalAddress)}`);
  }
  const start = GuestAddress(physicalAddress);
  file.demandRoom(memory, start, Number(size));
  file.load(memory, start, Number(offset), Number(fileSize));
  return start + Number(size);
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
