import { assertEquals } from "@std/assert";
import { cpio, type CpioEntry, foldersOf } from "../../../examples/guest/cpio.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (text: string) => new TextEncoder().encode(text);

/** What the format says, read by itself. */
function entriesOf(archive: Uint8Array): { name: string; fields: number[]; data: string }[] {
  const entries = [];
  for (let position = 0; position < archive.length;) {
    assertEquals(text(archive.subarray(position, position + 6)), "070701");
    const fields = Array.from({ length: 13 }, (_, index) => {
      const start = position + 6 + index * 8;
      return parseInt(text(archive.subarray(start, start + 8)), 16);
    });
    const [length, nameLength] = [fields[6]!, fields[11]!];
    const name = text(archive.subarray(position + 110, position + 110 + nameLength - 1));
    assertEquals(archive[position + 110 + nameLength - 1], 0);
    position = Math.ceil((position + 110 + nameLength) / 4) * 4;
    const data = text(archive.subarray(position, position + length));
    position = Math.ceil((position + length) / 4) * 4;
    entries.push({ name, fields, data });
  }
  return entries;
}

Deno.test("cpio() writes what the kernel reads", () => {
  const entries: CpioEntry[] = [
    { path: "d", kind: "folder" },
    { path: "d/script", kind: "file", data: bytes("12345"), executable: true },
    { path: "d/text", kind: "file", data: bytes("") },
    { path: "link", kind: "link", target: "d/text" },
    { path: "console", kind: "character device", major: 5, minor: 1 },
  ];
  const read = entriesOf(cpio(entries));
  assertEquals(read.map(({ name }) => name), [
    "d",
    "d/script",
    "d/text",
    "link",
    "console",
    "TRAILER!!!",
  ]);
  assertEquals(read.map(({ data }) => data), ["", "12345", "", "d/text", "", ""]);
  const modes = [0o040755, 0o100755, 0o100644, 0o120777, 0o020600, 0];
  assertEquals(read.map(({ fields }) => fields[1]), modes);
  assertEquals(read.map(({ fields }) => fields.slice(9, 11)), [
    [0, 0],
    [0, 0],
    [0, 0],
    [0, 0],
    [5, 1],
    [0, 0],
  ]);
  // Files with one inode would be links of one file.
  assertEquals(new Set(read.map(({ fields }) => fields[0])).size, read.length);
});

Deno.test("cpio() pads names and data of every length", () => {
  for (let length = 1; length < 9; length++) {
    const name = "n".repeat(length);
    const data = "d".repeat(9 - length);
    const [first] = entriesOf(cpio([{ path: name, kind: "file", data: bytes(data) }]));
    assertEquals([first!.name, first!.data], [name, data]);
  }
});

Deno.test("foldersOf() has each folder, outer ones first", () => {
  const folders = foldersOf(["init", "a/b/c", "a/d", "mnt/"]);
  assertEquals(folders.map(({ path }) => path), ["a", "a/b", "mnt"]);
});
