import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { Buffer } from "node:buffer";
import { fileCalls, lastError, libc, pageCalls, u64 } from "../../ffi/libc.ts";
import { copyFromMapping, mapMemory, unmapMemory } from "../../ffi/memory.ts";
import { MmapRegion, SystemError } from "../../mod.ts";
import { runDeno } from "../backend/mmap/crash/run.ts";
import { linuxTest } from "../support/linux_test.ts";
import { mapPages } from "../support/mapped_pages.ts";

const mod = new URL("../../mod.ts", import.meta.url).href;

Deno.test("libc() opens the library once and knows the page size", () => {
  assertStrictEquals(libc(), libc());
  const { stdout } = new Deno.Command("getconf", { args: ["PAGESIZE"] }).outputSync();
  assertEquals(libc().pageSize, Number(new TextDecoder().decode(stdout)));
});

linuxTest("lastError() has the errno of the call that failed, and its name", () => {
  const symbols = { ...libc().core, ...fileCalls(), ...pageCalls() };
  const buffer = new Uint8Array(256);
  const failures: readonly (readonly [string, number, () => unknown])[] = [
    ["EINVAL", 22, () => symbols.munmap(1n, 4096n)],
    ["EBADF", 9, () => symbols.lseek(2 ** 31 - 1, 0n, 0)],
    ["ENOMEM", 12, () => symbols.mprotect(4096n, 4096n, 0)],
    ["ENOMEM", 12, () => symbols.mmap(0n, 2n ** 60n, 3, 0x22, -1, 0n)],
    ["ENOENT", 2, () => symbols.statx!(-100, new TextEncoder().encode("/none\0"), 0, 1, buffer)],
  ];
  for (const [code, errno, fail] of failures) {
    fail();
    const error = lastError("call", { first: 1, second: "two" });
    assertEquals([error.code, error.errno, error.call], [code, errno, "call"]);
    assertEquals(error.message, `Cannot call(first: 1, second: two): ${code} (errno ${errno})`);
  }
});

linuxTest("lastError() names every errno that the calls of this library leave", () => {
  const { errno } = libc();
  const names = {
    ...{ 1: "EPERM", 2: "ENOENT", 4: "EINTR", 5: "EIO", 6: "ENXIO", 9: "EBADF", 11: "EAGAIN" },
    ...{ 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 16: "EBUSY", 17: "EEXIST", 19: "ENODEV" },
    ...{ 22: "EINVAL", 23: "ENFILE", 24: "EMFILE", 26: "ETXTBSY", 27: "EFBIG", 28: "ENOSPC" },
    ...{ 29: "ESPIPE", 32: "EPIPE", 38: "ENOSYS", 75: "EOVERFLOW", 95: "EOPNOTSUPP" },
    ...{ 104: "ECONNRESET", 107: "ENOTCONN", 133: "EHWPOISON" },
  };
  for (const [value, name] of Object.entries(names)) {
    errno[0] = Number(value);
    assertEquals(lastError("x").code, name);
  }
});

Deno.test("lastError() gives the number where it knows no name", () => {
  libc().errno[0] = 4000;
  const error = lastError("x");
  assertEquals([error.code, error.errno, error.message], [
    "errno 4000",
    4000,
    "Cannot x(): errno 4000 (errno 4000)",
  ]);
});

Deno.test("SystemError carries the call, the errno and its name", () => {
  const error = new SystemError("madvise", 22, "EINVAL", { address: "0x1000", length: 8 });
  assert(error instanceof Error);
  assertEquals([error.name, error.call, error.errno, error.code], [
    "SystemError",
    "madvise",
    22,
    "EINVAL",
  ]);
  assertEquals(error.message, "Cannot madvise(address: 0x1000, length: 8): EINVAL (errno 22)");
});

Deno.test("mapMemory() refuses numbers that FFI would wrap", () => {
  const request = { address: 4096, length: 4096, prot: 3, flags: 0x22, fd: -1, offset: 0 };
  for (const number of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assertThrows(
      () => mapMemory({ ...request, length: number }),
      RangeError,
      `length is ${number}`,
    );
    assertThrows(
      () => mapMemory({ ...request, offset: number }),
      RangeError,
      `offset is ${number}`,
    );
  }
});

Deno.test("unmapMemory() throws what the kernel says", () => {
  const error = assertThrows(() => unmapMemory(1, 4096), SystemError, "munmap(address: 0x1");
  assertEquals([error.call, error.code], ["munmap", "EINVAL"]);
});

/** Runs a program that maps memory in a process with some permissions, and returns its error. */
async function mapWith(...permissions: string[]): Promise<[name: string, message: string]> {
  const { stdout, stderr, code } = await runDeno(
    [...permissions, "-"],
    `import { MmapRegion } from "${mod}";
    try {
      new MmapRegion(4096).close();
      console.log(JSON.stringify(["", ""]));
    } catch (error) {
      console.log(JSON.stringify([error.name, error.message]));
    }`,
  );
  assertEquals([code, stderr], [0, ""]);
  return JSON.parse(stdout);
}

for (
  const permissions of [
    [],
    ["--deny-ffi"],
    ["--allow-ffi", "--deny-ffi"],
    ["--allow-ffi=/usr/lib"],
    ["--allow-read", "--allow-write"],
  ]
) {
  Deno.test(`MmapRegion with permissions [${permissions}] asks for --allow-ffi`, async () => {
    const [name, message] = await mapWith(...permissions);
    assertEquals(name, "LibcUnavailable");
    assert(message.includes("run with --allow-ffi (without a path)"), message);
  });
}

Deno.test("MmapRegion needs no permission but --allow-ffi", async () => {
  assertEquals(await mapWith("--allow-ffi"), ["", ""]);
});

Deno.test("mod.ts is imported and used without any permission", async () => {
  const { stdout, stderr, code } = await runDeno(
    ["-"],
    `import { GuestAddress, GuestMemoryHeap, GuestMemoryMmap, u32 } from "${mod}";
    const memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 4096]]);
    memory.writeObj(u32, 7, GuestAddress(8));
    console.log(memory.readObj(u32, GuestAddress(8)), typeof GuestMemoryMmap.fromRanges);`,
  );
  assertEquals([code, stderr, stdout], [0, "", "7 function"]);
});

Deno.test("mod.ts opens no library when it is imported, only when memory is mapped", async () => {
  const { stdout, stderr, code } = await runDeno(
    ["--allow-ffi", "-"],
    `let opened = 0;
    const { dlopen } = Deno;
    Deno.dlopen = (...args) => (opened++, dlopen(...args));
    const { FileOffset, GuestAddress, GuestMemoryHeap, MmapRegion } = await import("${mod}");
    GuestMemoryHeap.fromRanges([[GuestAddress(0), 4096]]).close();
    new FileOffset(0);
    const before = opened;
    new MmapRegion(4096).close();
    const first = opened;
    new MmapRegion(4096).close();
    console.log(JSON.stringify([before, first > 0, opened === first]));`,
  );
  assertEquals([code, stderr, stdout], [0, "", "[0,true,true]"]);
});

for (
  const [where, deno, shown, process] of [
    ["another system", `{ ...Deno, build: { ...Deno.build, os: "windows" } }`, "on windows"],
    ["another machine", `{ ...Deno, build: { ...Deno.build, arch: "riscv64" } }`, "riscv64"],
    ["another runtime", "undefined", "this is another runtime without FFI"],
    ["a page whose bundler gives a process", "undefined", "this is another runtime", "{ env: {} }"],
  ] as const
) {
  Deno.test(`MmapRegion on ${where} says that the heap works everywhere`, async () => {
    const { stdout, stderr, code } = await runDeno(
      ["--allow-ffi", "-"],
      `const { MmapRegion } = await import("${mod}");
      Object.defineProperty(globalThis, "Deno", { value: ${deno} });
      Object.defineProperty(globalThis, "process", { value: ${process} });
      try {
        new MmapRegion(4096);
      } catch (error) {
        console.log(error.name, error.message);
      }`,
    );
    assertEquals([code, stderr], [0, ""]);
    assert(stdout.startsWith("LibcUnavailable") && stdout.includes(shown), stdout);
    assert(stdout.includes("GuestMemoryHeap"), stdout);
  });
}

Deno.test("a Worker has an errno of its own", async () => {
  const rounds = 2000;
  const code = `
    import { GuestAddress, GuestMemoryMmap, MmapRegion, u64 } from "${mod}";
    onmessage = () => {
      using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4096]]);
      memory.writeObj(u64, 42n, GuestAddress(8));
      const codes = {};
      for (let i = 0; i < ${rounds}; i++) {
        try {
          new MmapRegion(2 ** 52);
        } catch ({ code }) {
          codes[code] = (codes[code] ?? 0) + 1;
        }
      }
      postMessage([memory.readObj(u64, GuestAddress(8)), codes]);
    };
    postMessage("ready");`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  try {
    const answer = () =>
      new Promise((resolve) => worker.onmessage = (event) => resolve(event.data));
    assertEquals(await answer(), "ready");
    const answered = answer();
    worker.postMessage("go");
    const codes: Record<string, number> = {};
    for (let i = 0; i < rounds; i++) {
      const { code } = assertThrows(() => new MmapRegion(0), SystemError);
      codes[code] = (codes[code] ?? 0) + 1;
    }
    assertEquals(codes, { EINVAL: rounds });
    assertEquals(await answered, [42n, { ENOMEM: rounds }]);
  } finally {
    worker.terminate();
  }
});

Deno.test("u64() is BigInt() for every integer in [0, 2^53)", () => {
  const powers = Array.from({ length: 54 }, (_, n) => 2 ** n);
  const edges = powers.flatMap((power) => [power - 1, power, power + 1]);
  for (const n of [0, ...edges].filter(Number.isSafeInteger)) assertEquals(u64(n), BigInt(n));
});

Deno.test("copying refuses another number of bytes than the buffer really has", () => {
  class Boaster extends Uint8Array {
    override get length(): number {
      return 4096;
    }
    override get byteLength(): number {
      return 4096;
    }
  }
  using pages = mapPages(1);
  const { address, bytes: memory } = pages;
  memory.fill(7);
  for (const buffer of [new Uint8Array(8), new Boaster(8)]) {
    const eight = { valueOf: () => 8 } as unknown as number;
    for (const count of [0, 7, 9, 4096, -1, NaN, Infinity, 0.5, 2 ** 32 + 8, eight]) {
      assertEquals(copyFromMapping(buffer, address, count), false, `${count}`);
    }
    assertEquals([...new Uint8Array(buffer.buffer)], Array(8).fill(0));
    assert(copyFromMapping(buffer, address, 8));
    assertEquals([...new Uint8Array(buffer.buffer)], Array(8).fill(7));
  }
  assert(memory.every((byte) => byte === 7));
  const detached = new Uint8Array(8);
  detached.buffer.transfer();
  assertEquals(copyFromMapping(detached, address, 8), false);
  assertThrows(() => copyFromMapping({} as Uint8Array, address, 0), TypeError);
});

Deno.test("copying takes a buffer of every kind", () => {
  using pages = mapPages(1);
  const { address, bytes: memory } = pages;
  const kinds: readonly Uint8Array[] = [
    new Uint8Array(4),
    new Uint8Array(100).subarray(50, 60),
    new Uint8Array(new SharedArrayBuffer(8)),
    new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 })),
    Buffer.from([1, 2, 3, 4, 5]),
  ];
  // Often enough that optimised code is used, which calls in another way.
  for (let round = 0; round < 20_000; round++) {
    for (const buffer of kinds) {
      const { byteLength } = buffer;
      const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, byteLength);
      memory.fill(round);
      bytes.fill(round + 1);
      copyFromMapping(buffer, address + 8, byteLength);
      if (bytes.some((byte) => byte !== (round & 255))) throw new Error(`round ${round}`);
    }
  }
  // A small array is on V8's heap until something asks for its buffer.
  for (let round = 0; round < 20_000; round++) {
    memory.fill(round);
    const read = new Uint8Array(4);
    copyFromMapping(read, address + 8, 4);
    if (read.some((byte) => byte !== (round & 255))) throw new Error(`round ${round}`);
  }
});
