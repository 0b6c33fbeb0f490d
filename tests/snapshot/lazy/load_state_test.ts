import { assertEquals } from "@std/assert";
import { LoadState } from "../../../src/snapshot/lazy/load_state.ts";
import { linuxTest } from "../../support/linux_test.ts";

linuxTest("a thread that begins after it was stopped is not taken for who serves", () => {
  const state = LoadState.create(10, 1, false);
  const stopped = state.nextThread();
  const serving = state.nextThread();
  assertEquals(state.begin(serving), true);
  assertEquals(state.begin(stopped), false);
  // Who serves has not looked since.
  assertEquals(state.untilSeen(serving, () => {}, 0), false);
  assertEquals(state.look(serving), "changed");
});

linuxTest("a thread that takes over is served by, though the one before is still in a call", () => {
  const state = LoadState.create(10, 1, false);
  const stuck = state.nextThread();
  assertEquals(state.begin(stuck), true);
  const next = state.nextThread();
  assertEquals(state.untilSeen(stuck, () => {}, 1), false);
  assertEquals(state.begin(next), true);
  assertEquals(state.look(stuck), "stop");
  assertEquals(state.untilSeen(next, () => {}, 0), false);
});

linuxTest("a thread that has ended is not waited for", () => {
  const state = LoadState.create(10, 1, false);
  const thread = state.nextThread();
  assertEquals(state.begin(thread), true);
  state.nextThread();
  const end = () => assertEquals(state.look(thread), "stop");
  const endMeanwhile = () => void state.untilSeen(thread, end, 0);
  assertEquals(state.untilSeen(thread, endMeanwhile, 0), true);
});
