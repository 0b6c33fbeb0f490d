import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { availableMemory, processSecret, readSystemFile, totalMemory } from "../../ffi/process.ts";
import { runDeno } from "../backend/mmap/crash/run.ts";
import { linuxTest } from "../support/linux_test.ts";
import { withSystemFiles } from "../support/system_files.ts";
import { temporaryFile } from "../support/temporary_file.ts";
import { count } from "../support/values.ts";

const module = new URL("../../ffi/process.ts", import.meta.url).href;

Deno.test("processSecret() is two words, the same each time", () => {
  const secret = processSecret();
  assertEquals([secret.length, secret.constructor], [2, Uint32Array]);
  assertEquals([...processSecret()], [...secret]);
});

Deno.test("processSecret() is the same in every thread of the process", async () => {
  const code = `import { processSecret } from "${module}"; postMessage([...processSecret()]);`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  const answer = await new Promise((resolve) => {
    worker.onmessage = ({ data }) => resolve(data);
  });
  worker.terminate();
  assertEquals(answer, [...processSecret()]);
});

linuxTest("processSecret() of another process is another", async () => {
  const { stdout, code } = await runDeno(
    ["--allow-ffi", "-"],
    `import { processSecret } from "${module}"; console.log(JSON.stringify([...processSecret()]));`,
  );
  assertEquals(code, 0);
  assertNotEquals(JSON.parse(stdout), [...processSecret()]);
});

linuxTest("readSystemFile() reads a text of any length, also one whose size is unknown", () => {
  assertEquals(readSystemFile("/proc/self/comm"), Deno.readTextFileSync("/proc/self/comm"));
  // More than one part, and a character over their boundary.
  const text = `${"a".repeat(2 ** 16 - 1)}é${"ü".repeat(2 ** 17)}`;
  using file = temporaryFile(new TextEncoder().encode(text));
  assertEquals(readSystemFile(file.path), text);
  using empty = temporaryFile(0);
  assertEquals(readSystemFile(empty.path), "");
});

linuxTest("readSystemFile() is undefined for what cannot be read, and leaves nothing open", () => {
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  using file = temporaryFile(count(8));
  readSystemFile(file.path);
  const before = open();
  for (let i = 0; i < 8; i++) {
    assertEquals(readSystemFile("/proc/self/none"), undefined);
    // A folder opens, but cannot be read.
    assertEquals(readSystemFile("/proc/self"), undefined);
    assertEquals(readSystemFile(file.path)?.length, 8);
  }
  assertEquals(open(), before);
});

linuxTest("readSystemFile() needs no permission but FFI", async () => {
  const { stdout, stderr, code } = await runDeno(
    ["--allow-ffi", "-"],
    `import { readSystemFile } from "${module}"; console.log(readSystemFile("/proc/self/maps").length);`,
  );
  assertEquals([code, stderr], [0, ""]);
  assert(Number(stdout) > 100);
});

linuxTest("availableMemory() is not more than the host has, and more than nothing", () => {
  const total = /^MemTotal: +(\d+) kB$/m.exec(Deno.readTextFileSync("/proc/meminfo"))![1];
  const available = availableMemory();
  assert(available > 2 ** 20 && available <= Number(total) * 1024, `${available} of ${total} kB`);
});

linuxTest("availableMemory() and totalMemory() are what the host says, in bytes", () => {
  const none = { "/proc/self/cgroup": undefined };
  const meminfo = "MemTotal:       2000 kB\nMemFree:  10 kB\nMemAvailable:    500 kB\n";
  withSystemFiles({ ...none, "/proc/meminfo": meminfo }, () => {
    assertEquals([availableMemory(), totalMemory()], [500 * 1024, 2000 * 1024]);
  });
  for (const text of [undefined, "MemFree:  10 kB\n"]) {
    withSystemFiles({ ...none, "/proc/meminfo": text }, () => {
      assertEquals([availableMemory(), totalMemory()], [Infinity, Infinity]);
    });
  }
});

linuxTest("availableMemory() is what the tightest control group leaves", () => {
  const group = (path: string, max: string, current: number) => ({
    [`/sys/fs/cgroup${path}/memory.max`]: `${max}\n`,
    [`/sys/fs/cgroup${path}/memory.current`]: `${current}\n`,
    [`/sys/fs/cgroup${path}/memory.stat`]: "anon 7\ninactive_file 300\nactive_file 20\nslab 5\n",
  });
  const host = {
    "/proc/meminfo": "MemAvailable:  500 kB\n",
    "/proc/self/cgroup": "1:name=systemd:/x\n0::/outer/inner\n",
  };
  const cases = [
    [{ ...group("/outer/inner", "max", 1), ...group("/outer", "9000", 4000) }, 5320],
    [{ ...group("/outer/inner", "6000", 4000), ...group("/outer", "9000", 4000) }, 2320],
    [{ ...group("/outer/inner", "6000", 7000), ...group("/outer", "max", 0) }, 0],
    [group("/outer/inner", `${2 ** 40}`, 0), 500 * 1024],
  ] as const;
  for (const [groups, expected] of cases) {
    withSystemFiles({ ...host, ...groups }, () => assertEquals(availableMemory(), expected));
  }
});

linuxTest("processSecret() is random, not the number of the process", () => {
  assertNotEquals(processSecret(), Uint32Array.of(Deno.pid, 0));
});
