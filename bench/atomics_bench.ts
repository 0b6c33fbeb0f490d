/**
 * Atomic accesses through guest memory and through a reference, beside bare `Atomics` on a typed array
 * of the same memory. Nobody else accesses it meanwhile.
 *
 * Nothing is hoisted or folded away: V8 neither moves nor drops an atomic access; addresses come out
 * of a table, and results go into the sink.
 */
import { GuestAddress, GuestMemoryMmap, u16, u32, u64 } from "@vmm/guest-memory";
import { consume } from "./sink.ts";
import { addressTable, EACH, MASK, MIB, OPERATIONS } from "./workload.ts";

const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), MIB]]);
const slice = memory.getSlice(GuestAddress(0), MIB);
const { u32: words, u64: longs } = slice.memory;
const addresses = addressTable((i) => (i & 63) * 64);

const loads = { group: `load (${EACH})` };
Deno.bench("Atomics.load, u32", { ...loads, baseline: true }, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= Atomics.load(words, addresses[i & MASK]! / 4);
  consume(sum);
});
Deno.bench("Atomics.load, u64", loads, () => {
  let sum = 0n;
  for (let i = 0; i < OPERATIONS; i++) sum ^= Atomics.load(longs, addresses[i & MASK]! / 8);
  consume(Number(sum));
});
Deno.bench("GuestMemory.load, u16", loads, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= memory.load(u16, addresses[i & MASK]!);
  consume(sum);
});
Deno.bench("GuestMemory.load, u32", loads, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= memory.load(u32, addresses[i & MASK]!);
  consume(sum);
});
Deno.bench("GuestMemory.load, u64", loads, () => {
  let sum = 0n;
  for (let i = 0; i < OPERATIONS; i++) sum ^= memory.load(u64, addresses[i & MASK]!);
  consume(Number(sum));
});
const reference = slice.getAtomicRef(u32, 64);
Deno.bench("AtomicRef.load, u32", loads, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= reference.load();
  consume(sum);
});

const stores = { group: `store (${EACH})` };
Deno.bench("Atomics.store, u32", { ...stores, baseline: true }, () => {
  for (let i = 0; i < OPERATIONS; i++) Atomics.store(words, addresses[i & MASK]! / 4, i);
});
Deno.bench("Atomics.store, u64", stores, () => {
  for (let i = 0; i < OPERATIONS; i++) Atomics.store(longs, addresses[i & MASK]! / 8, 7n);
});
Deno.bench("GuestMemory.store, u16", stores, () => {
  for (let i = 0; i < OPERATIONS; i++) memory.store(u16, i, addresses[i & MASK]!);
});
Deno.bench("GuestMemory.store, u32", stores, () => {
  for (let i = 0; i < OPERATIONS; i++) memory.store(u32, i, addresses[i & MASK]!);
});
Deno.bench("GuestMemory.store, u64", stores, () => {
  for (let i = 0; i < OPERATIONS; i++) memory.store(u64, 7n, addresses[i & MASK]!);
});
Deno.bench("AtomicRef.store, u32", stores, () => {
  for (let i = 0; i < OPERATIONS; i++) reference.store(i);
});

const updates = { group: `read, change and write (${EACH})` };
Deno.bench("Atomics.add, u32", { ...updates, baseline: true }, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= Atomics.add(words, addresses[i & MASK]! / 4, i);
  consume(sum);
});
Deno.bench("GuestMemory.fetchAdd, u32", updates, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) {
    sum ^= memory.getAtomicRef(u32, addresses[i & MASK]!).fetchAdd(i);
  }
  consume(sum);
});
Deno.bench("GuestMemory.fetchAdd, u64", updates, () => {
  let sum = 0n;
  for (let i = 0; i < OPERATIONS; i++) {
    sum ^= memory.getAtomicRef(u64, addresses[i & MASK]!).fetchAdd(3n);
  }
  consume(Number(sum & 0xffffn));
});
Deno.bench("GuestMemory.exchange, u32", updates, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) {
    sum ^= memory.getAtomicRef(u32, addresses[i & MASK]!).exchange(i);
  }
  consume(sum);
});
Deno.bench("GuestMemory.compareExchange, u32", updates, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) {
    sum ^= memory.getAtomicRef(u32, addresses[i & MASK]!).compareExchange(sum, i);
  }
  consume(sum);
});
Deno.bench("AtomicRef.fetchAdd, u32", updates, () => {
  let sum = 0;
  for (let i = 0; i < OPERATIONS; i++) sum ^= reference.fetchAdd(i);
  consume(sum);
});
