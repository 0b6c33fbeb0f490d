/** Sources and sinks: cursors, and those that lie. */
import { closeSync, openSync } from "node:fs";
import { Cursor, Fd, type VolatileSlice } from "../../mod.ts";
import type { Argument } from "./argument.ts";
import * as buffers from "./buffers.ts";
import * as junk from "./junk.ts";
import { INTERRUPTED, type Mischief } from "./mischief.ts";
import type { Random } from "./random.ts";

/** A cursor over a plain buffer. */
export function cursor(random: Random): Argument {
  const argument = buffers.plain(random, random.pick([0, 1, 8, 64, 200]));
  const position = random.int(argument.buffer!.length + 2);
  const label = `new Cursor(${argument.label}, ${position})`;
  const value = new Cursor(argument.value as Uint8Array, position);
  return { value, label, buffer: argument.buffer, position };
}

/** A source or a sink that is not as it should be. */
export function hostile(random: Random, mischief: Mischief): Argument {
  return random.pick([lyingCursor, lyingCursor, stream, stream, stream, descriptor, nothing])(
    random,
    mischief,
  );
}

function lyingCursor(random: Random, mischief: Mischief): Argument {
  const argument = random.chance(0.5) ? buffers.plain(random) : buffers.hostile(random, mischief);
  const value = new Cursor(argument.value as Uint8Array);
  let label = `Cursor of ${argument.label}`;
  switch (random.int(6)) {
    case 0: {
      const positions = [junk.anything(random, mischief), junk.number(random)];
      let asked = 0;
      Object.defineProperty(value, "position", {
        get: () => positions[asked++ % 2]!.value,
        set() {},
      });
      label += ` at ${positions.map(({ label }) => label).join(" or ")}`;
      break;
    }
    case 1: {
      const position = junk.anything(random, mischief);
      value.position = position.value as number;
      label += ` at ${position.label}`;
      break;
    }
    case 2: {
      const count = junk.anything(random, mischief);
      value.readVolatile = value.writeVolatile = mischief.then(() => count.value as number);
      label += ` whose own methods do ${mischief.last} and return ${count.label}`;
      break;
    }
    case 3: {
      const bytes = mischief.then(() => argument.value);
      Object.defineProperty(value, "bytes", { get: bytes });
      label += ` whose bytes do ${mischief.last}`;
      break;
    }
    case 4: {
      class Other extends Cursor {
        override peek(): never {
          mischief.run();
          return undefined as never;
        }
        override advance(): never {
          return undefined as never;
        }
      }
      return {
        value: new Other(argument.value as Uint8Array),
        label: `derived ${label}`,
        buffer: argument.buffer,
      };
    }
  }
  return { value, label, buffer: argument.buffer };
}

// Objects with the methods of streams. What they write is in what they were given.
function stream(random: Random, mischief: Mischief): Argument {
  const failing = random.chance(0.1);
  const lie = random.chance(0.5) ? junk.anything(random, mischief) : undefined;
  let asked = 0;
  const count = (length: number): number => {
    // Who is asked on and on says that it has ended.
    if (++asked > 2000) return 0;
    if (failing) throw INTERRUPTED;
    if (lie !== undefined && random.chance(0.7)) return lie.value as number;
    return random.chance(0.8) ? length : random.int(length + 1);
  };
  const before = mischief.then(() => {});
  const first = mischief.last;
  const fill = (slice: VolatileSlice): number => {
    if (random.chance(0.7)) slice.write(new Uint8Array(random.int(slice.len + 1)).fill(7), 0);
    before();
    return count(slice.len);
  };
  const ask = (length: number): number => {
    before();
    return count(length);
  };
  const lengthOf = (slices: readonly VolatileSlice[]) => slices.reduce((n, { len }) => n + len, 0);
  const shown = `does ${first}, ${failing ? "is interrupted" : `counts ${lie?.label ?? "right"}`}`;
  if (random.chance(0.4)) {
    return {
      value: {
        readSync(view: Uint8Array) {
          if (random.chance(0.7)) view.fill(7, random.int(view.length + 1));
          return ask(view.length);
        },
        writeSync: (view: Uint8Array) => ask(view.length),
      },
      label: `ReaderSync that ${shown}`,
    };
  }
  const plain = { readVolatile: fill, writeVolatile: (slice: VolatileSlice) => ask(slice.len) };
  if (random.chance(0.5)) return { value: plain, label: `ReadVolatile that ${shown}` };
  return {
    value: {
      ...plain,
      readVectoredVolatile(slices: VolatileSlice[]) {
        for (const slice of slices) if (random.chance(0.5)) slice.write(new Uint8Array(2), 0);
        // The list is the stream's to change.
        if (random.chance(0.1)) slices.length = 0;
        return ask(lengthOf(slices));
      },
      writeVectoredVolatile: (slices: VolatileSlice[]) => ask(lengthOf(slices)),
    },
    label: `vectored stream that ${shown}`,
  };
}

// An open device that gives zeroes and takes everything.
const zero = openSync("/dev/zero", "r+");
addEventListener("unload", () => closeSync(zero));
// A descriptor that is never open.
const NOBODY = 2 ** 31 - 1;

/** A stream over a descriptor. */
export function descriptor(random: Random): Argument {
  if (random.chance(0.3)) return { value: new Fd(NOBODY), label: "new Fd(2 ** 31 - 1)" };
  const value = new Fd(zero);
  const label = "new Fd(/dev/zero)";
  if (random.chance(0.5)) return { value, label };
  const position = random.pick([0, 512, 2 ** 53 - 1]);
  return { value: value.at(position), label: `${label}.at(${position})` };
}

function nothing(random: Random, mischief: Mischief): Argument {
  if (random.chance(0.5)) return junk.anything(random, mischief);
  const { value, label } = junk.anything(random, mischief);
  const stream = { readVolatile: value, writeVolatile: value, readVectoredVolatile: value };
  return { value: stream, label: `{ readVolatile: ${label} }` };
}
