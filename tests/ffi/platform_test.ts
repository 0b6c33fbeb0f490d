import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { currentPlatform, MS_ASYNC, PROT } from "../../ffi/platform.ts";
import { linuxTest } from "../support/linux_test.ts";

const at = (os: string, arch: string) => currentPlatform({ os, arch });

Deno.test("currentPlatform() is Linux or macOS on x86-64 or arm64, and nothing else", () => {
  for (const arch of ["x86_64", "aarch64"]) {
    assert(at("linux", arch) !== undefined);
    assert(at("darwin", arch) !== undefined);
    for (const os of ["windows", "freebsd", "android", "solaris"]) {
      assertEquals(at(os, arch), undefined);
    }
  }
  for (const os of ["linux", "darwin"]) assertEquals(at(os, "riscv64"), undefined);
});

Deno.test("currentPlatform() knows the numbers of system calls of each architecture", () => {
  const numbers = {
    membarrier: [324n, 283n],
    gettid: [186n, 178n],
    tgkill: [234n, 131n],
    mbind: [237n, 235n],
    userfaultfd: [323n, 282n],
  };
  const [x86, arm] = ["x86_64", "aarch64"].map((arch) => at("linux", arch)!.systemCalls);
  for (const [call, expected] of Object.entries(numbers)) {
    const name = call as keyof typeof numbers;
    assertEquals([call, x86![name], arm![name]], [call, ...expected]);
  }
  assertEquals(at("darwin", "aarch64")!.systemCalls, undefined);
});

Deno.test("PROT_* and MS_ASYNC are the same everywhere", () => {
  assertEquals([PROT, MS_ASYNC], [{ none: 0, read: 1, write: 2 }, 1]);
});

Deno.test("macOS has numbers of its own", () => {
  const [linux, darwin] = [at("linux", "x86_64")!, at("darwin", "aarch64")!];
  assertEquals(linux.map.anonymous, 0x20);
  assertEquals(darwin.map, {
    shared: 0x01,
    private: 0x02,
    fixed: 0x10,
    anonymous: 0x1000,
    fixedNoReplace: 0,
    noReserve: 0x40,
    hugeTlb: 0,
  });
  assertEquals([linux.errno[11], darwin.errno[35], darwin.errno[11]], [
    "EAGAIN",
    "EAGAIN",
    "EDEADLK",
  ]);
  assertEquals([linux.msSync, darwin.msSync, linux.scPageSize, darwin.scPageSize], [4, 16, 30, 29]);
  assertEquals([linux.closeOnExec, darwin.closeOnExec], [0x80000, 0x1000000]);
  assertEquals([linux.closeOnExecRequest, darwin.closeOnExecRequest], [0x5451n, 0x2000_6601n]);
  assertNotEquals(linux.errnoLocation, darwin.errnoLocation);
  assertEquals([linux.advice.free, darwin.advice.free, darwin.advice.hugepage], [8, 5, undefined]);
});

// The header files say the same, where they are installed.
const HEADERS = [
  "/usr/include/asm-generic/mman-common.h",
  "/usr/include/asm-generic/mman.h",
  "/usr/include/asm-generic/errno-base.h",
  "/usr/include/asm-generic/errno.h",
];

function defines(): Map<string, number> | undefined {
  try {
    const text = HEADERS.map((path) => Deno.readTextFileSync(path)).join("\n");
    const found = text.matchAll(/^#define\s+([A-Z_]+)\s+(0x[0-9a-f]+|\d+)\b/gm);
    return new Map([...found].map(([, name, value]) => [name!, Number(value)]));
  } catch {
    return undefined;
  }
}

linuxTest("currentPlatform() has the numbers of Linux's header files", () => {
  const numbers = defines();
  if (numbers === undefined) return;
  const { advice, errno, map } = at("linux", "x86_64")!;
  for (const [name, value] of Object.entries(advice)) {
    const constant = `MADV_${name.toUpperCase().replaceAll("-", "_")}`;
    if (numbers.has(constant)) assertEquals([name, value], [name, numbers.get(constant)]);
  }
  for (const [value, name] of Object.entries(errno)) {
    if (numbers.has(name)) assertEquals([name, Number(value)], [name, numbers.get(name)]);
  }
  const names = {
    MAP_FIXED: map.fixed,
    MAP_ANONYMOUS: map.anonymous,
    MAP_FIXED_NOREPLACE: map.fixedNoReplace,
    MAP_NORESERVE: map.noReserve,
    MAP_HUGETLB: map.hugeTlb,
  };
  for (const [name, value] of Object.entries(names)) {
    if (numbers.has(name)) assertEquals([name, value], [name, numbers.get(name)]);
  }
});
