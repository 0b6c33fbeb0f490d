import { assert, assertEquals } from "@std/assert";
import { Progress } from "../../../examples/lib/progress.ts";
import { StatusLine } from "../../../examples/lib/status_line.ts";

function screenOf(columns: number) {
  const written: string[] = [];
  return { columns, written, write: (text: string) => void written.push(text) };
}

Deno.test("Progress rewrites one line that never wraps, and removes it", () => {
  for (const columns of [1, 20, 40, 80, 200]) {
    const screen = screenOf(columns);
    {
      using progress = new Progress(screen);
      progress.update("Loading", 1, 3);
      progress.update("Loading", 3, 3);
    }
    assertEquals(screen.written.length, 3);
    assertEquals(screen.written[2], "\r\x1b[K");
    for (const text of screen.written) {
      assert(text.startsWith("\r") && text.endsWith("\x1b[K"));
      assert(text.slice(1, -3).length < Math.max(columns, 1), `${columns}: ${text}`);
    }
    if (columns !== 80) continue;
    assertEquals(screen.written[0], `\r${"█".repeat(10)}${"░".repeat(20)}  33%  Loading\x1b[K`);
    assertEquals(screen.written[1], `\r${"█".repeat(30)} 100%  Loading\x1b[K`);
  }
});

Deno.test("Progress of nothing is done", () => {
  const screen = screenOf(80);
  using progress = new Progress(screen);
  progress.update("Loading", 0, 0);
  assert(screen.written[0]!.includes("100%"));
});

Deno.test("StatusLine writes nothing before its first text, and removes it once", () => {
  const screen = screenOf(80);
  {
    using _unused = new StatusLine(screen);
    using line = new StatusLine(screen);
    line.show("text");
    line[Symbol.dispose]();
  }
  assertEquals(screen.written, ["\rtext\x1b[K", "\r\x1b[K"]);
});
