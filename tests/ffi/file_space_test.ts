import { assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { fileStatus } from "../../ffi/file.ts";
import {
  allocateFile,
  canCopyRanges,
  copyRange,
  DataRuns,
  punchHole,
  setFileLength,
  syncFile,
} from "../../ffi/file_space.ts";
import { createMemfd } from "../../ffi/memfd.ts";
import { NOT_OPEN } from "../support/descriptors.ts";
import { mapPages } from "../support/mapped_pages.ts";
import { open, openFile } from "../support/posix.ts";
import { SystemError } from "../../mod.ts";
import { linuxTest } from "../support/linux_test.ts";

const PAGE = 4096;

function memfd(options: Partial<Parameters<typeof createMemfd>[0]> = {}) {
  const request = { name: "test", size: 2 * PAGE, hugePages: undefined, seal: true, ...options };
  const fd = createMemfd(request);
  return { fd, [Symbol.dispose]: () => closeDescriptor(fd) };
}

linuxTest("allocateFile() takes the room of a part, and punchHole() gives it back", () => {
  using made = memfd({ size: 8 * PAGE });
  const blocks = () => Deno.statSync(`/proc/self/fd/${made.fd}`).blocks! * 512;
  assertEquals(blocks(), 0);
  allocateFile(made.fd, 2 * PAGE, 3 * PAGE);
  assertEquals(blocks(), 3 * PAGE);
  {
    using memory = mapPages(8, { fd: made.fd });
    memory.bytes.fill(7, 2 * PAGE, 5 * PAGE);
    punchHole(made.fd, 3 * PAGE, PAGE);
    assertEquals([blocks(), fileStatus(made.fd).size], [2 * PAGE, 8 * PAGE]);
    assertEquals([2, 3, 4].map((n) => memory.bytes[n * PAGE]), [7, 0, 7]);
  }
  for (const [call, fd] of [["fallocate", NOT_OPEN]] as const) {
    for (const run of [allocateFile, punchHole]) {
      const error = assertThrows(() => run(fd, 0, PAGE), SystemError);
      assertEquals([error.call, error.code], [call, "EBADF"]);
    }
  }
});

linuxTest("allocateFile() beyond the end makes the file longer", () => {
  using made = memfd({ seal: false, size: PAGE });
  allocateFile(made.fd, PAGE, PAGE);
  assertEquals(fileStatus(made.fd).size, 2 * PAGE);
});

linuxTest("punchHole() refuses a file that is open to read only", () => {
  using file = openFile(new Uint8Array(PAGE).fill(7));
  using reading = open(file.path, "r");
  const error = assertThrows(() => punchHole(reading.fd, 0, PAGE), SystemError);
  assertEquals([error.code, file.content[0]], ["EBADF", 7]);
});

linuxTest("DataRuns finds what is no hole, within its limits", () => {
  using made = memfd({ size: 16 * PAGE });
  allocateFile(made.fd, 2 * PAGE, PAGE);
  using memory = mapPages(16, { fd: made.fd });
  for (const page of [3, 4, 5, 9, 15]) memory.bytes[page * PAGE] = 1;
  const runs = (start: number, end: number) => {
    const found: [number, number][] = [];
    new DataRuns(made.fd).forEach(start, end, (...run) => found.push(run));
    return found.map(([start, length]) => [start / PAGE, length / PAGE]);
  };
  assertEquals(runs(3 * PAGE, 16 * PAGE), [[3, 3], [9, 1], [15, 1]]);
  assertEquals(runs(4 * PAGE, 5 * PAGE), [[4, 1]]);
  assertEquals(runs(6 * PAGE, 9 * PAGE), []);
  assertEquals(runs(10 * PAGE, 40 * PAGE), [[15, 1]]);
  assertEquals(runs(PAGE, PAGE), []);
  const error = assertThrows(() => new DataRuns(NOT_OPEN).forEach(0, 1, () => {}), SystemError);
  assertEquals([error.call, error.code], ["lseek", "EBADF"]);
});

linuxTest("DataRuns answers in any order of pieces", () => {
  using made = memfd({ size: 16 * PAGE });
  using memory = mapPages(16, { fd: made.fd });
  for (const page of [1, 3, 4, 9, 10, 12]) memory.bytes[page * PAGE] = 1;
  const data = new DataRuns(made.fd);
  const runs = (start: number, end: number) => {
    const found: [number, number][] = [];
    data.forEach(start * PAGE, end * PAGE, (...run) => found.push(run));
    return found.map(([start, length]) => [start / PAGE, length / PAGE]);
  };
  const next = (at: number, end: number) => data.next(at * PAGE, end * PAGE) / PAGE;
  assertEquals(runs(8, 11), [[9, 2]]);
  assertEquals([next(10, 16), next(11, 16), next(5, 16), next(0, 16)], [10, 12, 9, 1]);
  assertEquals(runs(2, 10), [[3, 2], [9, 1]]);
  assertEquals(runs(10, 16), [[10, 1], [12, 1]]);
  assertEquals(runs(0, 16), [[1, 1], [3, 2], [9, 2], [12, 1]]);
  assertEquals([next(3, 4), next(5, 7), next(13, 16)], [3, 7, 16]);
});

linuxTest("DataRuns takes all of a device as data", () => {
  using device = open("/dev/zero", "r");
  const found: number[] = [];
  new DataRuns(device.fd).forEach(PAGE, 3 * PAGE, (...run) => found.push(...run));
  assertEquals(found, [PAGE, 2 * PAGE]);
});

linuxTest("setFileLength() adds a hole or cuts off, and syncFile() syncs", () => {
  using file = openFile(new Uint8Array(5).fill(1));
  setFileLength(file.fd, 7);
  assertEquals(file.content, Uint8Array.of(1, 1, 1, 1, 1, 0, 0));
  setFileLength(file.fd, 2);
  syncFile(file.fd);
  assertEquals(file.content, Uint8Array.of(1, 1));
  for (const run of [() => setFileLength(NOT_OPEN, 1), () => syncFile(NOT_OPEN)]) {
    assertEquals(assertThrows(run, SystemError).code, "EBADF");
  }
});

linuxTest("copyRange() copies at a position of both files, and moves neither", () => {
  using from = openFile(Uint8Array.of(1, 2, 3, 4, 5));
  using to = openFile(new Uint8Array(4));
  assertEquals(canCopyRanges(), true);
  assertEquals(copyRange(from.fd, to.fd, 1, 2), 2);
  assertEquals(to.content, Uint8Array.of(0, 2, 3, 0));
  assertEquals(copyRange(from.fd, to.fd, 5, 2), 0);
  assertEquals([from.position, to.position], [0, 0]);
  const error = assertThrows(() => copyRange(from.fd, NOT_OPEN, 0, 1), SystemError);
  assertEquals([error.call, error.code], ["copy_file_range", "EBADF"]);
});
