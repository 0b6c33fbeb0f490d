import { assert, assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { accessMode, fileStatus, hugePageSize } from "../../ffi/file.ts";
import { fileCalls } from "../../ffi/libc.ts";
import { createMemfd } from "../../ffi/memfd.ts";
import { isCloseOnExec } from "../support/descriptors.ts";
import { mapPages } from "../support/mapped_pages.ts";
import { SystemError } from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";

const PAGE = 4096;
const pathOf = (fd: number) => Deno.readLinkSync(`/proc/self/fd/${fd}`);
const openCount = () => [...Deno.readDirSync("/proc/self/fd")].length;

// linux/fcntl.h
const F_ADD_SEALS = 1033;
const F_SEAL_WRITE = 8;

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path) !== undefined;
  } catch {
    return false;
  }
}

function memfd(options: Partial<Parameters<typeof createMemfd>[0]> = {}) {
  const request = { name: "test", size: 2 * PAGE, hugePages: undefined, seal: true, ...options };
  const fd = createMemfd(request);
  return { fd, [Symbol.dispose]: () => closeDescriptor(fd) };
}

linuxTest("createMemfd() makes a file of a size, under a name, closed on exec", () => {
  using made = memfd({ name: "guest ünïcode", size: 12_345 });
  assertEquals(pathOf(made.fd), "/memfd:guest ünïcode (deleted)");
  const { size, isRegular } = fileStatus(made.fd);
  assertEquals([size, isRegular, accessMode(made.fd)], [12_345, true, "read and write"]);
  assertEquals([isCloseOnExec(made.fd), hugePageSize(made.fd)], [true, undefined]);
  using memory = mapPages(1, { fd: made.fd });
  assert(memory.bytes.every((byte) => byte === 0));
});

linuxTest("createMemfd() seals the size, if it is asked to", () => {
  for (const seal of [true, false]) {
    using made = memfd({ seal });
    using file = Deno.openSync(`/proc/self/fd/${made.fd}`, { read: true, write: true });
    const change = (size: number) => file.truncateSync(size);
    if (seal) {
      for (const size of [0, PAGE, 4 * PAGE]) assertThrows(() => change(size));
      // No other seal can be added.
      assertEquals(fileCalls().control(made.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
      assertEquals(fileStatus(made.fd).size, 2 * PAGE);
    } else {
      change(PAGE);
      assertEquals(fileStatus(made.fd).size, PAGE);
    }
  }
});

linuxTest("createMemfd() of huge pages has pages of that size", () => {
  const hugePages = 2 ** 21;
  try {
    using made = memfd({ hugePages, size: hugePages });
    assertEquals(hugePageSize(made.fd), hugePages);
  } catch (error) {
    // Neither this kernel nor this processor has any.
    assert(error instanceof SystemError && error.call === "memfd_create", `${error}`);
    assertEquals(isThere(`/sys/kernel/mm/hugepages/hugepages-${hugePages / 1024}kB`), false);
  }
});

linuxTest("createMemfd() that fails leaves nothing open", () => {
  const before = openCount();
  // Longer than a name may be.
  const name = assertThrows(() => memfd({ name: "n".repeat(300) }), SystemError);
  assertEquals([name.call, name.code], ["memfd_create", "EINVAL"]);
  // Huge pages that no processor has.
  const huge = assertThrows(() => memfd({ hugePages: 2 ** 13 }), SystemError);
  assertEquals(huge.call, "memfd_create");
  const size = assertThrows(() => memfd({ size: -1 }), SystemError);
  assertEquals([size.call, size.code], ["ftruncate", "EINVAL"]);
  assertEquals(openCount(), before);
});
