/**
 * Codecs of structures, whose code is made for one layout, beside loops over the fields that serve all
 * layouts: the reason for `compile` in `src/codec/compile.ts`. Each is measured after all layouts have
 * been served, as in a program that has some devices: a loop's property accesses then are of so many
 * kinds that V8 looks each up.
 *
 * What is written is another value each time, of two that are there from the beginning.
 *
 * @module
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
import { bench, rival, row } from "./measure.ts";
import { keep } from "../src/bench/sink.ts";
import { addressTable, KIB, MASK } from "./workload.ts";

type Fields = Record<string, ByteValued<unknown>>;
type Value = Record<string, unknown>;

/** Measures every layout, reading and writing. */
export async function benchCodecs(): Promise<void> {
  const layouts: Readonly<Record<string, Fields>> = {
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
  const at = addressTable((i) => (i & 15) * 128);
  const rows = Object.entries(layouts).flatMap(([name, fields]) => {
    const [made, loop] = [struct(fields) as ByteValued<Value>, loopOver(fields)];
    const values = [made.read(memory, 0), made.read(memory, 128)];
    const reading = (codec: ByteValued<Value>) => (n: number) => {
      for (let i = 0; i < n; i++) keep(codec.read(memory, at[i & MASK]!));
    };
    const writing = (codec: ByteValued<Value>) => (n: number) => {
      for (let i = 0; i < n; i++) codec.write(memory, at[i & MASK]!, values[i & 1]!);
    };
    return [
      row(`${name} read`, rival("loop over the fields", reading(loop)), reading(made)),
      row(`${name} written`, rival("loop over the fields", writing(loop)), writing(made)),
    ];
  });
  await bench("A codec made for its layout", rows);
}

// What struct would be without made code, which is what it is where a policy forbids that.
function loopOver(fields: Fields): ByteValued<Value> {
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
