/**
 * Accesses of single values.
 *
 * Nothing is hoisted or folded away: addresses come out of tables, and what is read goes into the
 * sink. V8 neither moves nor drops an atomic access.
 *
 * @module
 */
import { asSlice, type ByteValued, fromSlice } from "../codec/byte_valued.ts";
import { u16, u32, u64 } from "../codec/scalar.ts";
import { struct } from "../codec/struct.ts";
import type { Access, Addresses } from "./access.ts";
import { consume, keep } from "./sink.ts";
import { MASK } from "./workload.ts";

/** What a descriptor of a virtqueue is. */
const Descriptor = struct({ addr: u64, len: u32, flags: u16, next: u16 });

const VALUES: readonly bigint[] = Array.from(
  { length: MASK + 1 },
  (_, i) => 0x0123_4567_89ab_cdefn * BigInt(i + 1) & 0xffff_ffff_ffff_ffffn,
);

/** A `u32` is read. */
export function u32Read(name: string, at: Addresses): Access {
  return {
    name,
    length: 4,
    direction: "read",
    addresses: () => at,
    bare: ({ u32: words }, at) => (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= words[at[i & MASK]! / 4]!;
      consume(sum);
    },
    through: (memory, at) => (n) => {
      let sum = 0;
      for (let i = 0; i < n; i++) sum ^= memory.readObj(u32, at[i & MASK]!);
      consume(sum);
    },
    once: readOnce(u32),
  };
}

/** A `u32` is written. */
export function u32Write(name: string, at: Addresses): Access {
  return {
    name,
    length: 4,
    direction: "write",
    addresses: () => at,
    bare: ({ u32: words }, at) => (n) => {
      for (let i = 0; i < n; i++) words[at[i & MASK]! / 4] = i;
    },
    through: (memory, at) => (n) => {
      for (let i = 0; i < n; i++) memory.writeObj(u32, i, at[i & MASK]!);
    },
    once: writeOnce(u32),
  };
}

/** A `u64` is loaded atomically. */
export function u64Load(name: string, at: Addresses): Access {
  return {
    name,
    length: 8,
    direction: "read",
    addresses: () => at,
    bare: ({ u64: longs }, at) => (n) => {
      let sum = 0n;
      for (let i = 0; i < n; i++) sum ^= Atomics.load(longs, at[i & MASK]! / 8);
      keep(sum);
    },
    through: (memory, at) => (n) => {
      let sum = 0n;
      for (let i = 0; i < n; i++) sum ^= memory.load(u64, at[i & MASK]!);
      keep(sum);
    },
    once: (memory, at, bytes) => bytes.set(asSlice(u64, memory.load(u64, at))),
  };
}

/** A `u64` is stored atomically. */
export function u64Store(name: string, at: Addresses): Access {
  return {
    name,
    length: 8,
    direction: "write",
    addresses: () => at,
    bare: ({ u64: longs }, at) => (n) => {
      for (let i = 0; i < n; i++) Atomics.store(longs, at[i & MASK]! / 8, VALUES[i & MASK]!);
    },
    through: (memory, at) => (n) => {
      for (let i = 0; i < n; i++) memory.store(u64, VALUES[i & MASK]!, at[i & MASK]!);
    },
    once: (memory, at, bytes) => memory.store(u64, fromSlice(u64, bytes)!, at),
  };
}

/** A structure of 16 bytes is read: a descriptor of a virtqueue. */
export function structRead(name: string, at: Addresses): Access {
  return {
    name,
    length: Descriptor.byteLength,
    direction: "read",
    addresses: () => at,
    bare: ({ u16: halves, u32: words, u64: longs }, at) => (n) => {
      for (let i = 0; i < n; i++) {
        const start = at[i & MASK]!;
        const half = start / 2;
        keep({
          addr: longs[start / 8]!,
          len: words[start / 4 + 2]!,
          flags: halves[half + 6]!,
          next: halves[half + 7]!,
        });
      }
    },
    through: (memory, at) => (n) => {
      for (let i = 0; i < n; i++) keep(memory.readObj(Descriptor, at[i & MASK]!));
    },
    once: readOnce(Descriptor),
  };
}

/** A structure of 16 bytes is written. */
export function structWrite(name: string, at: Addresses): Access {
  const descriptors = VALUES.map((addr, i) => ({ addr, len: i, flags: 1, next: i }));
  return {
    name,
    length: Descriptor.byteLength,
    direction: "write",
    addresses: () => at,
    bare: ({ u16: halves, u32: words, u64: longs }, at) => (n) => {
      for (let i = 0; i < n; i++) {
        const { addr, len, flags, next } = descriptors[i & MASK]!;
        const start = at[i & MASK]!;
        const half = start / 2;
        longs[start / 8] = addr;
        words[start / 4 + 2] = len;
        halves[half + 6] = flags;
        halves[half + 7] = next;
      }
    },
    through: (memory, at) => (n) => {
      for (let i = 0; i < n; i++) {
        memory.writeObj(Descriptor, descriptors[i & MASK]!, at[i & MASK]!);
      }
    },
    once: writeOnce(Descriptor),
  };
}

function readOnce<T>(codec: ByteValued<T>): Access["once"] {
  return (memory, at, bytes) => bytes.set(asSlice(codec, memory.readObj(codec, at)));
}

function writeOnce<T>(codec: ByteValued<T>): Access["once"] {
  return (memory, at, bytes) => memory.writeObj(codec, fromSlice(codec, bytes)!, at);
}
