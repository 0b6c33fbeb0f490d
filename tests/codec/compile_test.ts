import { assertEquals } from "@std/assert";

// What a page's content security policy does, V8 does by a flag.
const PROGRAM = `
  import { array, asSlice, fromSlice, struct, u16, u32 } from "${
  new URL("../../mod.ts", import.meta.url).href
}";
  let allowed = true;
  try {
    new Function("return 1");
  } catch {
    allowed = false;
  }
  const Header = struct({ type: u16, length: u32, tail: array(u16, 2) });
  const bytes = asSlice(Header, { type: 1, length: 2, tail: [3, 4] });
  console.log(JSON.stringify([allowed, [...bytes], fromSlice(Header, bytes)]));
`;

function output(flags: string[]): unknown {
  const { stdout, success, stderr } = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", ...flags, `data:text/typescript,${encodeURIComponent(PROGRAM)}`],
  }).outputSync();
  const text = new TextDecoder();
  if (!success) throw new Error(text.decode(stderr));
  return JSON.parse(text.decode(stdout));
}

Deno.test("struct() and array() work where code may not be generated, with the same bytes", () => {
  const expected = [[1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 4, 0], { type: 1, length: 2, tail: [3, 4] }];
  assertEquals(output([]), [true, ...expected]);
  const flag = "--v8-flags=--disallow-code-generation-from-strings";
  assertEquals(output([flag]), [false, ...expected]);
});
