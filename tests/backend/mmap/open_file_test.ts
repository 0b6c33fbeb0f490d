import { assertEquals, assertThrows } from "@std/assert";
import { open } from "node:fs/promises";
import {
  Backing,
  Fd,
  FileOffset,
  GuestMemoryMmap,
  type OpenFile,
  pageSize,
  PositionedFd,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { openFile } from "../../support/posix.ts";
import { gpa } from "../../support/values.ts";

const PAGE = pageSize();

// A file of a page of threes, opened in each way.
async function eachWay(run: (file: OpenFile) => void): Promise<void> {
  using content = openFile(new Uint8Array(PAGE).fill(3));
  run(content.fd);
  using file = Deno.openSync(content.path, { read: true, write: true });
  run(file);
  const handle = await open(content.path, "r+");
  try {
    run(handle);
  } finally {
    await handle.close();
  }
}

linuxTest("Fd transfers through a descriptor, a Deno.FsFile and a FileHandle", async () => {
  await eachWay((file) => {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), 2 * PAGE]]);
    const stream = new Fd(file);
    assertEquals(stream.file, file);
    memory.readExactVolatileFrom(gpa(0), stream.at(1), 7);
    memory.readExactVolatileFrom(gpa(PAGE), new PositionedFd(file, 0), PAGE);
    assertEquals([memory.isZero(gpa(7), PAGE - 7), memory.isZero(gpa(PAGE), PAGE)], [true, false]);
    memory.readExactVolatileFrom(gpa(8), stream, 2);
    assertEquals(memory.readVolatileFrom(gpa(0), stream, 2 * PAGE), PAGE - 2);
  });
});

linuxTest("a file is mapped through a descriptor, a Deno.FsFile and a FileHandle", async () => {
  await eachWay((file) => {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE]], { backing: Backing.file(file) });
    const bytes = new Uint8Array(2);
    memory.readSlice(bytes, gpa(PAGE - 2));
    assertEquals(bytes, Uint8Array.of(3, 3));
    assertEquals(new FileOffset(file).file, file);
  });
});

linuxTest("a FileHandle that is closed is no file", async () => {
  const handle = await open(import.meta.filename!, "r");
  await handle.close();
  for (const make of [() => new Fd(handle), () => new FileOffset(handle)]) {
    assertThrows(make, RangeError, "as fd: not a file descriptor");
  }
});

linuxTest("what is no file is refused, and the descriptor of a file is read once", () => {
  for (
    const junk of [undefined, null, "file", Symbol("file"), () => 3] as unknown[] as OpenFile[]
  ) {
    assertThrows(() => new Fd(junk), TypeError, "a Deno.FsFile or a FileHandle");
  }
  for (const fd of [-1, 1.5, NaN, 2 ** 31, "3", undefined] as unknown[] as number[]) {
    assertThrows(() => new Fd({ fd }), RangeError, "not a file descriptor");
  }
  let reads = 0;
  const file = {
    get fd(): number {
      return reads++ === 0 ? 0 : -1;
    },
  };
  assertEquals(new Fd(file).fd, 0);
  assertEquals(reads, 1);
});
