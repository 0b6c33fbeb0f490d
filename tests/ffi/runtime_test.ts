import { assert, assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { libc } from "../../ffi/libc.ts";
import { bunRuntime } from "../../ffi/runtime/bun.ts";
import { currentRuntime, runtimeName } from "../../ffi/runtime/current_runtime.ts";
import { denoRuntime } from "../../ffi/runtime/deno.ts";
import { ForeignAccessDenied } from "../../ffi/runtime/foreign_runtime.ts";
import { nodeRuntime } from "../../ffi/runtime/node.ts";
import type { NodeProcess } from "../../ffi/runtime/node_process.ts";
import { linuxTest } from "../support/linux_test.ts";

// What Node and Bun really do is tested by tests/runtimes, in these runtimes.

function processWith(module: unknown, versions = {}): NodeProcess {
  return {
    platform: "linux",
    arch: "x64",
    pid: 7,
    versions,
    getBuiltinModule: () => module,
    on: () => {},
    off: () => {},
  };
}

function failing(code: string): Error {
  return Object.assign(new Error("no"), { code });
}

const SYMBOLS = {
  there: { name: "real", parameters: ["i32", "usize", "buffer"], result: "i64" },
  missing: { parameters: [], result: "void", optional: true },
} as const;

Deno.test("currentRuntime() is Deno here, with its names of the system", () => {
  const { os, arch, pid } = currentRuntime()!;
  assertEquals([os, arch, pid], [Deno.build.os, Deno.build.arch, Deno.pid]);
  assertEquals(runtimeName(), `Deno ${Deno.version.deno}`);
});

Deno.test("Node.js and Bun have Deno's names of the system", () => {
  for (const runtime of [nodeRuntime, bunRuntime]) {
    const { os, arch, pid } = runtime(processWith({}))!;
    assertEquals([os, arch, pid], ["linux", "x86_64", 7]);
    assertEquals(runtime({ ...processWith({}), arch: "arm64" })!.arch, "aarch64");
    assertEquals(runtime({ ...processWith({}), arch: "s390x" })!.arch, "s390x");
  }
});

Deno.test("Node.js without node:ffi and Bun without bun:ffi cannot call C", () => {
  for (const runtime of [nodeRuntime, bunRuntime]) {
    assertEquals(runtime(processWith(undefined)), undefined);
    const { getBuiltinModule: _, ...old } = processWith({});
    assertEquals(runtime(old), undefined);
  }
});

Deno.test("Node.js opens each function by its name in C, and those that are missing as null", () => {
  const asked: unknown[] = [];
  class DynamicLibrary {
    constructor(readonly name: string) {}
    getFunction(name: string, signature: unknown): unknown {
      asked.push([this.name, name, signature]);
      if (name === "missing") throw failing("ERR_FFI_CALL_FAILED");
      return assert;
    }
  }
  const { open } = nodeRuntime(processWith({ DynamicLibrary }))!;
  assertEquals(open("libc.so.6", SYMBOLS), { there: assert, missing: null } as never);
  assertEquals(asked, [
    ["libc.so.6", "real", { arguments: ["int32", "uint64", "buffer"], return: "int64" }],
    ["libc.so.6", "missing", { arguments: [], return: "void" }],
  ]);
  const required = { missing: { parameters: [], result: "void" } } as const;
  assertThrows(() => open("libc.so.6", required), Error, "no");
});

Deno.test("Node.js without the permission is ForeignAccessDenied, other failures are themselves", () => {
  for (
    const [code, expected] of [["ERR_ACCESS_DENIED", ForeignAccessDenied], [
      "ENOENT",
      Error,
    ]] as const
  ) {
    const cause = failing(code);
    class DynamicLibrary {
      constructor() {
        throw cause;
      }
    }
    const { open } = nodeRuntime(processWith({ DynamicLibrary }))!;
    // A library that is not there is no library without the function.
    const error = assertThrows(() => open("libc.so.6", { missing: SYMBOLS.missing }));
    assertInstanceOf(error, expected);
    assertEquals(error === cause, expected === Error);
  }
});

Deno.test("Bun opens each function by its name in C, and those that are missing as null", () => {
  const asked: unknown[] = [];
  function dlopen(library: string, symbols: Record<string, unknown>): unknown {
    asked.push([library, symbols]);
    if ("missing" in symbols) throw failing("ERR_INVALID_ARG_TYPE");
    return { symbols: { real: assert } };
  }
  const { open } = bunRuntime(processWith({ dlopen }))!;
  assertEquals(open("libc.so.6", SYMBOLS), { there: assert, missing: null } as never);
  assertEquals(asked, [
    ["libc.so.6", { real: { args: ["i32", "u64", "buffer"], returns: "i64" } }],
    ["libc.so.6", { missing: { args: [], returns: "void" } }],
  ]);
});

Deno.test("Bun throws for a library that is not there, though its functions are optional", () => {
  const cause = failing("ERR_DLOPEN_FAILED");
  function dlopen(): never {
    throw cause;
  }
  const { open } = bunRuntime(processWith({ dlopen }))!;
  assertEquals(assertThrows(() => open("x", { missing: SYMBOLS.missing })), cause);
});

linuxTest("a function on Deno's pool of threads returns a promise", async () => {
  libc();
  const { open, onPool, addressOf, readerAt } = denoRuntime();
  const { dlsym } = open("libc.so.6", {
    dlsym: { parameters: ["usize", "buffer"], result: "usize" },
  });
  const address = dlsym(0n, new TextEncoder().encode("memset\0"));
  const memset = onPool!(address, { parameters: ["usize", "i32", "usize"], result: "usize" });
  const bytes = new Uint8Array(4096);
  const at = addressOf(bytes);
  const done = memset(at, 0xab, 4095n);
  assertInstanceOf(done, Promise);
  assertEquals(await done, at);
  assertEquals([bytes[0], bytes[4094], bytes[4095]], [0xab, 0xab, 0]);
  assertEquals([readerAt(at).getUint8(4094), readerAt(at).getUint32(4092)], [0xab, 0x00ab_abab]);
});

Deno.test("Bun refuses a buffer of more than 4 GiB, and says what to do", () => {
  const asked: number[] = [];
  function toArrayBuffer(_address: number, _offset: number, length: number): ArrayBuffer {
    asked.push(length);
    return new ArrayBuffer(0);
  }
  const { bufferAt } = bunRuntime(processWith({ toArrayBuffer }))!;
  bufferAt(4096n, 2 ** 32);
  assertThrows(() => bufferAt(4096n, 2 ** 32 + 1), RangeError, "several regions of up to 4 GiB");
  assertEquals(asked, [2 ** 32]);
});

Deno.test("Node.js and Bun listen to signals on the main thread only, which is told of them", () => {
  const heard: unknown[] = [];
  for (const runtime of [nodeRuntime, bunRuntime]) {
    for (const isMainThread of [true, false]) {
      const { addSignalListener, removeSignalListener } = runtime({
        ...processWith({ isMainThread }),
        on: (signal) => heard.push(["on", signal]),
        off: (signal) => heard.push(["off", signal]),
      })!;
      if (!isMainThread) {
        assertThrows(() => addSignalListener("SIGIO", () => {}), Error, "main thread");
        continue;
      }
      addSignalListener("SIGIO", () => {});
      removeSignalListener("SIGIO", () => {});
    }
  }
  const both = [["on", "SIGIO"], ["off", "SIGIO"]];
  assertEquals(heard, [...both, ...both]);
});
