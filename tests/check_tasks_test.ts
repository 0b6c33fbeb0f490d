import { assertEquals } from "@std/assert";
import { checkTasks } from "./support/check_tasks.ts";

Deno.test("the task check finds names that deno.json does not have, however they are called", () => {
  const text = [
    "`deno task test` and `deno task test:serial` exist,",
    "npx -y deno@2.9.6 task gone, `deno",
    "task test:gone`; `deno task` alone lists them. A deno task is one.",
  ].join("\n");
  assertEquals(checkTasks(new Map([["a.md", text]]), ["test", "test:serial", "is"]), [
    { file: "a.md", line: 2, text: "there is no task gone" },
    { file: "a.md", line: 2, text: "there is no task test:gone" },
  ]);
});
