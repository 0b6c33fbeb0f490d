/** What is right but for one thing. */
import type { Argument } from "./argument.ts";
import * as junk from "./junk.ts";
import type { Setting } from "./receivers.ts";

/** A copy of a value in which something is different, or changes. */
export function altered({ random, mischief }: Setting, given: Argument): Argument {
  const copy = structuredClone(given.value);
  let label = given.label;
  let object = copy as Record<string, unknown> | undefined;
  for (let depth = 0; depth < 4 && typeof object === "object" && object !== null; depth++) {
    const name = random.pick(Object.keys(object));
    if (name === undefined) break;
    const inner = object[name];
    if (typeof inner === "object" && random.chance(0.8)) {
      object = inner as Record<string, unknown>;
      continue;
    }
    const odd = random.chance(0.5) ? junk.number(random) : junk.anything(random, mischief);
    label += ` whose ${name} is ${odd.label}`;
    if (random.chance(0.5)) object[name] = odd.value;
    else {
      let asked = random.int(2);
      const get = mischief.then(() => asked++ === 0 ? inner : odd.value);
      Object.defineProperty(object, name, { get, enumerable: true, configurable: true });
      label += ` in turns, and does ${mischief.last}`;
    }
    break;
  }
  return { value: copy, label };
}
