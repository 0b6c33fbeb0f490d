/**
 * Mappings straight from `ffi/`, without any of `src/`.
 *
 * @module
 */
import { libc } from "../../ffi/libc.ts";
import { bufferAt, mapMemory, pageSize, reserveMemory, unmapMemory } from "../../ffi/memory.ts";

/** Pages that are unmapped at the end of the scope. */
export interface MappedPages extends Disposable {
  /** The host address of the first byte. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  /** The bytes themselves. */
  readonly bytes: Uint8Array;
}

/** How pages are mapped. */
export interface MappedPagesOptions {
  /** The file; anonymous memory by default. */
  readonly fd?: number;
  /** Whether it is shared; a file is by default. */
  readonly shared?: boolean;
}

/** Maps pages to read and to write. */
export function mapPages(pages: number, options: MappedPagesOptions = {}): MappedPages {
  const { fd = -1, shared = fd >= 0 } = options;
  const { platform: { map } } = libc();
  const length = pages * pageSize();
  const flags = (shared ? map.shared : map.private) | map.noReserve | (fd < 0 ? map.anonymous : 0);
  const address = reserveMemory(length, pageSize());
  mapMemory({ address, length, prot: 3, flags, fd, offset: 0 });
  const buffer = bufferAt(address, length);
  return {
    address,
    length,
    bytes: new Uint8Array(buffer),
    [Symbol.dispose]() {
      buffer.transfer(0);
      unmapMemory(address, length);
    },
  };
}
