/**
 * Codecs of structures, whose code is made for one layout, beside loops over the fields that serve all
 * layouts: the reason for `compile` in `src/codec/compile.ts`. Each is measured after it has served seven
 * layouts, as in a program that has some devices: a loop's property accesses then are of so many kinds
 * that V8 looks each up.
 *
 * Nothing is hoisted or folded away: offsets come out of a table; what is read goes into the sink as a
 * whole; what is written is another value each time, of two that are there from the beginning.
 */
import {
  array,
  bytes,
  type ByteValued,
  HostMemory,
  struct,
  u16,
  u16be,
  u32,
  u32be,
  u64,
  u8,
} from "@vmm/guest-memory";
import { keep } from "./sink.ts";
import { addressTable, EACH, KIB, MASK, OPERATIONS } from "./workload.ts";

type Fields = Record<string, ByteValued<unknown>>;
type Value = Record<string, unknown>;

const LAYOUTS: Readonly<Record<string, Fields>> = {
  "two u32": { a: u32, b: u32 },
  "twelve u64": { elements: array(u64, 12) },
  "virtqueue descriptor": { addr: u64, len: u32, flags: u16, next: u16 },
  "used ring element": { id: u32, len: u32 },
  "network header": {
    flags: u8,
    gsoType: u8,
    headerLength: u16,
    gsoSize: u16,
    checksumStart: u16,
    checksumOffset: u16,
    buffers: u16,
  },
  "ARP packet, big-endian": {
    hardware: u16be,
    protocol: u16be,
    operation: u16be,
    senderMac: bytes(6),
    senderAddress: u32be,
    targetMac: bytes(6),
    targetAddress: u32be,
  },
  "block request": { type: u32, reserved: u32, sector: u64 },
};

const memory = new HostMemory(new ArrayBuffer(64 * KIB));
const offsets = addressTable((i) => (i & 15) * 128);

for (const [name, fields] of Object.entries(LAYOUTS)) {
  const compiled: ByteValued<Value> = struct(fields);
  const codecs = { "made for the layout": compiled, "loop for all layouts": interpreted(fields) };
  for (const [kind, codec] of Object.entries(codecs)) {
    const options = { baseline: codec === compiled };
    const values = [codec.read(memory, 0), codec.read(memory, 128)];
    const read = () => {
      for (let i = 0; i < OPERATIONS; i++) keep(codec.read(memory, offsets[i & MASK]!));
    };
    const write = () => {
      for (let i = 0; i < OPERATIONS; i++) codec.write(memory, offsets[i & MASK]!, values[i & 1]!);
    };
    // All of them before the first is measured.
    for (let i = 0; i < 50; i++) {
      read();
      write();
    }
    Deno.bench(`${name} read, ${kind}`, { ...options, group: `${name} read (${EACH})` }, read);
    Deno.bench(
      `${name} written, ${kind}`,
      { ...options, group: `${name} written (${EACH})` },
      write,
    );
  }
}

// What struct would be without made code, which is what it is where a policy forbids that.
function interpreted(fields: Fields): ByteValued<Value> {
  const { byteLength, alignment, offsets } = struct(fields);
  const names = Object.keys(fields);
  const codecs = Object.values(fields);
  const starts = names.map((name) => offsets[name]!);
  return {
    byteLength,
    alignment,
    read(memory, offset) {
      const value: Value = {};
      for (const [i, name] of names.entries()) {
        value[name] = codecs[i]!.read(memory, offset + starts[i]!);
      }
      return value;
    },
    write(memory, offset, value) {
      for (const [i, name] of names.entries()) {
        codecs[i]!.write(memory, offset + starts[i]!, value[name]);
      }
    },
  };
}
