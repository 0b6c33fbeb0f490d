/**
 * Calling C from Bun, by `bun:ffi`.
 *
 * @module
 */
import {
  type ForeignRuntime,
  type MemoryReader,
  type NativeType,
  openEach,
  type Signature,
} from "./foreign_runtime.ts";
import { type NodeProcess, ofProcess } from "./node_process.ts";

/** The part of `bun:ffi` that is used. Its pointers are numbers. */
interface BunFfi {
  dlopen(library: string, symbols: Readonly<Record<string, BunSignature>>): BunLibrary;
  toArrayBuffer(address: number, offset: number, length: number): ArrayBuffer;
  ptr(bytes: ArrayBufferView): number;
  readonly read: {
    u8(address: number, offset: number): number;
    u32(address: number, offset: number): number;
  };
}

interface BunLibrary {
  readonly symbols: Readonly<Record<string, unknown>>;
}

interface BunSignature {
  readonly args: readonly string[];
  readonly returns: string;
}

const TYPES: Readonly<Record<NativeType, string>> = {
  i32: "i32",
  u32: "u32",
  i64: "i64",
  u64: "u64",
  usize: "u64",
  buffer: "buffer",
  void: "void",
};

/**
 * Bun.
 *
 * @returns `undefined` where this Bun has no `bun:ffi`.
 */
export function bunRuntime(process: NodeProcess): ForeignRuntime | undefined {
  const ffi = process.getBuiltinModule?.("bun:ffi") as BunFfi | undefined;
  if (ffi === undefined) return undefined;
  return {
    ...ofProcess(process),
    open: (library, symbols) =>
      openEach(symbols, (name, signature) => functionOf(ffi, library, name, signature)),
    onPool: undefined,
    bufferAt: (address, length) => bufferAt(ffi, Number(address), length),
    readerAt: (address) => readerAt(ffi.read, Number(address)),
    addressOf: (bytes) => BigInt(ffi.ptr(bytes)),
  };
}

// What JavaScriptCore has at most in one buffer: MAX_ARRAY_BUFFER_SIZE of ArrayBuffer.h.
const LARGEST_BUFFER = 2 ** 32;

function bufferAt({ toArrayBuffer }: BunFfi, address: number, length: number): ArrayBuffer {
  if (length > LARGEST_BUFFER) {
    throw new RangeError(
      `Cannot view ${length} bytes: a buffer of Bun has at most 4 GiB. Make several regions of up ` +
        "to 4 GiB, one after the other",
    );
  }
  return toArrayBuffer(address, 0, length);
}

function readerAt(read: BunFfi["read"], address: number): MemoryReader {
  return {
    getUint8: (offset) => read.u8(address, offset),
    getUint32: (offset) => read.u32(address, offset),
  };
}

// Never collected: the functions are of use for the life of the process.
const libraries: BunLibrary[] = [];

// Each by itself: Bun has no other names for functions, and fails for all if one is not there.
function functionOf(
  { dlopen }: BunFfi,
  file: string,
  name: string,
  { parameters, result, optional }: Signature,
): unknown {
  const signature = { args: parameters.map((type) => TYPES[type]), returns: TYPES[result] };
  try {
    const library = dlopen(file, { [name]: signature });
    libraries.push(library);
    return library.symbols[name];
  } catch (error) {
    const isOpen = (error as { code?: unknown }).code !== "ERR_DLOPEN_FAILED";
    if (optional && isOpen) return null;
    throw error;
  }
}
