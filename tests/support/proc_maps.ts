/**
 * What the kernel says of this process's mappings.
 *
 * Only the tests of `tests/backend/mmap` and `tests/ffi`, which run one by one, may ask by address: other
 * threads map memory where a test has just unmapped its own. All others ask by the path of their file.
 *
 * @module
 */

/** A line of `/proc/self/maps`. Neighbours of one kind may share a line. */
export interface Mapping {
  /** Host address of the first byte. */
  readonly start: number;
  /** Host address after the last byte. */
  readonly end: number;
  /** As the kernel writes them: `rw-p`, `r--s` … */
  readonly permissions: string;
  /** Offset in the file, in bytes. */
  readonly offset: number;
  /** The file's inode; every shared anonymous mapping has a different one, private ones have 0. */
  readonly inode: number;
  /** The file's path, or what the kernel calls the mapping; empty for private anonymous memory. */
  readonly path: string;
}

/** All mappings of this process by rising address. */
export function mappings(): Mapping[] {
  return Deno.readTextFileSync("/proc/self/maps").trimEnd().split("\n").map(parse);
}

/** The mapping that contains a host address. */
export function mappingAt(address: bigint): Mapping | undefined {
  const at = Number(address);
  return mappings().find(({ start, end }) => start <= at && at < end);
}

/** The mappings of a file. */
export function mappingsOf(path: string): Mapping[] {
  return mappings().filter((mapping) => mapping.path === path);
}

/** Mappings of shared anonymous memory of one size, which never share a line. */
export function sharedMappingsOfSize(size: number): Mapping[] {
  return mappingsOf("/dev/zero (deleted)").filter(({ start, end }) => end - start === size);
}

/** What `/proc/self/smaps` says of the mapping that contains a host address. */
export interface MappingDetails {
  /** Two-letter flags: `hg` advised huge pages, `nr` no swap reserved … */
  readonly vmFlags: readonly string[];
  /** Bytes that are in memory now. */
  readonly resident: number;
}

/** Details of the mapping that contains a host address. */
export function detailsAt(address: bigint): MappingDetails {
  const [details] = detailsIn(Number(address), 1);
  if (details === undefined) throw new Error(`Nothing is mapped at 0x${address.toString(16)}`);
  return details;
}

/** Bytes in memory of the mappings that make up a host range. */
export function residentIn(address: bigint, length: number): number {
  return detailsIn(Number(address), length).reduce((sum, { resident }) => sum + resident, 0);
}

function detailsIn(address: number, length: number): MappingDetails[] {
  const blocks = Deno.readTextFileSync("/proc/self/smaps").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  return blocks.filter((block) => {
    const { start, end } = parse(block);
    return start < address + length && address < end;
  }).map((block) => ({
    vmFlags: /^VmFlags:(.*)$/m.exec(block)?.[1]?.trim().split(" ") ?? [],
    resident: Number(/^Rss: +(\d+) kB$/m.exec(block)?.[1] ?? NaN) * 1024,
  }));
}

function parse(line: string): Mapping {
  const match = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ (\d+) *(.*)$/m.exec(line);
  if (match === null) throw new Error(`Cannot parse a line of maps: ${line}`);
  const [, start, end, permissions, offset, inode, path] = match;
  return {
    start: parseInt(start!, 16),
    end: parseInt(end!, 16),
    permissions: permissions!,
    offset: parseInt(offset!, 16),
    inode: Number(inode),
    path: path!,
  };
}
