/**
 * Calling C from Deno.
 *
 * @module
 */
import {
  type Calls,
  ForeignAccessDenied,
  type ForeignRuntime,
  type PoolCall,
  type Signature,
  type Symbols,
} from "./foreign_runtime.ts";

/** Deno. */
export function denoRuntime(): ForeignRuntime {
  const { build: { os, arch }, pid } = Deno;
  return {
    os,
    arch,
    pid,
    open,
    onPool,
    bufferAt: (address, length) => Deno.UnsafePointerView.getArrayBuffer(pointer(address), length),
    readerAt: (address) => new Deno.UnsafePointerView(pointer(address)),
    addressOf: (bytes) =>
      Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes as ArrayBufferView<ArrayBuffer>)),
    addSignalListener: (signal, listener) => Deno.addSignalListener(signal, listener),
    removeSignalListener: (signal, listener) => Deno.removeSignalListener(signal, listener),
  };
}

// No library has a function at the null address.
function pointer<T = unknown>(address: bigint): Deno.PointerObject<T> {
  return Deno.UnsafePointer.create<T>(address)!;
}

function open<S extends Symbols>(library: string, symbols: S): Calls<S> {
  let opened;
  try {
    opened = Deno.dlopen(library, symbols as Deno.ForeignLibraryInterface);
  } catch (cause) {
    const { NotCapable, PermissionDenied } = Deno.errors;
    if (!(cause instanceof NotCapable || cause instanceof PermissionDenied)) throw cause;
    throw new ForeignAccessDenied("run with --allow-ffi (without a path)", { cause });
  }
  // SAFETY: the functions stay valid. Closing gives back Deno's reference to the library, which
  // would else count as a leak in every test that maps memory first; the C library itself, in
  // use by the whole process, is never unloaded.
  opened.close();
  return opened.symbols as unknown as Calls<S>;
}

function onPool<S extends Signature>(address: bigint, signature: S): PoolCall<S> {
  const definition = { ...signature, nonblocking: true } as unknown as Deno.ForeignFunction;
  const call = new Deno.UnsafeFnPointer(pointer<typeof definition>(address), definition);
  return ((...args: unknown[]) => call.call(...args as never[])) as unknown as PoolCall<S>;
}
