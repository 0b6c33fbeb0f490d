/**
 * Mappings of this library, made of memory that was just mapped.
 *
 * @module
 */
import { libc } from "../../ffi/libc.ts";
import { mapMemory, pageSize, reserveMemory } from "../../ffi/memory.ts";
import { Permissions } from "../../mod.ts";
import { Descriptor } from "../../src/backend/mmap/descriptor.ts";
import { Mapping, type MappingShape, protBits } from "../../src/backend/mmap/mapping.ts";

/** How memory is mapped. */
export interface MakeMappingOptions {
  /** Bytes. */
  readonly length?: number;
  /** Its protection. */
  readonly protection?: Permissions;
  /** A descriptor of the file that it maps. */
  readonly fd?: number;
  /** What else is known of it. */
  readonly shape?: Partial<MappingShape>;
}

/** Maps memory, and takes it over. */
export function makeMapping(options: MakeMappingOptions = {}): Mapping {
  const { length = 0x2000, protection = Permissions.ReadWrite, fd } = options;
  const { platform: { map } } = libc();
  const address = reserveMemory(length, pageSize());
  const flags = (fd === undefined ? map.private | map.anonymous : map.shared) | map.noReserve;
  mapMemory({ address, length, prot: protBits(protection), flags, fd: fd ?? -1, offset: 0 });
  const pages = {
    transparentHugePages: undefined,
    mergeable: false,
    dontDump: false,
    dontFork: false,
    lock: false,
    numa: undefined,
  };
  const shape: MappingShape = {
    ...{ address, length, guard: 0, kind: fd === undefined ? "anonymous" : "file" },
    ...{ shared: fd !== undefined, pageSize: pageSize(), options: pages, flags, fileStart: 0 },
    ...options.shape,
  };
  return Mapping.of(shape, protection, fd === undefined ? undefined : Descriptor.of(fd));
}
