/**
 * Messages of vhost-user: `docs/interop/vhost-user.rst` of QEMU. All numbers are little-endian.
 *
 * @module
 */
import { type ByteValued, fromSlice, struct, u32le, u64le } from "@vmm/guest-memory";
import { ProtocolError } from "./vhost_error.ts";

/** What a front-end asks for. */
export const Request = {
  getFeatures: 1,
  setFeatures: 2,
  setOwner: 3,
  resetOwner: 4,
  setMemTable: 5,
  setLogBase: 6,
  setLogFd: 7,
  setVringNum: 8,
  setVringAddr: 9,
  setVringBase: 10,
  getVringBase: 11,
  setVringKick: 12,
  setVringCall: 13,
  setVringErr: 14,
  getProtocolFeatures: 15,
  setProtocolFeatures: 16,
  getQueueNum: 17,
  setVringEnable: 18,
  getConfig: 24,
  setConfig: 25,
  resetDevice: 34,
  getMaxMemSlots: 36,
  addMemReg: 37,
  remMemReg: 38,
} as const;

const NAMES = new Map<number, string>(
  Object.entries(Request).map(([name, number]) => [number, name]),
);

/** The name of a request, for people. */
export function nameOf(request: number): string {
  return NAMES.get(request) ?? `request ${request}`;
}

/** Features of the protocol: bit numbers. */
export const ProtocolFeature = {
  multiqueue: 0,
  logInSharedMemory: 1,
  replyAck: 3,
  config: 9,
  resetDevice: 13,
  configureMemSlots: 15,
} as const;

/** Features that concern every device: bit numbers. VIRTIO 1.2 section 6, and `linux/vhost_types.h`. */
export const Feature = {
  logAll: 26n,
  indirect: 28n,
  eventIdx: 29n,
  protocolFeatures: 30n,
  version1: 32n,
} as const;

/** A set of bits. */
export function bits(numbers: Iterable<bigint | number>): bigint {
  return [...numbers].reduce<bigint>((sum, bit) => sum | 1n << BigInt(bit), 0n);
}

/** Whether a set has a bit. */
export function hasBit(set: bigint, bit: bigint | number): boolean {
  return (set >> BigInt(bit) & 1n) === 1n;
}

const Header = struct({ request: u32le, flags: u32le, size: u32le });
/** Bytes of a message before its payload. */
export const HEADER_BYTES: number = Header.byteLength;

const VERSION = 1;
const VERSION_MASK = 0b11;
const REPLY = 0b100;
const NEED_REPLY = 0b1000;

/** More than any payload: 8 regions of 32 bytes, or a configuration of 256. */
const MAX_PAYLOAD = 4096;

/** The head of a message. */
export interface MessageHead {
  readonly request: number;
  /** Bytes of the payload. */
  readonly size: number;
  /** Whether the front-end waits for an answer, also where there is none by itself. */
  readonly needsReply: boolean;
}

/** @throws {ProtocolError} It is none. */
export function parseHead(bytes: Uint8Array): MessageHead {
  const { request, flags, size } = fromSlice(Header, bytes)!;
  if ((flags & VERSION_MASK) !== VERSION) {
    throw new ProtocolError(
      `the version of the message is ${flags & VERSION_MASK}, and 1 is known`,
    );
  }
  if (size > MAX_PAYLOAD) {
    throw new ProtocolError(`the payload of ${nameOf(request)} has ${size} bytes`);
  }
  return { request, size, needsReply: (flags & NEED_REPLY) !== 0 };
}

/** A whole reply. */
export function reply(request: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, VERSION | REPLY, true);
  view.setUint32(8, payload.length, true);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** Memory of the guest, as the front-end has it. */
export interface MemoryRegionMessage {
  readonly guestAddress: bigint;
  readonly size: bigint;
  /** Where it is in the front-end. */
  readonly userAddress: bigint;
  /** Where it begins in the file of its descriptor. */
  readonly mmapOffset: bigint;
}

const Region = struct({
  guestAddress: u64le,
  size: u64le,
  userAddress: u64le,
  mmapOffset: u64le,
});
const TableHead = struct({ count: u32le, padding: u32le });
const SingleRegionHead = u64le;

/** The regions of `SET_MEM_TABLE`. */
export function parseMemTable(payload: Uint8Array): MemoryRegionMessage[] {
  const { count } = parse("setMemTable", TableHead, payload, false);
  const rest = payload.subarray(TableHead.byteLength);
  if (count > 8 || rest.length < count * Region.byteLength) {
    throw new ProtocolError(`setMemTable has ${count} regions in ${payload.length} bytes`);
  }
  return Array.from({ length: count }, (_, i) => {
    return fromSlice(Region, rest.subarray(i * Region.byteLength, (i + 1) * Region.byteLength))!;
  });
}

/** The region of `ADD_MEM_REG` or `REM_MEM_REG`. */
export function parseMemReg(payload: Uint8Array): MemoryRegionMessage {
  return parse("addMemReg", Region, payload.subarray(SingleRegionHead.byteLength), false);
}

const State = struct({ index: u32le, value: u32le });
/** A number of a queue. */
export interface VringState {
  readonly index: number;
  readonly value: number;
}

/** The payload of `SET_VRING_NUM`, `_BASE`, `_ENABLE` and `GET_VRING_BASE`. */
export function parseVringState(payload: Uint8Array): VringState {
  return parse("a state of a queue", State, payload);
}

const Address = struct({
  index: u32le,
  flags: u32le,
  descTable: u64le,
  usedRing: u64le,
  availRing: u64le,
  log: u64le,
});
/** Where a queue is, in addresses of the front-end. */
export interface VringAddress {
  readonly index: number;
  readonly flags: number;
  readonly descTable: bigint;
  readonly usedRing: bigint;
  readonly availRing: bigint;
  /** The guest address at which writes to the used ring are logged. */
  readonly log: bigint;
}

/** The payload of `SET_VRING_ADDR`. */
export function parseVringAddress(payload: Uint8Array): VringAddress {
  return parse("setVringAddr", Address, payload);
}

/** The payload of `SET_VRING_KICK`, `_CALL` and `_ERR`: which queue, and whether there is a descriptor. */
export function parseVringFd(payload: Uint8Array): { index: number; hasFd: boolean } {
  const value = parse("a descriptor of a queue", u64le, payload);
  return { index: Number(value & 0xffn), hasFd: (value & 0x100n) === 0n };
}

const Log = struct({ size: u64le, offset: u64le });
/** The payload of `SET_LOG_BASE`. */
export function parseLog(payload: Uint8Array): { readonly size: bigint; readonly offset: bigint } {
  return parse("setLogBase", Log, payload);
}

const Config = struct({ offset: u32le, size: u32le, flags: u32le });
/** A part of the configuration space. */
export interface ConfigMessage {
  readonly offset: number;
  readonly size: number;
  readonly flags: number;
  readonly bytes: Uint8Array;
}

/** The payload of `GET_CONFIG` and `SET_CONFIG`. */
export function parseConfig(payload: Uint8Array): ConfigMessage {
  const head = parse("a part of the configuration", Config, payload, false);
  const bytes = payload.subarray(Config.byteLength);
  if (head.size > 256 || bytes.length < head.size) {
    throw new ProtocolError(`${head.size} bytes of the configuration are in ${payload.length}`);
  }
  return { ...head, bytes: bytes.subarray(0, head.size) };
}

/** A number of 64 bits. */
export function parseU64(payload: Uint8Array): bigint {
  return parse("a number", u64le, payload);
}

/** A payload of one number. */
export function u64Payload(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

/** A payload of a queue and a number. */
export function vringStatePayload({ index, value }: VringState): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, index, true);
  view.setUint32(4, value, true);
  return bytes;
}

function parse<T>(
  what: string,
  codec: ByteValued<T>,
  payload: Uint8Array,
  isExact = true,
): T {
  if (payload.length < codec.byteLength || isExact && payload.length !== codec.byteLength) {
    throw new ProtocolError(`${what} has ${payload.length} bytes, not ${codec.byteLength}`);
  }
  return fromSlice(codec, payload.subarray(0, codec.byteLength))!;
}
