import fc from "fast-check";
import { Choices, HostileDriver } from "../support/hostile_rings.ts";
import { QueuePair } from "../support/virtqueue_pair.ts";
import {
  elsewhereWorld,
  heapWorld,
  holeWorld,
  iommuWorld,
  mappedWorld,
  type World,
} from "../support/virtqueue_worlds.ts";

// Rings in each kind of memory: 100 000 in all.
const WORLDS: readonly (readonly [make: () => World, rings: number])[] = [
  [heapWorld, 60_000],
  [holeWorld, 15_000],
  [mappedWorld, 10_000],
  [iommuWorld, 10_000],
  [elsewhereWorld, 5_000],
];

const OUTCOMES: readonly string[] = [
  ...["chain", "none", "jump", "a short read", "a short write"],
  ...["index", "loop", "length", "order", "address", "indirect", "table"],
];

// What a chain of a whole queue takes is less: later choices repeat these, varied.
const numbers = fc.noBias(fc.array(fc.nat({ max: 2 ** 31 - 1 }), { minLength: 8, maxLength: 64 }));

/** A device that serves a ring in any order, until it is empty or impossible. */
function serve(world: World, choices: Choices, tally: Map<string, number>): void {
  const driver = new HostileDriver(world, choices);
  const { layout } = driver;
  world.copyIn();
  using pair = new QueuePair(world, layout, choices, tally);
  for (let steps = choices.below(3 * layout.size + 6); steps > 0; steps--) {
    switch (choices.below(9)) {
      case 5:
        pair.needsNotification();
        break;
      case 6:
        pair.notifyOnAvail(choices.below(2) === 1);
        break;
      case 7:
        pair.finishOne();
        break;
      case 8:
        // Between two calls the driver changes what it likes.
        pair.ensureSame();
        driver.change();
        world.copyIn();
        break;
      default:
        pair.pop();
    }
  }
  for (let i = 0; pair.pop(); i++) {
    if (i > layout.size) throw new Error("more chains than the queue has entries");
  }
  while (pair.pending.length > 0) pair.finishOne();
  pair.needsNotification();
  pair.ensureSame();
  // The queue still takes what is right.
  const [[addr]] = world.runs as [World["runs"][number]];
  driver.addValid(pair.reference.nextAvail, addr, 4);
  world.copyIn();
  const before = pair.reference.nextAvail;
  pair.pop();
  const isTaken = pair.pending.length === 1 && pair.reference.nextAvail !== before;
  if (!isTaken) throw new Error("a valid chain is not taken");
  pair.finishOne();
  pair.notifyOnAvail(true);
  pair.needsNotification();
  pair.ensureSame();
}

for (const [make, rings] of WORLDS) {
  const world = make();
  Deno.test(`Virtqueue is what the specification says, for hostile rings in ${world.name}`, () => {
    const tally = new Map<string, number>();
    fc.assert(
      fc.property(numbers, (list) => serve(world, new Choices(list), tally)),
      { seed: 20_261_126, numRuns: rings },
    );
    // The rings are as hostile as they are meant to be.
    for (const outcome of OUTCOMES) {
      const times = tally.get(outcome) ?? 0;
      if (times < rings / 1000) {
        throw new Error(`only ${times} times in ${rings} rings: ${outcome}`);
      }
    }
  });
}
