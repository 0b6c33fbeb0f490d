import { assert, assertEquals, assertThrows, fail } from "@std/assert";
import { BATCH, boot, mapGuest } from "../../../examples/migrate/guest.ts";
import { GuestThread } from "../../../examples/migrate/guest_thread.ts";
import { PeerLost, WrongFormat } from "../../../examples/migrate/migrate_error.ts";
import { type Guest, type Round, sendGuest } from "../../../examples/migrate/source.ts";
import { encodeFrame, type FrameType } from "../../../examples/migrate/wire.ts";
import { WritingProgram } from "../../../examples/migrate/writing_program.ts";
import { pageSize, takeDirty } from "../../../mod.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { until } from "../../support/until.ts";
import { gpa } from "../../support/values.ts";
import { Ends } from "./ends.ts";

// One batch of writes, then none for a minute.
const RARELY = 1;
const OFTEN = 10_000;

// A guest of a few pages, which runs. All that is sent of it has room in a socket.
async function guestThatRuns(rate: number): Promise<Guest & Disposable> {
  const page = pageSize();
  const memory = mapGuest([[gpa(0), 4 * page], [gpa(8 * page), 4 * page]]);
  boot(memory);
  const thread = await GuestThread.start(memory, rate, "bitmap");
  thread.resume();
  return {
    ...{ memory, thread, rate, tracker: "bitmap" },
    [Symbol.dispose]() {
      thread[Symbol.dispose]();
      memory.close();
    },
  };
}

// A destination that says some things, whatever it gets.
function destinationThatSays(...frames: [FrameType, number?][]): Ends {
  const ends = new Ends();
  for (const [type, count = 0] of frames) ends.far.send(encodeFrame({ type, count, bytes: 0 }));
  return ends;
}

linuxTest("sendGuest() pauses the guest for the last round only", async () => {
  using guest = await guestThatRuns(RARELY);
  using ends = destinationThatSays(["ready"], ["endOfRound", 0], ["endOfRound", 1], ["resumed"]);
  const running: boolean[] = [];
  const { rounds, steps } = sendGuest(
    guest,
    ends.near,
    () => running.push(guest.thread.isRunning),
  );
  assertEquals(running, [true, false]);
  // Half of eight pages, and no hole.
  assert(rounds[0]!.bytes >= 4 * pageSize() && rounds[0]!.bytes <= 6 * pageSize());
  assertEquals(new WritingProgram(guest.memory, false).noted, steps);
});

linuxTest("sendGuest() leaves a guest that can run if the destination is lost", async () => {
  for (const says of [[], [["ready"]]] as [FrameType][][]) {
    using guest = await guestThatRuns(OFTEN);
    using ends = destinationThatSays(...says);
    assertThrows(() => sendGuest(guest, ends.near, () => fail()), PeerLost);
    const { steps } = guest.thread;
    assert(await until(() => guest.thread.steps > steps), "the guest does not run");
  }
});

linuxTest("sendGuest() leaves a paused guest that can run if the last round is lost", async () => {
  const ends: [FrameType, number][] = [["endOfRound", 0], ["endOfRound", 1]];
  for (const count of [1, 2]) {
    using guest = await guestThatRuns(RARELY);
    using destination = destinationThatSays(["ready"], ...ends.slice(0, count));
    const rounds: Round[] = [];
    assertThrows(() => sendGuest(guest, destination.near, (round) => rounds.push(round)), PeerLost);
    const { thread } = guest;
    assertEquals([rounds.length, thread.isRunning], [1, false]);
    const { steps } = thread;
    thread.resume();
    assertEquals([thread.steps, thread.isRunning], [steps + BATCH, true]);
  }
});

linuxTest("sendGuest() marks what it could not send again", async () => {
  using guest = await guestThatRuns(RARELY);
  using ends = destinationThatSays(["ready"], ["endOfRound", 0]);
  assertThrows(() => sendGuest(guest, ends.near, () => guest.memory.fill(gpa(0), 1, 1)), PeerLost);
  using dirty = takeDirty(guest.memory);
  assertEquals([...dirty], [[gpa(0), pageSize()]]);
});

linuxTest("sendGuest() refuses a destination that answers something else", async () => {
  using guest = await guestThatRuns(RARELY);
  using ends = destinationThatSays(["ready"], ["resumed"]);
  const reason = "resumed came where endOfRound was expected";
  assertThrows(() => sendGuest(guest, ends.near, () => {}), WrongFormat, reason);
  assert(guest.thread.isRunning);
});
