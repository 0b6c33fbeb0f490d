/**
 * Ways in which ordinary and hostile code could end the process by a signal, or reach memory that is
 * not its own, in separate processes. The naive programs show that the same without the library does.
 */
import { assertEquals } from "@std/assert";
import { runProgram } from "./crash/run.ts";
import { linuxTest } from "../../support/linux_test.ts";

async function result(name: string): Promise<unknown> {
  const { code, signal, stdout, stderr } = await runProgram(name);
  assertEquals([signal, code, stderr], [null, 0, ""], `${name}: ${stdout}`);
  return JSON.parse(stdout);
}

linuxTest("without the library: a view of memory that was narrowed ends the process", async () => {
  const { signal, stdout } = await runProgram("naive_view_after_protect");
  assertEquals([signal, stdout], ["SIGSEGV", "7"]);
});

linuxTest(
  "without the library: a transferred view of unmapped memory ends the process",
  async () => {
    const { signal, stdout } = await runProgram("naive_transferred");
    assertEquals([signal, stdout], ["SIGSEGV", "7"]);
  },
);

linuxTest(
  "protect() by one holder is seen by all of its thread, and refused to others",
  async () => {
    assertEquals(await result("narrow_by_another_holder"), {
      sameThread: [0, "AccessDenied", "AccessDenied", "AccessDenied", 0, 0],
      noAccess: ["AccessDenied", "AccessDenied", "AccessDenied"],
      again: [7, 7, 0],
      otherThread: [
        ...["MappingShared", "MappingShared", "MappingShared", "completed"],
        "MmapRegion 4 KiB anonymous private read-only",
      ],
    });
  },
);

linuxTest("protect() in two threads at the same time takes nothing away", async () => {
  // Whoever comes second with less is refused. Without the order, it took the permission to write
  // from the thread that had just added it.
  assertEquals(await result("widen_in_two_threads"), [
    "completed,MappingShared",
    "completed,completed",
  ]);
});

linuxTest("nothing of the API exceeds the protection of the memory", async () => {
  const denied = "AccessDenied";
  const done = "completed";
  assertEquals(await result("limited_memory"), [
    [0, 0, denied, denied, denied, denied, denied, denied, denied, denied, denied, "TypeError"],
    [0, 0, denied, done, denied, done, done, denied, done, denied, done, "TypeError"],
    [0, 0, denied, denied, done, denied, denied, denied, denied, done, denied, "TypeError"],
  ]);
});

linuxTest("own properties and prototypes give no memory that is not the mapping's", async () => {
  const [denied, closed] = ["AccessDenied", "MemoryClosed"];
  assertEquals(await result("own_properties"), {
    longer: [false, false],
    permits: [denied, denied],
    prototype: true,
    closed: [closed, closed, closed, closed, closed, closed, "completed"],
    boundary: [0, null],
    setter: ["completed", closed, 0],
    frozen: ["TypeError", false, 0],
    range: ["Overflow", "OutOfBounds", "Overflow", "OutOfBounds", "OutOfBounds"],
    shared: ["TypeError", "TypeError", "TypeError"],
  });
});

linuxTest("a handle that was stored, altered or copied is refused", async () => {
  assertEquals(await result("forged_handles"), {
    altered: ["InvalidHandle"],
    seal: "InvalidHandle",
    copiedReferences: "InvalidHandle",
    json: ["InvalidHandle", "completed"],
    buffers: [0],
    word: "MemoryClosed",
    value: "MemoryClosed",
    genuine: "completed",
    used: "MemoryClosed",
    stored: "MemoryClosed",
    getter: "completed",
    partly: "TypeError",
    narrowed: "completed",
    first: false,
    byte: 9,
    nothing: ["InvalidHandle"],
  });
});

linuxTest("a transferred buffer keeps its memory, closed or forgotten", async () => {
  const each = ["MemoryClosed", "MemoryClosed", "TypeError", 7, 8, 7, 8];
  assertEquals(await result("transferred_buffers"), {
    ...{ transfer: each, fixed: each, clone: each, overridden: each },
    claimed: 0,
    boundary: [["TypeError", "TypeError"], true],
  });
});

linuxTest("options and places in files are read once", async () => {
  assertEquals(await result("options_once"), {
    region: "completed",
    read: [1],
    memory: "completed",
    readMemory: 1,
    file: "completed",
  });
});

linuxTest("closing memory that is being prefaulted unmaps it afterwards", async () => {
  const each = [0, "MemoryClosed", true];
  assertEquals(await result("pending_prefault"), [each, each]);
});
