/**
 * The parts of a 64-bit ELF file that a boot loader needs: which bytes go where.
 *
 * Every number comes from the file, so none is trusted. Addresses and sizes in memory stay the
 * 64-bit integers that they are; what is in the file is checked against the file's size.
 *
 * @module
 */
import { array, bytes, type ByteValued, fromSlice, struct } from "@vmm/guest-memory";
import { u16le, u32be, u32le, u64le, u8, type ValueOf } from "@vmm/guest-memory";
import { ExpectedError } from "./expected_error.ts";
import type { ByteSource } from "./regular_file.ts";
import { hex, size } from "./units.ts";

/** The file is not one that can be loaded. The message says why, without the name of the file. */
export class ElfError extends ExpectedError {
  /** The name of the class. */
  override readonly name: string = "ElfError";
}

/** A part of the file. */
export interface FilePart {
  /** Where its bytes begin in the file. */
  readonly offset: number;
  /** Bytes it has in the file. */
  readonly fileSize: number;
}

/** What a `PT_LOAD` program header asks for. */
export interface Segment extends FilePart {
  /** Its place among all program headers, as `readelf -l` counts. */
  readonly index: number;
  /** The physical address it wants, any 64-bit integer. */
  readonly physicalAddress: bigint;
  /** The address its code believes to be at. */
  readonly virtualAddress: bigint;
  /** Bytes in memory, at least `fileSize`; the rest is zero. */
  readonly memorySize: bigint;
  /** What the guest may do with it, such as `r-x`. */
  readonly access: string;
}

/** What is known of a file after its headers. */
export interface Elf {
  /** The processor, such as `x86-64`. */
  readonly machine: string;
  /** The kind of file, such as `executable`. */
  readonly type: string;
  /** The virtual address where execution begins. */
  readonly entry: bigint;
  /** The segments that take memory, in the file's order. */
  readonly segments: readonly Segment[];
  /** Where its notes are: the `PT_NOTE` program headers. */
  readonly notes: readonly FilePart[];
}

const FileHeader = struct({
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

const MAGIC = 0x7f_45_4c_46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const PT_LOAD = 1;
const PT_NOTE = 4;
const COUNT_ELSEWHERE = 0xffff;
const MACHINES: Record<number, string> = { 3: "x86", 62: "x86-64", 183: "AArch64", 243: "RISC-V" };
const TYPES: Record<number, string> = {
  1: "relocatable object",
  2: "executable",
  3: "position-independent",
  4: "core dump",
};

/**
 * Reads the headers of a file.
 *
 * @param source The file.
 * @returns What to load.
 * @throws {ElfError} It is not a little-endian ELF64 file with something to load, or contradicts
 * itself.
 */
export function parseElf(source: ByteSource): Elf {
  const header = readFileHeader(source);
  const type = TYPES[header.type] ?? `file of type ${header.type}`;
  const programHeaders = readProgramHeaders(source, header)
    .map((programHeader, index) => ({ ...programHeader, index }));
  const segments = programHeaders
    .filter(({ type, memorySize, fileSize }) => type === PT_LOAD && memorySize + fileSize > 0n)
    .map((programHeader) => toSegment(programHeader, source.size));
  if (segments.length === 0) {
    throw new ElfError(
      `the file has nothing to load: it is of type "${type}", without a PT_LOAD program header of any size`,
    );
  }
  return {
    machine: MACHINES[header.machine] ?? `machine ${header.machine}`,
    type,
    entry: header.entry,
    segments,
    notes: programHeaders
      .filter(({ type }) => type === PT_NOTE)
      .map((programHeader) => toFilePart(programHeader, source.size)),
  };
}

function readFileHeader(source: ByteSource): ValueOf<typeof FileHeader> {
  const start = source.readAt(0, FileHeader.byteLength);
  if (fromSlice(u32be, start.subarray(0, 4)) !== MAGIC) {
    const found = start.length === 0 ? "it is empty" : "it does not begin with 7f 45 4c 46";
    throw new ElfError(`not an ELF file: ${found}`);
  }
  const header = decode(FileHeader, start, "its header");
  if (header.class !== CLASS_64) {
    const found = header.class === 1 ? "a 32-bit ELF file" : `an ELF file of class ${header.class}`;
    throw new ElfError(`${found}: only 64-bit ones can be loaded`);
  }
  if (header.data !== LITTLE_ENDIAN) {
    const found = header.data === 2 ? "big-endian" : `of data encoding ${header.data}`;
    throw new ElfError(`an ELF file that is ${found}: only little-endian ones can be loaded`);
  }
  return header;
}

function readProgramHeaders(
  source: ByteSource,
  header: ValueOf<typeof FileHeader>,
): ValueOf<typeof ProgramHeader>[] {
  const { programHeaders: offset, programHeaderCount: count, programHeaderSize } = header;
  if (count === 0) return [];
  if (programHeaderSize !== ProgramHeader.byteLength) {
    throw new ElfError(`broken ELF file: its program headers have ${programHeaderSize} bytes`);
  }
  if (count === COUNT_ELSEWHERE) {
    throw new ElfError("an ELF file with 65,535 or more program headers: too many to load");
  }
  const table = array(ProgramHeader, count);
  const end = offset + BigInt(table.byteLength);
  const found = end <= BigInt(source.size)
    ? source.readAt(Number(offset), table.byteLength)
    : new Uint8Array();
  return decode(table, found, `the table of ${count} program headers at ${hex(offset)}`);
}

type IndexedHeader = ValueOf<typeof ProgramHeader> & { readonly index: number };

function toSegment(header: IndexedHeader, sourceSize: number): Segment {
  const { index, fileSize, memorySize, physicalAddress, virtualAddress, flags } = header;
  const part = toFilePart(header, sourceSize);
  if (fileSize > memorySize) {
    throw new ElfError(
      `broken ELF file: segment ${index} has ${size(fileSize)} in the file ` +
        `and only ${size(memorySize)} in memory`,
    );
  }
  return {
    ...part,
    index,
    physicalAddress,
    virtualAddress,
    memorySize,
    access: `${flags & 4 ? "r" : "-"}${flags & 2 ? "w" : "-"}${flags & 1 ? "x" : "-"}`,
  };
}

function toFilePart({ index, offset, fileSize }: IndexedHeader, sourceSize: number): FilePart {
  // Where nothing is in the file, the offset says nothing.
  if (fileSize > 0n && offset + fileSize > BigInt(sourceSize)) {
    throw new ElfError(
      `truncated ELF file: segment ${index} has ${size(fileSize)} at offset ${hex(offset)}, ` +
        `the file ends at ${hex(sourceSize)}`,
    );
  }
  return { offset: Number(offset), fileSize: Number(fileSize) };
}

function decode<T>(codec: ByteValued<T>, raw: Uint8Array, what: string): T {
  const value = fromSlice(codec, raw);
  if (value === undefined) throw new ElfError(`truncated ELF file: it ends before ${what} does`);
  return value;
}
