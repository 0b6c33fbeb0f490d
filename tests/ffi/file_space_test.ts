import { assertEquals, assertThrows } from "@std/assert";
import { closeDescriptor } from "../../ffi/descriptor.ts";
import { fileStatus } from "../../ffi/file.ts";
import { allocateFile, punchHole } from "../../ffi/file_space.ts";
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
