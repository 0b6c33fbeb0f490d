/**
 * A mapping in the host, and the references to it.
 *
 * @module
 */
import { unmapMemory } from "../../../ffi/memory.ts";

/** Where a mapping is in the host, and how many threads have a reference to it. */
export interface Mapping {
  /** The host address of byte 0. */
  readonly address: number;
  /** Bytes. */
  readonly length: number;
  /** Whether the last reference unmaps it. */
  readonly owned: boolean;
  /** The number of references: of threads, and of handles on their way to one. Absent, it is 1. */
  holders?: Int32Array<SharedArrayBuffer> | undefined;
}

/** Ends a reference to a mapping; the last one unmaps it. No view may point at it any more. */
export function unreference({ address, length, owned, holders }: Mapping): void {
  const last = holders === undefined || Atomics.sub(holders, 0, 1) === 1;
  if (owned && last) unmapMemory(address, length);
}

/**
 * Mappings to unmap when they are unreachable. The key is the buffer: as long as any view of it is
 * reachable, so is the buffer, so no live view points at memory that was unmapped here (rule 3).
 */
export const leaked: FinalizationRegistry<Mapping> = new FinalizationRegistry(unreference);
