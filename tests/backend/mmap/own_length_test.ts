import { assertEquals } from "@std/assert";

Deno.test("a buffer whose length or byteLength closes mapped memory is MemoryClosed", async () => {
  const { code, signal, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", new URL("./crash/own_length.ts", import.meta.url).href],
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals([code, signal], [0, null]);
  const outcomes: Record<string, string> = JSON.parse(new TextDecoder().decode(stdout));
  assertEquals(Object.keys(outcomes).length, 24);
  // Code that never reads the property does not close the memory, and is done.
  for (const [name, outcome] of Object.entries(outcomes)) {
    assertEquals([name, ["done", "closed"].includes(outcome)], [name, true], outcome);
  }
});
