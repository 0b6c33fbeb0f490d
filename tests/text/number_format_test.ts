import { assertEquals } from "@std/assert";
import { byteSize, hex } from "../../src/text/number_format.ts";

Deno.test("hex() shows numbers and bigints with a prefix after the sign", () => {
  assertEquals(
    [0, 0x1000, -1, -0x20, 2 ** 53, 2n ** 64n - 1n, -16n].map(hex),
    ["0x0", "0x1000", "-0x1", "-0x20", "0x20000000000000", "0xffffffffffffffff", "-0x10"],
  );
});

Deno.test("hex() shows what is no integer without failing", () => {
  assertEquals([NaN, Infinity, 0.5].map(hex), ["0xNaN", "0xInfinity", "0x0.8"]);
});

for (
  const [bytes, text] of [
    [0, "0 B"],
    [1, "1 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [1025, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [1024 * 1023, "1023 KiB"],
    [1024 * 1023 + 900, "1023.9 KiB"],
    [1024 * 1024 - 1, "1.0 MiB"],
    [2 ** 20, "1 MiB"],
    [2 ** 30, "1 GiB"],
    [1.5 * 2 ** 30, "1.5 GiB"],
    [2 ** 40, "1 TiB"],
    [2 ** 50, "1 PiB"],
    [2 ** 53, "8 PiB"],
    [2 ** 63, "8192 PiB"],
  ] as const
) {
  Deno.test(`byteSize() shows ${bytes} bytes as ${text}`, () => {
    assertEquals(byteSize(bytes), text);
  });
}
