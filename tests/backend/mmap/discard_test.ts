/** The matrix of backings and what gives their memory back, by the kernel's word. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  AtomicBitmap,
  Backing,
  FileOffset,
  GuestAddress,
  GuestMemoryMmap,
  InvalidHandle,
  type MmapOptions,
  OptionRefused,
  OutOfBounds,
  Permissions,
  SystemError,
} from "../../../mod.ts";
import { closeDescriptor, duplicate } from "../../../ffi/descriptor.ts";
import { discardPages } from "../../../src/backend/mmap/discard.ts";
import type { Mapping } from "../../../src/backend/mmap/mapping.ts";
import { hugePagesTest } from "../../support/huge_pages.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { open } from "../../support/posix.ts";
import { mappingAt, residentIn } from "../../support/proc_maps.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { gpa } from "../../support/values.ts";

const PAGE = 4096;
const SIZE = 16 * PAGE;
const { Read, ReadWrite } = Permissions;

/** Memory of one kind, and its file where it has one. */
interface Case {
  readonly options: MmapOptions;
  /** The file, to be closed. */
  readonly file?: Deno.FsFile;
  /** Path of the file, of which a shared mapping gives back the blocks. */
  readonly path?: string;
  /** Whether the file has to stay as it is. */
  readonly isPrivate?: boolean;
}

/** A file of `SIZE` bytes 0x33 in a directory. */
function fileIn(directory: string): { path: string } & Disposable {
  const path = Deno.makeTempFileSync({ dir: directory });
  Deno.writeFileSync(path, new Uint8Array(SIZE).fill(0x33));
  return { path, [Symbol.dispose]: () => Deno.removeSync(path) };
}

function inFile(path: string, isPrivate: boolean, write = true): Case {
  const file = Deno.openSync(path, { read: true, write });
  return {
    options: { backing: Backing.file(file, { private: isPrivate }) },
    path,
    isPrivate,
    file,
  };
}

const KINDS: Record<string, (path: string) => Case> = {
  "anonymous": () => ({ options: {} }),
  "anonymous, transparent huge pages": () => ({ options: { transparentHugePages: true } }),
  "anonymous, locked": () => ({ options: { lock: true } }),
  "anonymous, locked on fault": () => ({ options: { lock: "onfault" } }),
  "anonymous, guard pages": () => ({ options: { guardPages: true } }),
  "anonymous, shared": () => ({ options: { backing: Backing.anonymous({ shared: true }) } }),
  "anonymous, shared, locked": () => ({
    options: { backing: Backing.anonymous({ shared: true }), lock: true },
  }),
  "memfd, sealed": () => ({ options: { backing: Backing.memfd() } }),
  "memfd, not sealed": () => ({ options: { backing: Backing.memfd({ seal: false }) } }),
  "memfd, locked": () => ({ options: { backing: Backing.memfd(), lock: true } }),
  "file, shared": (path) => inFile(path, false),
  "file, private": (path) => inFile(path, true),
  "file, private, locked": (path) => {
    const { options, ...rest } = inFile(path, true);
    return { options: { ...options, lock: true }, ...rest };
  },
  "read-only file, private": (path) => inFile(path, true, false),
};

function blocksOf(memory: GuestMemoryMmap, path: string | undefined): number {
  const { fd } = memory.describe()[0]!;
  const file = path ?? (fd === null ? undefined : `/proc/self/fd/${fd}`);
  return file === undefined ? 0 : Deno.statSync(file).blocks!;
}

function residentOf(memory: GuestMemoryMmap, offset: number, length: number): number {
  const ranges = memory.residentRanges();
  return ranges.reduce((sum, [start, count]) => {
    const common = Math.min(start + count, offset + length) - Math.max(start, offset);
    return sum + Math.max(0, common);
  }, 0);
}

for (const directory of ["/tmp", "/dev/shm"]) {
  for (const [name, make] of Object.entries(KINDS)) {
    // Only files depend on where they are.
    if (directory !== "/tmp" && !name.includes("file")) continue;
    linuxTest(`discard() of ${name}${name.includes("file") ? ` in ${directory}` : ""}`, () => {
      using file = fileIn(directory);
      const { options, path, isPrivate = false, file: opened } = make(file.path);
      using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]], {
        ...options,
        bitmap: (length) => new AtomicBitmap(length, PAGE),
      });
      opened?.close();
      memory.fill(gpa(0), SIZE, 0x5a);
      const { mmap, bitmap } = memory.findRegion(gpa(0))!;
      const rss = () => residentIn(mmap.hostAddress(), SIZE);
      assertEquals(mmap.residentBytes(), SIZE);
      const before = blocksOf(memory, path);
      const rssBefore = rss();
      bitmap.reset();
      assertEquals(memory.discard(gpa(1), PAGE), 0);
      assertEquals([...bitmap.dirtyRuns()], []);

      // Whole pages inside: 2 to 14.
      const givenBack = memory.discard(gpa(PAGE + 100), 14 * PAGE - 200);
      assertEquals(givenBack, 12 * PAGE);
      assertEquals([...bitmap.dirtyRuns()], [[2 * PAGE, 12 * PAGE]]);
      // A file system may unmap more of its page cache.
      const given = rssBefore - rss();
      assert(
        name.includes("huge") || given >= 12 * PAGE && (path !== undefined || given === 12 * PAGE),
      );
      if (!isPrivate && path === undefined) {
        assertEquals(residentOf(memory, 2 * PAGE, 12 * PAGE), 0);
      }
      // Before anything is read: reading a hole of tmpfs takes a page.
      const blocks = before - blocksOf(memory, path);
      assertEquals(blocks, isPrivate || before === 0 ? 0 : 12 * PAGE / 512);
      const bytes = new Uint8Array(SIZE);
      memory.readSlice(bytes, gpa(0));
      const expected = new Uint8Array(SIZE).fill(0x5a).fill(0, 2 * PAGE, 14 * PAGE);
      assertEquals(bytes, expected);
      assertEquals(memory.isZero(gpa(2 * PAGE), 12 * PAGE), true);
      assertEquals(memory.isZero(gpa(2 * PAGE - 1), 12 * PAGE), false);

      if (isPrivate) {
        assertEquals(Deno.readFileSync(path!), new Uint8Array(SIZE).fill(0x33));
      }
      // It can be written, and given back, again; the rest too.
      memory.fill(gpa(0), SIZE, 0x77);
      assertEquals(memory.discard(gpa(0), SIZE), SIZE);
      assertEquals(memory.isZero(gpa(0), SIZE), true);
      if (isPrivate) assertEquals(Deno.readFileSync(path!)[0], 0x33);
    });
  }
}

for (
  const [name, make] of [
    ["anonymous", () => Backing.anonymous({ hugePages: 2 ** 21 })],
    ["memfd", () => Backing.memfd({ hugePages: 2 ** 21 })],
  ] as const
) {
  hugePagesTest(`discard() of huge pages, ${name}, in their granules`, 4, () => {
    const size = 2 ** 23;
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), size]], { backing: make() });
    memory.fill(gpa(0), size, 0x5a);
    assertEquals(memory.discard(gpa(PAGE), size - PAGE), 3 * 2 ** 21);
    assertEquals(memory.isZero(gpa(2 ** 21), 3 * 2 ** 21), true);
    assertEquals(memory.isZero(gpa(2 ** 21 - 1), 1), false);
    assertEquals([...memory][0]!.isHugetlbfs, true);
  });
}

linuxTest("discard() of read-only memory needs a descriptor that can be written", () => {
  using file = fileIn("/tmp");
  const protection = Read;
  {
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]], {
      backing: Backing.memfd(),
    });
    memory.fill(gpa(0), SIZE, 7);
    const { mmap } = memory.findRegion(gpa(0))!;
    mmap.protect(Read);
    assertEquals(memory.discard(gpa(0), SIZE), SIZE);
    assertEquals(memory.isZero(gpa(0), SIZE), true);
  }
  using opened = Deno.openSync(file.path);
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]], {
    backing: Backing.file(opened),
    protection,
  });
  const error = assertThrows(() => memory.discard(gpa(0), SIZE), OptionRefused, "read only");
  assertEquals(error.option, "discard");
  assertEquals(Deno.readFileSync(file.path)[5], 0x33);
  using shared = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]], {
    backing: Backing.anonymous({ shared: true }),
    protection,
  });
  // Linux before 6.8 refuses where the memory may not be written now.
  try {
    assertEquals(shared.discard(gpa(0), SIZE), SIZE);
  } catch (error) {
    assert(error instanceof SystemError && error.code === "EACCES");
  }
});

linuxTest("discard() of a part of a file takes the room of that part only", () => {
  using file = fileIn("/tmp");
  using opened = Deno.openSync(file.path, { read: true, write: true });
  const backing = Backing.file(new FileOffset(opened, 4 * PAGE));
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), 4 * PAGE]], { backing });
  memory.findRegion(gpa(0))!.mmap.protect(Read);
  assertEquals(memory.discard(gpa(PAGE), PAGE), PAGE);
  const expected = new Uint8Array(SIZE).fill(0x33).fill(0, 5 * PAGE, 6 * PAGE);
  assertEquals(Deno.readFileSync(file.path), expected);
});

linuxTest("discard() refuses a descriptor whose number is another file's now", () => {
  using file = fileIn("/tmp");
  using another = fileIn("/tmp");
  using opened = Deno.openSync(file.path, { read: true, write: true });
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]], { backing: Backing.file(opened) });
  memory.findRegion(gpa(0))!.mmap.protect(Read);
  const fd = memory.describe()[0]!.fd!;
  using other = open(another.path, "r+");
  closeDescriptor(fd);
  // The lowest number that is free is the next one.
  assertEquals(duplicate(other.fd), fd);
  assertThrows(() => memory.discard(gpa(0), SIZE), InvalidHandle, "another file");
  for (const { path } of [file, another]) {
    assertEquals(Deno.readFileSync(path), new Uint8Array(SIZE).fill(0x33));
  }
});

linuxTest("discard() of a read-only private file leaves it read-only for the kernel too", () => {
  using file = fileIn("/tmp");
  using opened = Deno.openSync(file.path);
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]], {
    backing: Backing.file(opened, { private: true }),
    protection: Read,
  });
  assertEquals(memory.discard(gpa(PAGE), PAGE), PAGE);
  const start = memory.findRegion(gpa(0))!.mmap.hostAddress();
  assertEquals(mappingAt(start + BigInt(PAGE))!.permissions, "r--p");
});

linuxTest("discard() of a private copy of a file includes the page that its size ends in", () => {
  using file = fileIn("/tmp");
  using opened = Deno.openSync(file.path);
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE - 10]], {
    backing: Backing.file(opened, { private: true }),
  });
  assertEquals(memory.discard(gpa(SIZE - PAGE), PAGE - 10), PAGE);
});

linuxTest("discardPages() writes zeros for a lack of mappings only", () => {
  // The kernel refuses to map at an address inside a page.
  const shape = { address: 1, length: PAGE, pageSize: PAGE, kind: "file", shared: false };
  const mapping = { shape: { ...shape, options: { lock: false } }, protection: ReadWrite };
  const discard = () => discardPages(mapping as unknown as Mapping, 0, PAGE);
  assertThrows(discard, SystemError, "EINVAL");
});

linuxTest("discard() of a foreign mapping is refused", () => {
  using owner = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]]);
  const { hostAddress } = owner.describe()[0]!;
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE]], {
    backing: Backing.foreign(BigInt(hostAddress)),
  });
  assertThrows(() => memory.discard(gpa(0), SIZE), OptionRefused, "somebody else's");
});

linuxTest("discard() over regions and a hole gives back what is in each", () => {
  using memory = GuestMemoryMmap.fromRanges([
    [gpa(0), SIZE],
    [gpa(SIZE), SIZE, { backing: Backing.memfd() }],
    [gpa(4 * SIZE), SIZE, { backing: Backing.anonymous({ shared: true }) }],
  ]);
  for (const region of memory) region.mmap.fill(0, SIZE, 1);
  assertEquals(memory.discard(gpa(PAGE), 4 * SIZE), 2 * SIZE - PAGE + PAGE);
  assertEquals(memory.isZero(gpa(PAGE), 2 * SIZE - PAGE), true);
  assertEquals(memory.isZero(gpa(4 * SIZE), PAGE), true);
  assertEquals(memory.isZero(gpa(0), PAGE), false);
  assertEquals(memory.isZero(gpa(4 * SIZE), 2 * PAGE), false);
});

linuxTest("discard() of less than a page, and outside, gives nothing back", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), SIZE - 10]]);
  memory.fill(gpa(0), SIZE - 10, 1);
  assertEquals(memory.discard(gpa(1), PAGE), 0);
  assertEquals(memory.discard(gpa(0), 0), 0);
  assertEquals(memory.isZero(gpa(0), 1), false);
  const { mmap } = memory.findRegion(gpa(0))!;
  for (const [offset, count] of [[-1, 5], [0, SIZE], [1, SIZE - 10], [NaN, 1], [0, -1]] as const) {
    assertThrows(() => mmap.discard(offset, count), Error);
  }
  assertThrows(() => mmap.discard(SIZE, 1), OutOfBounds);
  // The last page belongs to the region, though its size ends inside it.
  assertEquals(mmap.discard(SIZE - PAGE, PAGE - 10), PAGE);
});

linuxTest(
  "discard() of a shared file leaves what follows in the page where the region ends",
  () => {
    using file = fileIn("/tmp");
    using opened = Deno.openSync(file.path, { read: true, write: true });
    using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE + 100]], {
      backing: Backing.file(opened),
    });
    assertEquals(memory.discard(gpa(0), PAGE + 100), PAGE);
    const expected = new Uint8Array(SIZE).fill(0x33, PAGE);
    assertEquals(Deno.readFileSync(file.path), expected);
  },
);

linuxTest(
  "discard() of a private file in many pieces keeps what cannot be replaced as zeros",
  () => {
    // Each piece that is replaced makes two mappings more, and a process may have 65,530.
    const pages = 2 ** 17;
    using file = temporaryFile(pages * PAGE);
    using opened = Deno.openSync(file.path, { read: true, write: true });
    using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), pages * PAGE]], {
      backing: Backing.file(opened, { private: true }),
    });
    let givenBack = 0;
    for (let page = 0; page < pages; page += 2) {
      givenBack += memory.discard(gpa(page * PAGE), PAGE);
    }
    assert(givenBack < pages / 2 * PAGE && givenBack > 2 ** 14 * PAGE);
    assertEquals(memory.isZero(gpa((pages - 2) * PAGE), PAGE), true);
    assertEquals(memory.isZero(gpa(0), PAGE), true);
    const { mmap } = memory.findRegion(gpa(0))!;
    assertEquals(ReadWrite, mmap.protection);
    // Zeros cannot be written to what is read-only.
    mmap.protect(Read);
    assertThrows(() => memory.discard(gpa((pages - 3) * PAGE), PAGE), SystemError, "ENOMEM");
  },
);
