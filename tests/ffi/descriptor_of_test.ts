import { assertEquals, assertThrows } from "@std/assert";
import { descriptorOf } from "../../ffi/descriptor_of.ts";
import { accessMode, fileStatus } from "../../ffi/file.ts";
import { libc } from "../../ffi/libc.ts";
import { linuxTest } from "../support/linux_test.ts";
import { openFile } from "../support/posix.ts";

linuxTest("descriptorOf() finds the descriptor of each of many files of one inode", () => {
  using content = openFile(new Uint8Array(100));
  const files = Array.from({ length: 4 }, () => Deno.openSync(content.path, { read: true }));
  try {
    for (const [i, file] of files.entries()) file.seekSync(1 + i * 10, Deno.SeekMode.Start);
    const found = files.map(descriptorOf);
    assertEquals(new Set(found).size, files.length);
    for (const [i, fd] of found.entries()) {
      assertEquals(fileStatus(fd).inode, fileStatus(content.fd).inode);
      assertEquals(files[i]!.seekSync(0, Deno.SeekMode.Current), 1 + i * 10);
    }
  } finally {
    for (const file of files) file.close();
  }
});

linuxTest("descriptorOf() opens nothing that stays open", () => {
  using content = openFile(new Uint8Array(1));
  using file = Deno.openSync(content.path, { read: true, write: true });
  const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
  descriptorOf(file);
  const before = open();
  for (let i = 0; i < 20; i++) descriptorOf(file);
  assertEquals(open(), before);
});

linuxTest("descriptorOf() of a file that cannot seek is a TypeError", () => {
  const file = {
    seekSync(): never {
      throw new Error("Illegal seek");
    },
    statSync: () => ({ dev: 1, ino: 1 }),
  };
  assertThrows(() => descriptorOf(file), TypeError, "pass a raw fd");
});

linuxTest("descriptorOf() finds a descriptor above 1,024", () => {
  using content = openFile(new Uint8Array(1));
  const below = Array.from({ length: 1100 }, () => Deno.openSync("/dev/null"));
  using file = Deno.openSync(content.path, { read: true });
  file.seekSync(1, Deno.SeekMode.Start);
  for (const opened of below) opened.close();
  assertEquals(descriptorOf(file) > 1024, true);
});

linuxTest("descriptorOf() tries each number where no folder lists the descriptors", () => {
  const { platform } = libc();
  const { descriptorFolder } = platform;
  for (const folder of [undefined, "/nowhere"]) {
    using content = openFile(new Uint8Array(9));
    using file = Deno.openSync(content.path);
    file.seekSync(7, Deno.SeekMode.Start);
    try {
      Object.assign(platform, { descriptorFolder: folder });
      const { inode } = fileStatus(descriptorOf(file));
      assertEquals(inode, fileStatus(content.fd).inode);
    } finally {
      Object.assign(platform, { descriptorFolder });
    }
  }
});

linuxTest("descriptorOf() searches again when what it found is another file, or elsewhere", () => {
  using content = openFile(new Uint8Array(9));
  using other = openFile(new Uint8Array(9));
  const lowest = Deno.openSync(content.path);
  using file = Deno.openSync(content.path);
  for (const each of [lowest, file]) each.seekSync(3, Deno.SeekMode.Start);
  const first = descriptorOf(file);
  assertEquals(descriptorOf(file), first);
  lowest.close();
  // Nothing has the number, then another file, then the same file in another mode.
  const second = descriptorOf(file);
  assertEquals(fileStatus(second).inode, fileStatus(content.fd).inode);
  assertEquals(second > first, true);
  {
    using taker = Deno.openSync(other.path);
    taker.seekSync(3, Deno.SeekMode.Start);
    assertEquals([descriptorOf(taker), descriptorOf(file)], [first, second]);
  }
  using writer = Deno.openSync(content.path, { write: true });
  writer.seekSync(3, Deno.SeekMode.Start);
  assertEquals(descriptorOf(file), second);
  file.seekSync(5, Deno.SeekMode.Start);
  assertEquals(descriptorOf(file), second);
});

linuxTest("descriptorOf() does not take what has got the number that it found before", () => {
  using content = openFile(new Uint8Array(9));
  using other = openFile(new Uint8Array(9));
  // At the same position: another file, and the same one in another mode.
  for (const [path, options] of [[other.path, { read: true }], [content.path, { write: true }]]) {
    const lowest = Deno.openSync(content.path);
    using file = Deno.openSync(content.path);
    for (const each of [lowest, file]) each.seekSync(3, Deno.SeekMode.Start);
    const before = descriptorOf(file);
    lowest.close();
    using taker = Deno.openSync(path as string, options as Deno.OpenOptions);
    taker.seekSync(3, Deno.SeekMode.Start);
    if (path === other.path) {
      assertEquals(fileStatus(before).inode, fileStatus(other.fd).inode);
      assertEquals(fileStatus(descriptorOf(file)).inode, fileStatus(content.fd).inode);
    } else {
      assertEquals(accessMode(before), "write");
      assertThrows(() => descriptorOf(file), TypeError, "may be any of");
    }
  }
});
