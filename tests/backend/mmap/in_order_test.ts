import { assertEquals, assertRejects } from "@std/assert";
import { InOrder } from "../../../src/backend/mmap/in_order.ts";

Deno.test("InOrder runs each task when the one before has ended", async () => {
  const order = new InOrder();
  const said: string[] = [];
  const task = (name: string, ms: number) => async () => {
    said.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, ms));
    said.push(`${name} ends`);
    return name;
  };
  const first = order.run(task("a", 10));
  assertEquals([said, order.busy], [["a begins"], true]);
  const second = order.run(task("b", 0));
  assertEquals(await Promise.all([first, second]), ["a", "b"]);
  assertEquals(said, ["a begins", "a ends", "b begins", "b ends"]);
});

Deno.test("InOrder runs the next task after one that fails", async () => {
  const order = new InOrder();
  const failing = order.run(() => Promise.reject(new Error("no")));
  const next = order.run(() => Promise.resolve(1));
  await assertRejects(() => failing, Error, "no");
  assertEquals(await next, 1);
  await Promise.resolve();
  await Promise.resolve();
  assertEquals(order.busy, false);
});
