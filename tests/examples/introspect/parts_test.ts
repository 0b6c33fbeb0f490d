import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { optionsOf, USAGE } from "../../../examples/introspect/arguments.ts";
import { UsageError } from "../../../examples/lib/expected_error.ts";
import { IntrospectError } from "../../../examples/introspect/introspect_error.ts";
import {
  layoutOf,
  machineOf,
  propertiesOf,
  ramNamesOf,
  ramSizeOf,
  valuesOf,
} from "../../../examples/introspect/layout.ts";
import { hashPage } from "../../../examples/introspect/page_hash.ts";
import { parseMaps } from "../../../examples/introspect/processes.ts";
import { parseTree } from "../../../examples/introspect/qmp.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

Deno.test("introspect's USAGE has 80 columns", () => {
  for (const line of USAGE.split("\n")) assert(line.length <= 80, line);
});

Deno.test("introspect's options are what the arguments say", () => {
  const options = {
    pid: undefined,
    qmp: undefined,
    seconds: 2,
    watch: false,
    port: undefined,
    json: false,
  };
  assertEquals(optionsOf([]), options);
  assertEquals(optionsOf(["--pid", "7", "--qmp", "s"]), { ...options, pid: 7, qmp: "s" });
  assertEquals(optionsOf(["--serve"]), { ...options, port: 0 });
  assertEquals(optionsOf(["--serve", "--pid", "7"]), { ...options, pid: 7, port: 0 });
  assertEquals(optionsOf(["--serve", "8080"]), { ...options, port: 8080 });
  assertEquals(optionsOf(["--serve=8080"]), { ...options, port: 8080 });
  assertEquals(optionsOf(["--json", "--seconds", "0.5"]), { ...options, json: true, seconds: 0.5 });
  assertEquals(optionsOf(["-h"]), undefined);
});

Deno.test("introspect refuses arguments that make no sense", () => {
  for (
    const [args, reason] of [
      [["--pid", "0"], "--pid is"],
      [["--pid", "1e3"], "--pid is"],
      [["--serve", "65536"], "--serve is"],
      [["--seconds", "0"], "--seconds is"],
      [["--seconds", "1h"], "--seconds is"],
      [["--watch", "--json"], "--watch and --json exclude each other"],
      [["--serve", "--json"], "--serve and --json exclude each other"],
      [["guest"], "Unexpected argument"],
      [["--nonsense"], "Unknown option"],
    ] as const
  ) assertThrows(() => optionsOf([...args]), UsageError, reason);
});

// As QEMU 7.2 has it, by `info mtree -f` of guests of these sizes.
Deno.test("layoutOf() places RAM as QEMU does", () => {
  const sizes = (machine: string, size: number) =>
    layoutOf(machine, size).map(({ startAddr, len, offset }) => [startAddr, len, offset]);
  assertEquals(sizes("q35", 512 * MIB), [[0, 512 * MIB, 0]]);
  assertEquals(sizes("q35", 2815 * MIB), [[0, 2815 * MIB, 0]]);
  assertEquals(sizes("q35", 2816 * MIB), [[0, 2 * GIB, 0], [4 * GIB, 768 * MIB, 2 * GIB]]);
  assertEquals(sizes("pc-q35-7.2", 8 * GIB), [[0, 2 * GIB, 0], [4 * GIB, 6 * GIB, 2 * GIB]]);
  assertEquals(sizes("pc", 3583 * MIB), [[0, 3583 * MIB, 0]]);
  assertEquals(sizes("pc", 3584 * MIB), [[0, 3 * GIB, 0], [4 * GIB, 512 * MIB, 3 * GIB]]);
  assertEquals(sizes("microvm", 3 * GIB), [[0, 3 * GIB, 0]]);
  assertEquals(sizes("microvm", 3300 * MIB), [[0, 3 * GIB, 0], [4 * GIB, 228 * MIB, 3 * GIB]]);
  assertEquals(sizes("virt", GIB), [[GIB, GIB, 0]]);
  assertThrows(() => layoutOf("none", GIB), IntrospectError, "--qmp");
});

Deno.test("machineOf() is the last machine of the command line", () => {
  assertEquals(machineOf(["qemu", "-machine", "q35,accel=kvm"]), "q35");
  assertEquals(machineOf(["qemu", "--machine", "accel=kvm,type=microvm"]), "microvm");
  assertEquals(machineOf(["qemu", "-M", "pc", "-machine", "accel=kvm", "-M", "q35"]), "q35");
  assertEquals(machineOf(["qemu", "-machine"]), "pc");
  const words = ["-object", "memory-backend-memfd,id=mem,share", "-m", "1G", "--object", "x,a=b=c"];
  assertEquals(valuesOf(words, ["-object"]).map(propertiesOf), [
    { first: "memory-backend-memfd", id: "mem", share: "on" },
    { first: "x", a: "b=c" },
  ]);
});

Deno.test("ramSizeOf() and ramNamesOf() are what the command line says", () => {
  const sizes = [
    "512",
    "512M",
    "2g",
    "size=1G,slots=2,maxmem=4G",
    "4096K,slots=1",
    "1T",
    "x",
    "5X",
  ];
  assertEquals(sizes.map((text) => ramSizeOf(["qemu", "-m", text])), [
    ...[512 * MIB, 512 * MIB, 2 * GIB, GIB, 4 * MIB, 1024 * GIB],
    undefined,
    undefined,
  ]);
  assertEquals(ramSizeOf(["qemu", "-m"]), undefined);
  assertEquals(ramNamesOf(["qemu", "-machine", "q35,memory-backend=mem", "-M", "smm=off"]), [
    "mem",
  ]);
  assertEquals(ramNamesOf(["qemu", "-machine", "q35"])[0], "pc.ram");
});

Deno.test("parseMaps() has shared, writable files, and joins their parts", () => {
  const text = `
7f0000000000-7f0008000000 rw-s 00000000 00:01 1030 /memfd:memory-backend-memfd (deleted)
7f0008000000-7f0010000000 rwxs 08000000 00:01 1030 /memfd:memory-backend-memfd (deleted)
7f0010000000-7f0011000000 rw-p 00000000 00:01 1031 /memfd:private (deleted)
7f0020000000-7f0021000000 r--s 00000000 00:01 1032 /dev/shm/read only
7f0030000000-7f0031000000 rw-s 00010000 08:02 1033 /dev/shm/with space
7f0040000000-7f0041000000 rw-s 00000000 00:05 7                          /dev/zero (deleted)
7f0050000000-7f0051000000 rw-p 00000000 00:00 0                          [heap]
`;
  assertEquals(
    parseMaps(text).map(({ len, fileOffset, inode, name }) => [len, fileOffset, inode, name]),
    [
      [256 * MIB, 0, 1030, "/memfd:memory-backend-memfd (deleted)"],
      [16 * MIB, 0x10000, 1033, "/dev/shm/with space"],
      [16 * MIB, 0, 7, "/dev/zero (deleted)"],
    ],
  );
});

Deno.test("parseTree() has the RAM of the memory's view, and joins parts that adjoin", () => {
  const text = `FlatView #0
 AS "cpu-smm-0", root: memory
  0000000000000000-00000000ffffffff (prio 0, ram): mem

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-00000000000c2fff (prio 0, ram): mem KVM
  00000000000c3000-00000000000e7fff (prio 0, rom): mem @00000000000c3000 KVM
  00000000000f0000-00000000000fffff (prio 0, ram): pc.bios
  0000000000100000-000000007fffffff (prio 0, ram): mem @0000000000100000 KVM
  00000000b0000000-00000000bfffffff (prio 0, i/o): pcie-mmcfg-mmio
  0000000100000000-000000017fffffff (prio 0, ram): mem @0000000080000000 KVM
`.replaceAll("\r", "");
  assertEquals(parseTree(text, ["mem"]), [
    { startAddr: 0, len: 0xe8000, offset: 0 },
    { startAddr: 0x10_0000, len: 0x7ff0_0000, offset: 0x10_0000 },
    { startAddr: 4 * GIB, len: 2 * GIB, offset: 2 * GIB },
  ]);
  assertEquals(parseTree(text, ["other"]), []);
});

Deno.test("hashPage() is another number for each change of one word", () => {
  const page = new Uint32Array(1024).map((_, i) => i % 3 * 0x1234_5678);
  const words = new Uint32Array(3 * 1024);
  words.set(page, 1024);
  const before = hashPage(words, 1024, 2048);
  fc.assert(fc.property(
    fc.integer({ min: 0, max: 1023 }),
    fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    (word, change) => {
      const copy = words.slice();
      copy[1024 + word]! ^= change;
      assert(hashPage(copy, 1024, 2048) !== before);
    },
  ));
  // What is around it does not matter.
  words[1023] = words[2048] = 1;
  assertEquals(hashPage(words, 1024, 2048), before);
});
