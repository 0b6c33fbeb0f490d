/**
 * Copies out of memory and into it.
 *
 * @module
 */
import type { Access } from "./access.ts";
import { consume } from "./sink.ts";
import { MASK } from "./workload.ts";

/** What is copied. */
export interface Copies {
  readonly name: string;
  /** The program's side, whose length is copied. */
  readonly buffer: Uint8Array<ArrayBuffer>;
  readonly addresses: Access["addresses"];
}

/** Bytes are copied out of memory. */
export function copyOut({ name, buffer, addresses }: Copies): Access {
  const { length } = buffer;
  return {
    name,
    length,
    direction: "read",
    addresses,
    bare: ({ u8: bytes }, at) => (n) => {
      for (let i = 0; i < n; i++) {
        const start = at[i & MASK]!;
        buffer.set(bytes.subarray(start, start + length));
      }
    },
    through: (memory, at) => (n) => {
      for (let i = 0; i < n; i++) consume(memory.read(buffer, at[i & MASK]!));
    },
    once: (memory, at, bytes) => ensureCount("read", memory.read(bytes, at), length),
  };
}

/** Bytes are copied into memory. */
export function copyIn({ name, buffer, addresses }: Copies): Access {
  const { length } = buffer;
  return {
    name,
    length,
    direction: "write",
    addresses,
    bare: ({ u8: bytes }, at) => (n) => {
      for (let i = 0; i < n; i++) bytes.set(buffer, at[i & MASK]!);
    },
    through: (memory, at) => (n) => {
      for (let i = 0; i < n; i++) consume(memory.write(buffer, at[i & MASK]!));
    },
    once: (memory, at, bytes) => ensureCount("write", memory.write(bytes, at), length),
  };
}

function ensureCount(call: string, count: number, wanted: number): void {
  if (count !== wanted) throw new Error(`${call}() returned ${count}, not ${wanted}`);
}
