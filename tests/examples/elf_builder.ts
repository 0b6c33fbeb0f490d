/** Files for the demo: ELF files made from the specification, not with the code under test. */
import { asSlice, bytes, struct, u16le, u32le, u64le } from "@vmm/guest-memory";

const Header = struct({
  ident: bytes(16),
  type: u16le,
  machine: u16le,
  version: u32le,
  entry: u64le,
  phoff: u64le,
  shoff: u64le,
  flags: u32le,
  ehsize: u16le,
  phentsize: u16le,
  phnum: u16le,
  shentsize: u16le,
  shnum: u16le,
  shstrndx: u16le,
});

const ProgramHeader = struct({
  type: u32le,
  flags: u32le,
  offset: u64le,
  vaddr: u64le,
  paddr: u64le,
  filesz: u64le,
  memsz: u64le,
  align: u64le,
});

/** A segment to make. What is not given follows from the data. */
export interface SegmentToMake {
  readonly data?: Uint8Array;
  readonly paddr: bigint;
  readonly vaddr?: bigint;
  readonly flags?: number;
  readonly type?: number;
  readonly memsz?: bigint;
  readonly filesz?: bigint;
  readonly offset?: bigint;
}

/** What to change in the file header. */
export interface HeaderChanges {
  readonly class?: number;
  readonly data?: number;
  readonly type?: number;
  readonly machine?: number;
  readonly entry?: bigint;
  readonly phoff?: bigint;
  readonly phentsize?: number;
  readonly phnum?: number;
}

/** The bytes of an ELF file with the given segments. */
export function makeElf(
  segments: readonly SegmentToMake[],
  changes: HeaderChanges = {},
): Uint8Array<ArrayBuffer> {
  const { class: elfClass = 2, data: encoding = 1, ...others } = changes;
  const ident = new Uint8Array(16);
  ident.set([0x7f, 0x45, 0x4c, 0x46, elfClass, encoding, 1]);
  const header = asSlice(Header, {
    ident,
    type: 2,
    machine: 62,
    version: 1,
    entry: segments[0]?.paddr ?? 0n,
    phoff: 64n,
    shoff: 0n,
    flags: 0,
    ehsize: 64,
    phentsize: 56,
    phnum: segments.length,
    shentsize: 0,
    shnum: 0,
    shstrndx: 0,
    ...others,
  });
  const parts = [header];
  let end = BigInt(header.length + 56 * segments.length);
  for (const { data = new Uint8Array(), paddr, flags = 5, type = 1, ...given } of segments) {
    const size = BigInt(data.length);
    const { offset = end, filesz = size, memsz = filesz, vaddr = paddr } = given;
    parts.push(
      asSlice(ProgramHeader, {
        type,
        flags,
        offset,
        vaddr,
        paddr,
        filesz,
        memsz,
        align: 1n,
      }),
    );
    end += size;
  }
  parts.push(...segments.map(({ data = new Uint8Array() }) => data));
  return concat(parts);
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  return all;
}

/** A file with the given content for as long as the test runs. */
export class TemporaryFile implements Disposable {
  /** Where it is. */
  readonly path: string = Deno.makeTempFileSync({ suffix: ".elf" });

  constructor(content: Uint8Array) {
    Deno.writeFileSync(this.path, content);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

/** Bytes without a pattern, the same ones for the same seed. */
export function noise(length: number, seed: number): Uint8Array {
  const random = randomNumbers(seed);
  return Uint8Array.from({ length }, () => random(256));
}

/** Numbers in [0, limit), the same ones for the same seed (mulberry32). */
export function randomNumbers(seed: number): (limit: number) => number {
  return (limit) => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return Math.floor(((t ^ t >>> 14) >>> 0) / 2 ** 32 * limit);
  };
}
