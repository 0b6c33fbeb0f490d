import { assertEquals, assertThrows } from "@std/assert";
import {
  Backing,
  FileOffset,
  GuestMemoryMmap,
  MappingPastEof,
  type RegionDescription,
  u32,
  u8,
} from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { temporaryFile } from "../../support/temporary_file.ts";
import { gpa } from "../../support/values.ts";

const PAGE = 4096;
const MOD = new URL("../../../mod.ts", import.meta.url).href;

linuxTest("describe() names each region, in numbers and text that JSON can take", () => {
  using file = temporaryFile(8 * PAGE);
  using opened = Deno.openSync(file.path, { read: true, write: true });
  using memory = GuestMemoryMmap.fromRanges([
    [gpa(0), 4 * PAGE, { backing: Backing.memfd() }],
    [gpa(4 * PAGE), PAGE],
    [gpa(8 * PAGE), 2 * PAGE, { backing: Backing.file(new FileOffset(opened, 3 * PAGE)) }],
    [gpa(16 * PAGE), PAGE, { backing: Backing.file(opened, { private: true }) }],
  ]);
  const described = memory.describe();
  assertEquals(JSON.parse(JSON.stringify(described)), described);
  assertEquals(
    described.map((
      { startAddr, len, fdOffset, pageSize, kind, fd },
    ) => [startAddr, len, fdOffset, pageSize, kind, fd === null]),
    [
      [0, 4 * PAGE, 0, PAGE, "memfd", false],
      [4 * PAGE, PAGE, 0, PAGE, "anonymous", true],
      [8 * PAGE, 2 * PAGE, 3 * PAGE, PAGE, "file", false],
      // What it wrote is not in the file.
      [16 * PAGE, PAGE, 0, PAGE, "file", true],
    ],
  );
  const addresses = [...memory].map(({ mmap }) => Number(mmap.hostAddress()));
  assertEquals(described.map(({ hostAddress }) => hostAddress), addresses);
});

linuxTest("fromDescription() maps the same bytes at the same guest addresses", () => {
  const backing = Backing.memfd();
  using memory = GuestMemoryMmap.fromRanges([
    [gpa(0), 4 * PAGE],
    [gpa(PAGE * 4), PAGE],
    [gpa(100 * PAGE), PAGE],
  ], { backing });
  using other = GuestMemoryMmap.fromRanges([[gpa(200 * PAGE), PAGE]], { backing: Backing.memfd() });
  const described = [...memory.describe(), ...other.describe()];
  const fds = [...new Set(described.map(({ fd }) => fd!))];
  assertEquals(fds.length, 2);
  using same = GuestMemoryMmap.fromDescription(JSON.parse(JSON.stringify(described)), fds);
  memory.writeObj(u32, 0x01020304, gpa(4 * PAGE - 2));
  other.writeObj(u8, 7, gpa(200 * PAGE));
  assertEquals(same.readObj(u32, gpa(4 * PAGE - 2)), 0x01020304);
  assertEquals(same.readObj(u8, gpa(200 * PAGE)), 7);
  same.writeObj(u8, 9, gpa(100 * PAGE));
  assertEquals(memory.readObj(u8, gpa(100 * PAGE)), 9);
  assertEquals([...memory][0]!.mmap.fdsOverlap([...same][0]!.mmap), true);
  assertEquals([...memory][0]!.mmap.fdsOverlap([...same][1]!.mmap), false);
  // It stays when the memory that described it is closed.
  memory.close();
  assertEquals(same.readObj(u8, gpa(100 * PAGE)), 9);
});

linuxTest("fromDescription() refuses descriptions that others may have sent", () => {
  using memory = GuestMemoryMmap.fromRanges([[gpa(0), PAGE]], { backing: Backing.memfd() });
  const [good] = memory.describe() as [RegionDescription];
  const fds = [good.fd!];
  const from = (changed: object, files: (Deno.FsFile | number)[] = fds) => () =>
    GuestMemoryMmap.fromDescription([{ ...good, ...changed }], files);
  assertThrows(from({ fd: null }), TypeError, "no descriptor");
  assertThrows(from({ fd: "3" }), TypeError, "no descriptor");
  assertThrows(from({}, []), RangeError, "0 descriptors were given");
  assertThrows(from({ len: 2 * PAGE }), MappingPastEof);
  assertThrows(from({ fdOffset: PAGE }), MappingPastEof);
  for (const startAddr of [-1, 0.5, 2 ** 53, "0", undefined]) {
    assertThrows(from({ startAddr }), Error);
  }
  for (const len of [-1, 0, 0.5, 2 ** 53, NaN]) assertThrows(from({ len }), Error);
  for (const fdOffset of [-1, 0.5, NaN]) assertThrows(from({ fdOffset }), RangeError);
  assertThrows(() => GuestMemoryMmap.fromDescription([good, good], fds), Error, "overlap");
  let asked = 0;
  const changing = {
    ...good,
    get len() {
      return asked++ === 0 ? PAGE : 2 ** 40;
    },
  };
  using read = GuestMemoryMmap.fromDescription([changing], fds);
  assertEquals([...read][0]!.len, PAGE);
});

linuxTest(
  "fromDescription() refuses a descriptor for each region where regions share a file",
  () => {
    const [first, second] = [{ backing: Backing.memfd() }, { backing: Backing.memfd() }];
    using memory = GuestMemoryMmap.fromRanges([
      [gpa(0), PAGE, first],
      [gpa(2 * PAGE), PAGE, first],
      [gpa(4 * PAGE), PAGE, second],
    ]);
    const described = memory.describe();
    // The third region would get the second descriptor, which is the first file's.
    assertThrows(
      () => GuestMemoryMmap.fromDescription(described, described.map(({ fd }) => fd!)),
      RangeError,
      "3 descriptors were given, the descriptions name 2",
    );
  },
);

linuxTest("fromDescription() attaches memory of another process by /proc/PID/fd", async () => {
  // As a QEMU with a memfd backend has it.
  const program = `
    const { Backing, GuestAddress, GuestMemoryMmap, u8 } = await import("${MOD}");
    const options = { backing: Backing.memfd({ name: "ram" }) };
    using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 16384]], options);
    memory.writeObj(u8, 42, GuestAddress(5000));
    console.log(memory.describe()[0].fd);
    await Deno.stdin.read(new Uint8Array(1));
    console.log(memory.readObj(u8, GuestAddress(5001)));`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", program],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const fd = parseInt((await lines.read()).value!);
  {
    using file = Deno.openSync(`/proc/${child.pid}/fd/${fd}`, { read: true, write: true });
    const description = { startAddr: 0x1000, len: 8192, fd, fdOffset: 4096 };
    using memory = GuestMemoryMmap.fromDescription([description as RegionDescription], [file]);
    assertEquals(memory.readObj(u8, gpa(0x1000 + 5000 - 4096)), 42);
    memory.writeObj(u8, 43, gpa(0x1000 + 5001 - 4096));
    const input = child.stdin.getWriter();
    await input.write(new TextEncoder().encode("\n"));
    await input.close();
  }
  assertEquals((await lines.read()).value!.trim(), "43");
  await lines.cancel();
  await child.status;
});
