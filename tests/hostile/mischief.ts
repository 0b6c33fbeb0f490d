/** What hostile code does when it is called in the middle of an access. */
import { HOSTILE_TEXT, HostileError } from "./argument.ts";
import type { Random } from "./random.ts";
import type { World } from "./world.ts";

/** An error that says again and again that a signal came. */
export const INTERRUPTED: Error = Object.assign(new HostileError("interrupted"), {
  name: "Interrupted",
});

type Kind =
  | "nothing"
  | "close"
  | "closeRegion"
  | "transfer"
  | "replace"
  | "protect"
  | "unprotect"
  | "again"
  | "spoil"
  | "touch"
  | "throw"
  | "throwText"
  | "throwNothing";

const KINDS: readonly Kind[] = [
  ...["nothing", "close", "closeRegion", "transfer", "replace", "again"] as const,
  ...["protect", "unprotect", "throw", "spoil", "touch"] as const,
  ...["throwText", "throwNothing"] as const,
];

/** Makes functions that do something bad once or twice, and notes whether they have. */
export class Mischief {
  /** Whether anything was done that changes what the call should do. */
  done = false;
  /** What was chosen last, for labels. */
  last: Kind = "nothing";
  #random: Random;
  #depth = 0;
  #again: (() => unknown) | undefined;
  #repeated = 0;
  readonly #timers: ReturnType<typeof setTimeout>[] = [];
  #kind: Kind = "nothing";

  /** The memory that it is done to. Nothing is done before there is one. */
  world: World | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The call itself, for those who make it again. */
  get again(): (() => unknown) | undefined {
    return this.#again;
  }

  set again(call: (() => unknown) | undefined) {
    this.#again = call;
    this.#repeated = 0;
  }

  /** Chooses what will be done. */
  choose(): Kind {
    return this.last = this.#kind = this.#random.pick(KINDS);
  }

  /** Does it. */
  run(kind: Kind = this.#kind): void {
    if (this.#depth > 2 || this.world === undefined) return;
    this.#depth++;
    try {
      this.#do(kind, this.world);
    } finally {
      this.#depth--;
    }
  }

  #do(kind: Kind, world: World): void {
    if (kind === "nothing") return;
    this.done = true;
    switch (kind) {
      case "close":
        return world.close();
      case "closeRegion":
        return world.closeRegion();
      case "transfer":
        return world.transfer();
      case "replace":
        return world.replace();
      case "protect":
        return world.protect(this.#random.pick([0, 1, 2] as const));
      case "unprotect":
        return world.protect(3);
      case "spoil":
        for (const file of world.files) file.spoil(this.#random);
        return;
      case "touch":
        return world.touch();
      case "again":
        // Who does so each time never ends.
        if (this.#repeated++ < 20) this.again?.();
        return;
      case "throw":
        throw new HostileError("thrown on purpose");
      case "throwText":
        throw `${HOSTILE_TEXT}thrown on purpose`;
      case "throwNothing":
        throw undefined;
    }
  }

  /** Does something while the call waits, after some milliseconds. */
  soon(milliseconds: number): void {
    const kind = this.choose();
    const act = () => {
      try {
        this.run(kind);
      } catch {
        // Nobody called it.
      }
    };
    this.#timers.push(setTimeout(act, milliseconds));
  }

  /** Nothing more is done {@linkcode Mischief.soon}. */
  calm(): void {
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
  }

  /** A function that does it, and returns what another function does. */
  then<A extends unknown[], T>(next: (...args: A) => T): (...args: A) => T {
    const kind = this.choose();
    return (...args) => {
      this.run(kind);
      return next(...args);
    };
  }

  /** An object that does it when it is converted to a number, or a bigint. */
  object(value: () => unknown): unknown {
    const convert = this.then(value);
    return { valueOf: convert, toString: () => "hostile" };
  }
}
