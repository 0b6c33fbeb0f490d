/**
 * What this library takes of a JavaScript runtime to call C, and the signatures of C functions.
 *
 * A runtime that is added implements {@linkcode ForeignRuntime} in a file of its own, and is found
 * in `current_runtime.ts`.
 *
 * @module
 */

/** The values of each type of C, as JavaScript has them. */
interface Values {
  /** `int`. */
  readonly i32: number;
  /** `unsigned int`. */
  readonly u32: number;
  /** `long`, `off_t`. */
  readonly i64: bigint;
  /** `uint64_t`. */
  readonly u64: bigint;
  /** `size_t`, `unsigned long`, and every pointer. */
  readonly usize: bigint;
  /** A pointer to the bytes of a view, as a parameter. */
  readonly buffer: ArrayBufferView;
  /** No result. */
  readonly void: void;
}

/** A type of a parameter or a result. */
export type NativeType = keyof Values;

/** What a function takes and returns. */
export interface Signature {
  /** Its name in C, where that is not its key in the table. */
  readonly name?: string;
  readonly parameters: readonly NativeType[];
  readonly result: NativeType;
  /** Whether some C libraries do not have it: it is `null` there. */
  readonly optional?: boolean;
}

/** The functions of a library, by name. */
export type Symbols = Readonly<Record<string, Signature>>;

type Parameters<P extends readonly NativeType[]> = { -readonly [I in keyof P]: Values[P[I]] };

/** A function, as TypeScript calls it. */
export type Call<S extends Signature> = (
  ...args: Parameters<S["parameters"]>
) => Values[S["result"]];

/** The functions of a table, as TypeScript calls them. */
export type Calls<S extends Symbols> = {
  readonly [K in keyof S]: S[K] extends { readonly optional: true } ? Call<S[K]> | null
    : Call<S[K]>;
};

/**
 * Opens each function of a table by itself, for runtimes that know no other names for functions.
 *
 * @param symbols The functions.
 * @param open Opens one, by its name in C.
 */
export function openEach<S extends Symbols>(
  symbols: S,
  open: (name: string, signature: Signature) => unknown,
): Calls<S> {
  const calls = Object.entries(symbols).map(([key, signature]) => {
    return [key, open(signature.name ?? key, signature)];
  });
  return Object.fromEntries(calls) as Calls<S>;
}

/** Calls a function on a thread of the runtime's pool. */
export type PoolCall<S extends Signature> = (
  ...args: Parameters<S["parameters"]>
) => Promise<Values[S["result"]]>;

/** Reads memory at an address, byte by byte or word by word. */
export interface MemoryReader {
  /** The byte at an offset. */
  getUint8(offset: number): number;
  /** The 32-bit number at an offset, in the host's order of bytes. */
  getUint32(offset: number): number;
}

/** A runtime that can call C. */
export interface ForeignRuntime {
  /** The system, by Deno's name: `linux`, `darwin`, `windows`. */
  readonly os: string;
  /** The processor, by Deno's name: `x86_64`, `aarch64`. */
  readonly arch: string;
  /** The number of this process. */
  readonly pid: number;
  /**
   * Opens functions of a library, for the life of the process. A call returns before any other
   * code of the thread runs, so the next one sees its errno.
   *
   * @param library The name of the library's file.
   * @param symbols The functions.
   * @throws {ForeignAccessDenied} The program may not call C.
   * @throws {Error} The library, or a function that is not optional, is not there.
   */
  open<S extends Symbols>(library: string, symbols: S): Calls<S>;
  /**
   * A function to be called on the runtime's pool of threads, by its address. The errno of a call is
   * lost. `undefined` where the runtime has no such pool.
   */
  readonly onPool:
    | (<S extends Signature>(address: bigint, signature: S) => PoolCall<S>)
    | undefined;
  /**
   * A buffer over memory that is not the runtime's: nothing frees the memory when the buffer is
   * collected or detached.
   *
   * @param address Where the memory is, not 0.
   * @param length Its bytes.
   */
  bufferAt(address: bigint, length: number): ArrayBuffer;
  /** A reader of memory from an address on. */
  readerAt(address: bigint): MemoryReader;
  /** The address of the first byte of a view, valid while the view is reachable. */
  addressOf(bytes: ArrayBufferView): bigint;
  /**
   * Calls a function whenever the process gets a signal.
   *
   * @throws {Error} This thread is told of none: without a listener, the signal ends the process.
   */
  addSignalListener(signal: "SIGIO", listener: () => void): void;
  /** Ends that. */
  removeSignalListener(signal: "SIGIO", listener: () => void): void;
}

/** The program may not call C. */
export class ForeignAccessDenied extends Error {
  override readonly name = "ForeignAccessDenied";
}
