import { assertEquals } from "@std/assert";
import { Permissions } from "../mod.ts";

const ALL = [0, 1, 2, 3] as const;

Deno.test("Permissions are the bits 1 to read and 2 to write", () => {
  const { No, Read, Write, ReadWrite } = Permissions;
  assertEquals([No, Read, Write, ReadWrite], [0, 1, 2, 3]);
});

Deno.test("Permissions.allow() needs every right that is wanted", () => {
  const table = ALL.map((granted) => ALL.map((wanted) => Permissions.allow(granted, wanted)));
  assertEquals(table, [
    [true, false, false, false],
    [true, true, false, false],
    [true, false, true, false],
    [true, true, true, true],
  ]);
});

Deno.test("Permissions.hasWrite() looks at the right to write only", () => {
  assertEquals(ALL.map(Permissions.hasWrite), [false, false, true, true]);
});
