/**
 * Calling C from Node.js, by `node:ffi`, which Node 26 and later have.
 *
 * @module
 */
import {
  ForeignAccessDenied,
  type ForeignRuntime,
  type NativeType,
  openEach,
  type Signature,
} from "./foreign_runtime.ts";
import { type NodeProcess, ofProcess } from "./node_process.ts";

/** The part of `node:ffi` that is used. */
interface NodeFfi {
  readonly DynamicLibrary: new (path: string) => DynamicLibrary;
  toArrayBuffer(address: bigint, length: number, copy: false): ArrayBuffer;
  getRawPointer(bytes: ArrayBufferView): bigint;
  getUint8(address: bigint, offset: number): number;
  getUint32(address: bigint, offset: number): number;
}

interface DynamicLibrary {
  getFunction(name: string, signature: NodeSignature): unknown;
}

interface NodeSignature {
  readonly arguments: readonly string[];
  readonly return: string;
}

const TYPES: Readonly<Record<NativeType, string>> = {
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  u64: "uint64",
  usize: "uint64",
  buffer: "buffer",
  void: "void",
};

/**
 * Node.js.
 *
 * @returns `undefined` where this Node has no `node:ffi`.
 */
export function nodeRuntime(process: NodeProcess): ForeignRuntime | undefined {
  const ffi = process.getBuiltinModule?.("node:ffi") as NodeFfi | undefined;
  if (ffi === undefined) return undefined;
  return {
    ...ofProcess(process),
    open: (library, symbols) =>
      openEach(
        symbols,
        (name, signature) => functionOf(openLibrary(ffi, library), name, signature),
      ),
    onPool: undefined,
    bufferAt: (address, length) => ffi.toArrayBuffer(address, length, false),
    readerAt: (address) => ({
      getUint8: (offset) => ffi.getUint8(address, offset),
      getUint32: (offset) => ffi.getUint32(address, offset),
    }),
    addressOf: (bytes) => ffi.getRawPointer(bytes),
  };
}

// Never collected: the functions are of use for the life of the process.
const libraries: DynamicLibrary[] = [];

// Once for each function: Node gives a library's function one signature, and this library has
// several for some, such as syscall(2).
function openLibrary({ DynamicLibrary }: NodeFfi, name: string): DynamicLibrary {
  try {
    const library = new DynamicLibrary(name);
    libraries.push(library);
    return library;
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== "ERR_ACCESS_DENIED") throw cause;
    throw new ForeignAccessDenied("run with --allow-ffi", { cause });
  }
}

function functionOf(
  library: DynamicLibrary,
  name: string,
  { parameters, result, optional }: Signature,
): unknown {
  const types = parameters.map((type) => TYPES[type]);
  try {
    return library.getFunction(name, { arguments: types, return: TYPES[result] });
  } catch (error) {
    // The library is open, so it has no such function.
    if (optional) return null;
    throw error;
  }
}
