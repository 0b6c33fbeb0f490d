import { assert, assertEquals } from "@std/assert";
import { LoadState } from "../../../src/snapshot/lazy/load_state.ts";
import { linuxTest } from "../../support/linux_test.ts";

linuxTest("LoadState lets one thread serve, and stops it when another is next", () => {
  const owner = LoadState.create(10, 2, false);
  const first = owner.nextThread();
  const thread = new LoadState(owner.handle);
  assertEquals(thread.begin(first), true);
  assertEquals(thread.look(first), "continue");
  const second = owner.nextThread();
  assertEquals(thread.look(first), "stop");
  const other = new LoadState(owner.handle);
  assertEquals(other.begin(second), true);
  // A thread that begins too late does not serve.
  assertEquals(new LoadState(owner.handle).begin(first), false);
  assertEquals(other.look(second), "continue");
});

linuxTest(
  "LoadState.untilSeen() waits for a thread that serves, and for none that does not",
  () => {
    const owner = LoadState.create(10, 2, false);
    const number = owner.nextThread();
    let woken = 0;
    const wake = () => woken++;
    assertEquals([owner.untilSeen(number, wake, 1000), woken], [true, 0]);
    const thread = new LoadState(owner.handle);
    thread.begin(number);
    assertEquals([owner.untilSeen(number, wake, 5), woken], [false, 1]);
    assertEquals(thread.look(number), "changed");
    assertEquals(owner.untilSeen(number, () => thread.look(number), 1000), true);
    owner.nextThread();
    assertEquals(owner.untilSeen(number, () => thread.look(number), 1000), true);
    // It has stopped.
    assertEquals([owner.untilSeen(number, wake, 1000), woken], [true, 1]);
  },
);

linuxTest("LoadState has one content for all that have its handle", () => {
  const owner = LoadState.create(100, 3, true);
  const thread = new LoadState(owner.handle);
  assertEquals([owner.left, owner.faults, owner.isProtected], [100, 0, false]);
  owner.isProtected = true;
  owner.drop(1);
  assertEquals([thread.isProtected, [0, 1, 2].map((i) => thread.isDropped(i))], [
    true,
    [false, true, false],
  ]);
  thread.left = 7;
  thread.unread = 3;
  assertEquals([owner.left, owner.unread], [7, 3]);
  for (const page of [5, undefined, 99]) thread.countFault(page);
  assertEquals([owner.faults, [...owner.recorded]], [3, [5, 99]]);
  thread.done.add(31, 2);
  assertEquals([30, 31, 32, 33].map((page) => owner.done.has(page)), [false, true, true, false]);
  // No part of the memory is another one's.
  thread.messages.fill(-1);
  assertEquals([owner.left, owner.isDropped(0), owner.done.has(0)], [7, false, false]);
  assert(owner.messagesAddress === thread.messagesAddress);
});

linuxTest("LoadState records no more pages than the file has, and none if it is not to", () => {
  const small = LoadState.create(1, 1, true);
  for (const page of [0, 0, 0]) small.countFault(page);
  assertEquals([small.faults, [...small.recorded]], [3, [0]]);
  const none = LoadState.create(10, 1, false);
  none.countFault(3);
  assertEquals([none.faults, [...none.recorded]], [1, []]);
});

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
