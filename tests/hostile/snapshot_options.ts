/** How snapshots are written, read, restored and loaded. */
import { altered } from "./altered.ts";
import { type Argument, HostileError } from "./argument.ts";
import { SIZE } from "./backing.ts";
import * as junk from "./junk.ts";
import * as objects from "./objects.ts";
import type { Place } from "./parameters.ts";
import type { Random } from "./random.ts";
import { manifest, prepared } from "./snapshots.ts";
import { STARTS } from "./world.ts";

type Parts = Record<string, () => unknown>;

/** Options of a function. */
export function options(place: Place, hostile: boolean): Argument {
  const { random, mischief, entry } = place;
  const parts = partsOf(place, hostile);
  const made: Record<string, unknown> = {};
  const labels: string[] = [];
  for (const [name, make] of Object.entries(parts)) {
    const isNeeded = name === "mode" && random.chance(0.95);
    if (!isNeeded && !random.chance(0.35)) continue;
    const junky = hostile && random.chance(0.15);
    const odd = junky ? junk.anything(random, mischief) : undefined;
    const value = odd === undefined ? make() : odd.value;
    labels.push(`${name}: ${odd?.label ?? shown(value)}`);
    if (!hostile || random.chance(0.85)) made[name] = value;
    else {
      const get = mischief.then(() => value);
      Object.defineProperty(made, name, { get, enumerable: true });
      labels.push(`which does ${mischief.last}`);
    }
  }
  if (hostile && random.chance(0.1)) {
    mischief.soon(random.pick([0, 0, 1, 5]));
    labels.push(`meanwhile ${mischief.last}`);
  }
  if (!hostile || entry !== "restore") return { value: made, label: `{ ${labels.join(", ")} }` };
  const { value, label } = objects.options(place);
  const more = value as Record<string, unknown>;
  delete more.onProgress;
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(more))) {
    if (!(name in made)) Object.defineProperty(made, name, property);
  }
  return { value: made, label: `{ ${labels.join(", ")} } and ${label}` };
}

function shown(value: unknown): string {
  return typeof value === "object" && value !== null ? "object" : String(value);
}

function partsOf(place: Place, hostile: boolean): Parts {
  const { random, mischief, entry, world } = place;
  const flag = () => random.chance(0.5);
  const act = () => hostile ? mischief.then(() => {}) : () => {};
  const form = () => random.pick(["flat", "compact"]);
  const anyManifest = () => {
    const made = manifest(random);
    return (hostile && flag() ? altered(place, made) : made).value;
  };
  const later = () => {
    const does = act();
    if (flag()) return does;
    const wait = random.pick([0, 0, 2]);
    return async () => {
      if (wait === 0) await undefined;
      else await new Promise((resolve) => setTimeout(resolve, wait));
      does();
    };
  };
  const transfer: Parts = { onProgress: act, signal: () => signal(random), sync: flag };
  const load: Parts = { prefetch: flag, record: flag, onProgress: () => () => {} };
  const written: Parts = {
    ...transfer,
    skip: () => random.pick(["absent", "zero", "nothing"]),
    generation: () => random.int(3),
    sha256: flag,
  };
  const { flat, compact, manifest: base } = prepared();
  switch (entry) {
    case "writeSnapshot":
      return written;
    case "snapshotWhileRunning":
      return { ...written, pause: later, resume: later, userModeOnly: flag };
    case "writeDiff":
      return { ...transfer, form, since: anyManifest, sha256: flag };
    case "applyDiff": {
      const diff = random.pick([flat, compact]).manifest;
      const manifests = { base, diff };
      const make = () =>
        hostile && flag() ? altered(place, { value: manifests, label: "" }).value : manifests;
      return { ...transfer, form, manifests: make, sha256: flag };
    }
    case "restore":
      return {
        ...{ mode: () => random.pick(["copyOnWrite", "eager", "eager", "copyOnWrite", "lazy"]) },
        ...load,
        lease: () => () => {},
        workingSet: () => workingSet(random),
        userModeOnly: flag,
        thread: () => random.chance(0.7),
      };
    case "new FaultServer":
      return load;
    default:
      return world.closed ? {} : transfer;
  }
}

function workingSet(random: Random): unknown {
  return random.pick<unknown>([
    [[STARTS[0], SIZE], [STARTS[2], 5]],
    [[STARTS[0], 2 * SIZE + 1]],
    [[0, 0]],
    [[STARTS[0], 0]],
    [[STARTS[0], -1]],
    [[STARTS[0]]],
    [7],
    [],
  ]);
}

function signal(random: Random): AbortSignal {
  const reason = new HostileError("aborted");
  if (random.chance(0.1)) return AbortSignal.abort(reason);
  const controller = new AbortController();
  if (random.chance(0.2)) setTimeout(() => controller.abort(reason), random.int(3));
  return controller.signal;
}
