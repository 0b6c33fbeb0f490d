import { assert, assertEquals, assertMatch, assertNotEquals, assertThrows } from "@std/assert";
import { threadId } from "../../../ffi/thread.ts";
import { ControlBlock, MAX_HOLDERS } from "../../../src/backend/mmap/control_block.ts";
import { wordsAt } from "../../../ffi/shared_words.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { until } from "../../support/until.ts";

const module = new URL("../../../src/backend/mmap/control_block.ts", import.meta.url).href;

/** Starts a thread that runs a body with `ControlBlock` and the message that it is sent. */
function start(body: string): Worker {
  const code = `
    import { ControlBlock } from "${module}";
    onmessage = ({ data }) => postMessage((() => { ${body} })());
    postMessage("ready");`;
  return new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
}

function answer(worker: Worker): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(event.error ?? new Error(event.message));
  });
}

async function ask(worker: Worker, data: unknown): Promise<unknown> {
  const answered = answer(worker);
  worker.postMessage(data);
  return await answered;
}

Deno.test("ControlBlock is new without holders, with a nonce of its own", () => {
  const [one, two] = [new ControlBlock(), new ControlBlock()];
  assertEquals([one.holders, one.protection, one.keepsAddresses], [0, 0, false]);
  assertMatch(one.nonce, /^-?\d+,-?\d+$/);
  assertNotEquals(one.nonce, two.nonce);
});

Deno.test("ControlBlock.nonce is random in both of its words", () => {
  const nonces = Array.from({ length: 100 }, () => new ControlBlock().nonce.split(","));
  for (const word of [0, 1]) assert(new Set(nonces.map((words) => words[word])).size > 90);
});

Deno.test("ControlBlock over the words of another is the same state", () => {
  const one = new ControlBlock();
  const two = new ControlBlock(one.address);
  assertEquals([two.nonce, two.address], [one.nonce, one.address]);
  one.protection = 3;
  const word = one.hold();
  one.keepAddresses();
  assertEquals([two.protection, two.holders, two.keepsAddresses], [3, 1, true]);
  assertEquals([two.release(word), one.holders], [true, 0]);
});

Deno.test("ControlBlock gives its words to another one when its last user has left", () => {
  const one = new ControlBlock();
  const other = new ControlBlock(one.address);
  one.use();
  other.use();
  one.protection = 3;
  one.leave();
  assertEquals(new ControlBlock(one.address).nonce, one.nonce);
  other.leave();
  assertEquals(new ControlBlock(one.address).nonce, "0,0");
  const next = new ControlBlock();
  assertEquals([next.address, next.protection, next.holders], [one.address, 0, 0]);
  assertNotEquals(next.nonce, one.nonce);
});

Deno.test("ControlBlock.release() is true for the last holder only", () => {
  const block = new ControlBlock();
  const words = [block.hold(), block.hold(), block.hold()];
  assertEquals([block.holders, new Set(words).size], [3, 3]);
  assertEquals(words.map((word) => block.release(word)), [false, false, true]);
  assertEquals(block.holders, 0);
});

Deno.test("ControlBlock.claim() takes a ticket once, and the number of holders stays", () => {
  const block = new ControlBlock();
  const own = block.hold();
  const ticket = block.issue();
  assertEquals(block.holders, 2);
  assertEquals([block.claim(ticket), block.claim(ticket)], [true, false]);
  assertEquals(block.holders, 2);
  assertEquals([block.release(ticket.word), block.release(own)], [false, true]);
  assertEquals([block.claim(ticket), block.holders], [false, 0]);
});

Deno.test("ControlBlock.claim() refuses a ticket whose word has another handle by now", () => {
  const block = new ControlBlock();
  const first = block.issue();
  block.claim(first);
  block.release(first.word);
  const second = block.issue();
  assertEquals(second.word, first.word);
  assertEquals([block.claim(first), block.claim(second)], [false, true]);
});

Deno.test("ControlBlock.claim() refuses every ticket that it did not issue", () => {
  const block = new ControlBlock();
  const own = block.hold();
  const { word, value } = block.issue();
  const thread = wordsAt(block.address)[own]!;
  const forged = [
    { word: own, value: thread },
    { word: own, value },
    { word: word + 1, value: 0 },
    { word: word + 1, value },
    { word, value: value + 1 },
    { word, value: -value },
    // The words that are no holder: the nonce, the protection, the number of holders.
    ...[0, 1, 2, 3, 4].map((at) => ({ word: at, value: wordsAt(block.address)[at]! })),
    ...[-1, 0.5, NaN, Infinity, 256, 2 ** 32 + word].map((at) => ({ word: at, value })),
    ...[undefined, "5", null, {}].map((at) => ({ word: at as unknown as number, value })),
    { word, value: NaN },
    { word, value: undefined as unknown as number },
  ];
  for (const ticket of forged) assertEquals([ticket, block.claim(ticket)], [ticket, false]);
  assertEquals([block.holders, block.claim({ word, value })], [2, true]);
});

Deno.test("ControlBlock.hold() and issue() refuse one holder too many, and take one after", () => {
  const block = new ControlBlock();
  const words = Array.from({ length: MAX_HOLDERS }, () => block.hold());
  assertEquals([block.holders, new Set(words).size], [MAX_HOLDERS, MAX_HOLDERS]);
  for (const add of [() => block.hold(), () => block.issue()]) {
    assertThrows(add, RangeError, `${MAX_HOLDERS} threads and handles`);
  }
  assertEquals(block.holders, MAX_HOLDERS);
  assertEquals(block.release(words[7]!), false);
  assertEquals(block.issue().word, words[7]);
  assertEquals(block.holders, MAX_HOLDERS);
});

Deno.test("ControlBlock.releaseDead() keeps this thread, handles and nothing else", () => {
  const block = new ControlBlock();
  assertEquals(block.releaseDead(), false);
  const own = block.hold();
  const ticket = block.issue();
  assertEquals([block.releaseDead(), block.holders], [false, 2]);
  assertEquals([block.claim(ticket), block.release(ticket.word)], [true, false]);
  assertEquals(block.release(own), true);
});

linuxTest("ControlBlock.releaseDead() removes a Worker once it was terminated", async () => {
  const block = new ControlBlock();
  const worker = start("return new ControlBlock(data).hold();");
  await answer(worker);
  const own = block.hold();
  await ask(worker, block.address);
  assertEquals([block.holders, block.releaseDead(), block.holders], [2, false, 2]);
  worker.terminate();
  assert(await until(() => block.releaseDead() || block.holders === 1));
  assertEquals(block.holders, 1);
  assertEquals(block.release(own), true);
});

linuxTest(
  "ControlBlock.releaseDead() is true when the last holder was a dead Worker, once",
  async () => {
    const block = new ControlBlock();
    const worker = start("return new ControlBlock(data).hold();");
    await answer(worker);
    await ask(worker, block.address);
    worker.terminate();
    let last = 0;
    assert(
      await until(() => {
        if (block.releaseDead()) last++;
        return block.holders === 0;
      }),
    );
    assertEquals([last, block.releaseDead(), block.holders], [1, false, 0]);
  },
);

linuxTest("ControlBlock.releaseDead() leaves a handle whose issuer was terminated", async () => {
  const block = new ControlBlock();
  const worker = start("return new ControlBlock(data).issue();");
  await answer(worker);
  const ticket = await ask(worker, block.address) as ReturnType<ControlBlock["issue"]>;
  worker.terminate();
  await until(() => block.releaseDead(), 0.2);
  assertEquals([block.holders, block.claim(ticket)], [1, true]);
});

linuxTest(
  "ControlBlock.release() of two Workers at the same time is true in exactly one",
  async () => {
    const rounds = 2000;
    // Both wait for each other before every round.
    const body = `
    const gate = new Int32Array(data.gate);
    const last = [];
    for (const [round, buffer] of data.buffers.entries()) {
      const block = new ControlBlock(buffer);
      Atomics.add(gate, 0, 1);
      while (Atomics.load(gate, 0) < 2 * (round + 1));
      last.push(block.release(data.words[round]));
    }
    return last;`;
    const workers = [start(body), start(body)];
    try {
      await Promise.all(workers.map(answer));
      const blocks = Array.from({ length: rounds }, () => new ControlBlock());
      const gate = new SharedArrayBuffer(4);
      const buffers = blocks.map(({ address }) => address);
      const results = await Promise.all(workers.map((worker) => {
        const words = blocks.map((block) => block.hold());
        return ask(worker, { gate, buffers, words }) as Promise<boolean[]>;
      }));
      const wrong = blocks.filter((block, round) =>
        block.holders !== 0 || Number(results[0]![round]) + Number(results[1]![round]) !== 1
      );
      assertEquals(wrong.length, 0);
    } finally {
      for (const worker of workers) worker.terminate();
    }
  },
);

linuxTest(
  "ControlBlock.claim() of two Workers at the same time succeeds in exactly one",
  async () => {
    const rounds = 2000;
    const body = `
    const gate = new Int32Array(data.gate);
    return data.tickets.map((ticket, round) => {
      const block = new ControlBlock(data.buffers[round]);
      Atomics.add(gate, 0, 1);
      while (Atomics.load(gate, 0) < 2 * (round + 1));
      return block.claim(ticket);
    });`;
    const workers = [start(body), start(body)];
    try {
      await Promise.all(workers.map(answer));
      const blocks = Array.from({ length: rounds }, () => new ControlBlock());
      const tickets = blocks.map((block) => block.issue());
      const gate = new SharedArrayBuffer(4);
      const buffers = blocks.map(({ address }) => address);
      const [one, two] = await Promise.all(
        workers.map((worker) => ask(worker, { gate, buffers, tickets }) as Promise<boolean[]>),
      );
      assertEquals(one!.filter((claimed, round) => claimed === two![round]).length, 0);
    } finally {
      for (const worker of workers) worker.terminate();
    }
  },
);

linuxTest("ControlBlock.exclusively() waits for another thread, unless it has ended", async () => {
  const block = new ControlBlock();
  const worker = start(`
    new ControlBlock(data.buffer).exclusively(() => {
      Atomics.store(data.step, 0, 1);
      Atomics.notify(data.step, 0);
      Atomics.wait(data.step, 1, 0, 50);
      Atomics.store(data.step, 0, 2);
    });`);
  await answer(worker);
  const step = new Int32Array(new SharedArrayBuffer(8));
  worker.postMessage({ buffer: block.address, step });
  Atomics.wait(step, 0, 0);
  let seen = 0;
  block.exclusively(() => seen = Atomics.load(step, 0));
  worker.terminate();
  assertEquals(seen, 2);
  // A function that throws does not keep others out.
  assertThrows(() => block.exclusively(() => assert(false)));
  block.exclusively(() => seen = 3);
  assertEquals(seen, 3);

  // As a thread leaves it that is terminated in the middle. No thread has this number.
  const changer = wordsAt(block.address).subarray(5, 6);
  block.exclusively(() => assertEquals(changer[0], threadId()));
  changer[0] = 2 ** 31 - 1;
  block.exclusively(() => seen = 4);
  assertEquals([seen, changer[0]], [4, 0]);
});
