/** Each option, as the kernel shows it in smaps or by its effect, and those it refuses. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  Backing,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  GuestRegionMmap,
  type MmapOptions,
  MmapRegion,
  OptionRefused,
  Permissions,
  SystemError,
} from "../../../mod.ts";
import { populating } from "../../../src/backend/mmap/page_options.ts";
import { runDeno, runProgram } from "./crash/run.ts";
import { hugePagesTest } from "../../support/huge_pages.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { detailsAt, mappingAt, mappings } from "../../support/proc_maps.ts";
import { temporaryFile } from "../../support/temporary_file.ts";

const PAGE = 4096;
const HUGE = 2 ** 21;
const memfd = Backing.memfd();
const shared = Backing.anonymous({ shared: true });

function flagsOf(options: MmapOptions, size = PAGE): readonly string[] {
  using region = new MmapRegion(size, options);
  return detailsAt(region.hostAddress()).vmFlags;
}

// Two letters of VmFlags of /proc/PID/smaps (proc_pid_smaps(5)), with and without the option.
const SHOWN: readonly (readonly [name: string, flag: string, MmapOptions])[] = [
  ["dontDump", "dd", { dontDump: true }],
  ["dontDump of a memfd", "dd", { dontDump: true, backing: memfd }],
  ["dontFork", "dc", { dontFork: true }],
  ["mergeable", "mg", { mergeable: true }],
  ["transparentHugePages", "hg", { transparentHugePages: true }],
  ["transparentHugePages: false", "nh", { transparentHugePages: false }],
  ["lock", "lo", { lock: true }],
  ["lock on fault", "lf", { lock: "onfault" }],
  ["lock of a memfd", "lo", { lock: true, backing: memfd }],
];

for (const [name, flag, options] of SHOWN) {
  linuxTest(`the option ${name} is set in the kernel, and not without it`, () => {
    const size = 2 * HUGE;
    assert(flagsOf(options, size).includes(flag));
    const { backing } = options;
    assert(!flagsOf(backing === undefined ? {} : { backing }, size).includes(flag));
  });
}

linuxTest("the option reserve is MAP_NORESERVE left out", () => {
  assert(flagsOf({}).includes("nr"));
  assert(!flagsOf({ reserve: true }).includes("nr"));
});

linuxTest("the option prefault takes all pages, also of a read-only mapping and a file", () => {
  const size = 64 * PAGE;
  for (const options of [{}, { backing: memfd }, { backing: shared }, { lock: true }] as const) {
    using region = new MmapRegion(size, { ...options, prefault: true });
    assertEquals(region.residentBytes(), size);
  }
  using zeros = new MmapRegion(size, { prefault: true, protection: Permissions.Read });
  assertEquals(zeros.residentBytes(), size);
  assertThrows(
    () => new MmapRegion(size, { prefault: true, protection: Permissions.No }),
    OptionRefused,
    "nothing may be accessed",
  );
});

linuxTest("the option guardPages refuses every access before and after", () => {
  for (const size of [PAGE, 3 * PAGE + 100, 2 * HUGE]) {
    const region = new MmapRegion(size, { guardPages: true });
    const address = region.hostAddress();
    const pages = BigInt(Math.ceil(size / PAGE) * PAGE);
    for (const guard of [address - 1n, address + pages]) {
      assertEquals(mappingAt(guard)?.permissions, "---p");
    }
    assertEquals(mappingAt(address)?.permissions, "rw-p");
    region.close();
    for (const gone of [address - 1n, address, address + pages]) {
      assertEquals(mappingAt(gone), undefined);
    }
  }
});

linuxTest("the option numa places pages, and names a node that is not there", () => {
  using region = new MmapRegion(8 * PAGE, {
    numa: { nodes: [0], policy: "bind" },
    prefault: true,
  });
  const at = region.hostAddress().toString(16);
  const line = Deno.readTextFileSync("/proc/self/numa_maps").split("\n")
    .find((line) => line.startsWith(at));
  assert(line === undefined || line.includes("bind:0"), line);
  for (const policy of ["preferred", "interleave"] as const) {
    new MmapRegion(PAGE, { numa: { nodes: [0], policy } }).close();
  }
  const error = assertThrows(
    () => new MmapRegion(PAGE, { numa: { nodes: [1000], policy: "bind" } }),
    OptionRefused,
    "the host has no such node",
  );
  assertEquals(error.option, "numa");
  assert(error.cause instanceof SystemError && error.cause.code === "EINVAL");
});

Deno.test("options of a wrong kind are refused before anything is mapped", () => {
  const wrong: MmapOptions[] = [
    { reserve: 1 as never },
    { lock: "all" as never },
    { mergeable: "yes" as never },
    { backing: { kind: "anonymous" } as never },
    { backing: Object.create(Backing.prototype) },
    { numa: { nodes: [0], policy: "near" as never } },
    { protection: 4 as never },
  ];
  for (const options of wrong) assertThrows(() => new MmapRegion(PAGE, options), Error);
  for (const nodes of [[], [-1], [1024], [0.5]]) {
    assertThrows(() => new MmapRegion(PAGE, { numa: { nodes, policy: "bind" } }), RangeError);
  }
  for (const hugePages of [0, 3, 0.5, NaN, -(2 ** 21)]) {
    assertThrows(() => Backing.anonymous({ hugePages }), RangeError);
    assertThrows(() => Backing.memfd({ hugePages }), RangeError);
  }
  for (const hugePages of [1, 1024, PAGE]) {
    const backing = Backing.anonymous({ hugePages });
    assertThrows(() => new MmapRegion(PAGE, { backing }), RangeError, "pages have 4096");
  }
});

linuxTest("an option that the kernel accepts and ignores is refused by name", () => {
  // madvise returns 0 for this, and sets no flag.
  const error = assertThrows(
    () => new MmapRegion(2 * HUGE, { mergeable: true, backing: memfd }),
    OptionRefused,
    "ignores it",
  );
  assertEquals([error.option, error.cause], ["mergeable", undefined]);
  const enabled = Deno.readTextFileSync("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  if (enabled.includes("[never]")) {
    const error = assertThrows(
      () => new MmapRegion(2 * HUGE, { transparentHugePages: true, backing: memfd }),
      OptionRefused,
    );
    assertEquals(error.option, "transparentHugePages");
  }
  // Less than a huge page cannot consist of them, nor what has no whole one: nothing is refused.
  new MmapRegion(PAGE, { transparentHugePages: true }).close();
  GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE], [GuestAddress(PAGE), HUGE]], {
    transparentHugePages: true,
    backing: memfd,
  }).close();
});

linuxTest("a private mapping of a memfd is refused, with the reason", () => {
  using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), PAGE]], { backing: memfd });
  const backing = Backing.file(memory.describe()[0]!.fd!, { private: true });
  const error = assertThrows(() => new MmapRegion(PAGE, { backing }), OptionRefused, "twice");
  assertEquals([error.option, error.cause], ["private", undefined]);
  using file = temporaryFile(PAGE);
  using opened = Deno.openSync(file.path);
  new MmapRegion(PAGE, { backing: Backing.file(opened, { private: true }) }).close();
});

linuxTest("a refused option leaves nothing mapped and no descriptor open", () => {
  const count = () => [
    mappings().filter(({ path }) => path.includes("memfd:refused")).length,
    [...Deno.readDirSync("/proc/self/fd")].length,
  ];
  const backing = Backing.memfd({ name: "refused" });
  // The descriptors of the first mapping are open then.
  assertThrows(() => new MmapRegion(2 * HUGE, { mergeable: true, backing }), OptionRefused);
  const before = count();
  for (let i = 0; i < 10; i++) {
    assertThrows(() => new MmapRegion(2 * HUGE, { mergeable: true, backing }), OptionRefused);
    assertThrows(
      () => new MmapRegion(PAGE, { backing, numa: { nodes: [1000], policy: "bind" } }),
      OptionRefused,
    );
  }
  assertEquals(count(), before);
});

linuxTest("more memory than there is, is refused before the kernel ends the process", () => {
  for (const option of ["reserve", "prefault", "lock"] as const) {
    const error = assertThrows(
      () => new MmapRegion(2 ** 44, { backing: memfd, [option]: true }),
      OptionRefused,
      "are available",
    );
    assertEquals(error.option, option);
  }
  assertThrows(() => new MmapRegion(2 ** 44, { prefault: true }), OptionRefused, "are available");
  // A memfd that somebody else made.
  using large = new MmapRegion(2 ** 42, { backing: memfd });
  using made = GuestMemoryMmap.fromRegions([new GuestRegionMmap(large, GuestAddress(0))]);
  const { fd } = made.describe()[0]!;
  for (const option of ["reserve", "prefault", "lock"] as const) {
    const error = assertThrows(
      () => new MmapRegion(2 ** 42, { backing: Backing.file(fd!), [option]: true }),
      OptionRefused,
      "are available",
    );
    assertEquals(error.option, option);
  }
  // What it has already is not needed again.
  using small = GuestMemoryMmap.fromRanges([[GuestAddress(0), 16 * PAGE]], {
    backing: memfd,
    prefault: true,
  });
  const backing = Backing.file(small.describe()[0]!.fd!);
  new MmapRegion(16 * PAGE, { backing, prefault: true, reserve: true }).close();
  const error = assertThrows(() => new MmapRegion(2 ** 45, { reserve: true }), OptionRefused);
  assertEquals([error.option, (error.cause as SystemError).code], ["reserve", "ENOMEM"]);
});

linuxTest("the option reserve takes the room of a file, and says when there is too little", () => {
  // A file system of 1 MiB.
  const directory = Deno.makeTempDirSync();
  const mount = new Deno.Command("mount", {
    args: ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory],
    stderr: "null",
  }).outputSync();
  if (!mount.success) {
    console.log("not shown: mounting a file system is not allowed here");
    Deno.removeSync(directory);
    return;
  }
  try {
    const path = `${directory}/ram`;
    using file = Deno.openSync(path, { read: true, write: true, create: true });
    file.truncateSync(2 ** 22);
    const backing = Backing.file(new FileOffset(file));
    const error = assertThrows(
      () => new MmapRegion(2 ** 22, { backing, reserve: true }),
      OptionRefused,
      "too little room",
    );
    assertEquals([error.option, (error.cause as SystemError).code], ["reserve", "ENOSPC"]);
    const prefault = assertThrows(
      () => new MmapRegion(2 ** 22, { backing, prefault: true }),
      OptionRefused,
    );
    assertEquals([prefault.option, (prefault.cause as SystemError).code], ["prefault", "EFAULT"]);
    file.truncateSync(0);
    file.truncateSync(2 ** 19);
    new MmapRegion(2 ** 19, { backing, reserve: true }).close();
    assertEquals(Deno.statSync(path).blocks, 2 ** 19 / 512);
  } finally {
    new Deno.Command("umount", { args: [directory] }).outputSync();
    Deno.removeSync(directory);
  }
});

linuxTest("huge pages that the pool does not have are refused when they are mapped", () => {
  for (const make of [Backing.anonymous, Backing.memfd]) {
    const error = assertThrows(
      () => new MmapRegion(2 ** 40, { backing: make({ hugePages: HUGE }) }),
      OptionRefused,
      "the pool has too few",
    );
    assertEquals([error.option, (error.cause as SystemError).code], ["hugePages", "ENOMEM"]);
  }
});

hugePagesTest("prefault of huge pages that are not reserved says that the pool is empty", 2, () => {
  const backing = Backing.memfd({ hugePages: HUGE });
  const free = Number(
    /^HugePages_Free: +(\d+)$/m.exec(Deno.readTextFileSync("/proc/meminfo"))![1],
  );
  const error = assertThrows(
    () => new MmapRegion((free + 4) * HUGE, { backing, reserve: false, prefault: true }),
    OptionRefused,
  );
  assertEquals([error.option, (error.cause as SystemError).code], ["prefault", "EFAULT"]);
  using region = new MmapRegion(2 * HUGE, { backing, prefault: true });
  assertEquals([region.isHugetlbfs, region.len], [true, 2 * HUGE]);
});

linuxTest("what another user may not have is refused by name, with the cause", async () => {
  const { code, signal, stdout, stderr } = await runProgram("unprivileged");
  assertEquals([code, signal, stderr], [0, null, ""]);
  const found = JSON.parse(stdout);
  if (found === "no other user") return console.log("not shown: this process cannot become one");
  assertEquals(found, {
    lock: ["OptionRefused", "lock", "mlock2 ENOMEM", "RLIMIT_MEMLOCK"],
    lockAll: ["OptionRefused", "lock", "mlock ENOMEM", "RLIMIT_MEMLOCK"],
    memfd: "completed",
    prefault: "completed",
    dontDump: "completed",
    mergeable: "completed",
    capabilities: [true, true, true],
  });
});

linuxTest("without --allow-ffi every backing is LibcUnavailable", async () => {
  const url = new URL("../../../mod.ts", import.meta.url);
  const source = `import { Backing, capabilities, LibcUnavailable, MmapRegion } from "${url}";
    const names = [];
    for (const use of [
      () => capabilities(),
      ...[Backing.anonymous(), Backing.memfd(), Backing.file(0), Backing.foreign(4096n)]
        .map((backing) => () => new MmapRegion(4096, { backing })),
    ]) {
      try { use(); } catch (error) { names.push(error instanceof LibcUnavailable); }
    }
    console.log(names.join());`;
  const { stdout } = await runDeno(["--allow-read", "-"], source);
  assertEquals(stdout, "true,true,true,true,true");
});

Deno.test("populating() is for writing where that is allowed", () => {
  const { No, Read, Write, ReadWrite } = Permissions;
  assertEquals([Read, Write, ReadWrite].map(populating), [
    ...["populate-read", "populate-write", "populate-write"],
  ]);
  assertThrows(() => populating(No), OptionRefused, "nothing may be accessed");
});
