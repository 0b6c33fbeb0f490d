import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  GuestAddress,
  GuestMemoryAtomic,
  type GuestMemoryExclusiveGuard,
  GuestMemoryHeap,
  GuestRegionCollection,
  GuestRegionHeap,
} from "../../mod.ts";

const A = GuestAddress;

type Memory = GuestRegionCollection<GuestRegionHeap>;
const newMemory = () => GuestMemoryHeap.fromRanges([[A(0), 16]]);

// Custom memory that does something when it is retained, released or closed.
class ActingMemory extends GuestRegionCollection<GuestRegionHeap> {
  acts: Partial<Record<"retain" | "release" | "close", () => void>> = {};

  constructor() {
    super([new GuestRegionHeap(A(0), 16)]);
  }

  #act(when: "retain" | "release" | "close"): void {
    const act = this.acts[when];
    delete this.acts[when];
    act?.();
  }

  override retain(): void {
    this.#act("retain");
    super.retain();
  }

  override release(): void {
    super.release();
    this.#act("release");
  }

  override close(): void {
    super.close();
    this.#act("close");
  }
}

// Takes locks until the test is over, and counts who has one at a time.
class Locks {
  held = 0;
  most = 0;
  taken = 0;
  readonly #space: GuestMemoryAtomic<Memory>;
  readonly #waiting: Promise<void>[] = [];

  constructor(space: GuestMemoryAtomic<Memory>) {
    this.#space = space;
  }

  wait(): void {
    this.#waiting.push((async () => {
      using _guard = await this.#space.lock();
      this.most = Math.max(this.most, ++this.held);
      this.taken++;
      for (let i = 0; i < 5; i++) await Promise.resolve();
      this.held--;
    })());
  }

  all(): Promise<unknown> {
    return Promise.all(this.#waiting);
  }
}

type Again = (guard: GuestMemoryExclusiveGuard<Memory>) => void;

const AGAIN: Record<string, Again> = {
  "replace()": (guard) => {
    using memory = newMemory();
    assertThrows(() => guard.replace(memory), TypeError);
  },
  "close()": (guard) => guard.close(),
  "close() twice": (guard) => {
    guard.close();
    guard[Symbol.dispose]();
  },
};

for (const when of ["retain", "close"] as const) {
  for (const [what, again] of Object.entries(AGAIN)) {
    Deno.test(`${what} while replace() calls ${when}() of the new memory unlocks once`, async () => {
      using space = new GuestMemoryAtomic<Memory>(newMemory());
      const locks = new Locks(space);
      const guard = await space.lock();
      for (let i = 0; i < 3; i++) locks.wait();
      const memory = new ActingMemory();
      memory.acts[when] = () => {
        again(guard);
        assertEquals([locks.taken, space.tryLock()], [0, undefined]);
      };
      guard.replace(memory);
      guard.close();
      await locks.all();
      assertEquals([locks.most, locks.taken], [1, 3]);
      using last = space.tryLock();
      assert(last !== undefined);
    });
  }
}

for (const when of ["release", "close"] as const) {
  Deno.test(`replace() again in ${when}() of the old memory does not unlock twice`, async () => {
    const old = new ActingMemory();
    using space = new GuestMemoryAtomic<Memory>(old);
    const locks = new Locks(space);
    const guard = await space.lock();
    for (let i = 0; i < 3; i++) locks.wait();
    old.acts[when] = () => {
      using memory = newMemory();
      assertThrows(() => guard.replace(memory), TypeError);
      guard.close();
    };
    guard.replace(newMemory());
    guard.close();
    await locks.all();
    assertEquals([locks.most, locks.taken], [1, 3]);
  });
}

for (const when of ["retain", "close"] as const) {
  Deno.test(`a new memory whose ${when}() throws leaves the lock with its owner`, async () => {
    using space = new GuestMemoryAtomic<Memory>(newMemory());
    const locks = new Locks(space);
    const guard = await space.lock();
    locks.wait();
    const memory = new ActingMemory();
    memory.acts[when] = () => {
      throw new Error("refused");
    };
    assertThrows(() => guard.replace(memory), Error, "refused");
    await new Promise((resolve) => setTimeout(resolve, 1));
    assertEquals([locks.taken, space.tryLock()], [0, undefined]);
    using current = space.memory();
    assertEquals(current.memory === guard.memory, true);
    guard.close();
    await locks.all();
    assertEquals(locks.taken, 1);
    memory.close();
    // There is no reference to what was refused.
    assertEquals(memory.closed, true);
  });
}

Deno.test("an old memory whose release() throws leaves one owner of the lock", async () => {
  const old = new ActingMemory();
  using space = new GuestMemoryAtomic<Memory>(old);
  const locks = new Locks(space);
  const guard = await space.lock();
  for (let i = 0; i < 3; i++) locks.wait();
  old.acts.release = () => {
    throw new Error("cannot unmap");
  };
  const replacement = newMemory();
  assertThrows(() => guard.replace(replacement), Error, "cannot unmap");
  guard.close();
  guard.close();
  await locks.all();
  assertEquals([locks.most, locks.taken], [1, 3]);
  using current = space.memory();
  assertEquals(current.memory === replacement, true);
});

Deno.test("closing the address space in the middle of replace() closes the new memory", async () => {
  for (const when of ["retain", "close"] as const) {
    const space = new GuestMemoryAtomic<Memory>(newMemory());
    using guard = await space.lock();
    const memory = new ActingMemory();
    memory.acts[when] = () => space.close();
    guard.replace(memory);
    assertEquals([memory.closed, guard.memory.closed], [true, true]);
  }
});
