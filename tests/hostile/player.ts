/** Makes random calls, and judges each. */
import type { Argument } from "./argument.ts";
import type { RealBuffer } from "./buffers.ts";
import * as making from "./making.ts";
import { Mischief } from "./mischief.ts";
import { type Call, faultOfResult, faultOfType, mayWrite } from "./model.ts";
import type { Place } from "./parameters.ts";
import { Random } from "./random.ts";
import { RECEIVERS } from "./receivers.ts";
import type { Subject } from "./subject.ts";
import { faultOf, faultOfRefusal } from "./verdict.ts";
import { entries, type Entry } from "./walk.ts";
import type { World } from "./world.ts";
import { anyWorld } from "./worlds.ts";

/** Calls that share a world. */
export const ROUND = 40;

/** What is wrong with a call. */
export interface Finding {
  /** The function and the kind of fault. */
  readonly key: string;
  readonly round: number;
  readonly call: string;
  readonly fault: string;
}

/** How the arguments of a call are chosen. */
type Mode = "good" | "one bad" | "all bad";

/** Plays rounds of calls. */
export class Player {
  readonly findings: Map<string, Finding> = new Map();
  readonly outcomes: Record<string, number> = {};
  readonly called: Set<string> = new Set();
  calls = 0;
  readonly #seed: number;
  readonly #entries: readonly Entry[];
  readonly #log: (call: string) => void;
  #round = 0;

  constructor(seed: number, log: (call: string) => void, only: string = "") {
    const { entries: all, missing } = entries();
    for (const what of missing) this.#find("missing", what, "the harness has none");
    this.#seed = seed;
    this.#log = log;
    // Errors have nothing to go wrong; what has an address has most.
    const weight = ({ isError, slots }: Entry) =>
      isError ? 1 : slots.some(({ name }) => name === "addr") ? 12 : 4;
    this.#entries = all.filter(({ name }) => name.includes(only)).flatMap((entry) =>
      Array<Entry>(weight(entry)).fill(entry)
    );
  }

  /** The names of all entries. */
  get names(): ReadonlySet<string> {
    return new Set(this.#entries.map(({ name }) => name));
  }

  /** Plays one round. It depends on nothing but its number and the seed. */
  async play(round: number): Promise<void> {
    this.#round = round;
    const random = new Random(Math.imul(this.#seed, 0x9e3779b1) + round);
    const mischief = new Mischief(random);
    const world = anyWorld(random, () => making.bitmap(random, mischief));
    mischief.world = world;
    for (let i = 0; i < ROUND && !(world.closed && i > ROUND / 2); i++) {
      await this.#call(random, world, mischief);
    }
    for (const error of world.end()) {
      const fault = faultOf(error, mischief);
      if (fault !== undefined) this.#find("end of the world", world.name, fault);
    }
  }

  async #call(random: Random, world: World, mischief: Mischief): Promise<void> {
    this.calls++;
    const entry = random.pick(this.#entries);
    mischief.done = false;
    mischief.again = undefined;
    const wasClosed = world.closed || world.physical.closed;
    const setting = { world, random, mischief };
    let subject: Subject | undefined;
    const args: Argument[] = [];
    const mode: Mode = random.pick(["good", "one bad", "one bad", "all bad"]);
    const badIndex = random.int(entry.slots.length);
    try {
      if (entry.receiver !== undefined) subject = RECEIVERS[entry.receiver]!(setting);
      for (const [i, { maker }] of entry.slots.entries()) {
        const place: Place = { ...setting, subject, entry: entry.name, before: args };
        const good = mode === "good" || mode === "one bad" && i !== badIndex;
        args.push(good ? maker.good(place) : maker.bad(place));
      }
    } catch (error) {
      // Nothing can be made of a memory that is closed.
      const fault = wasClosed || !world.modelled ? undefined : faultOf(error, mischief);
      if (fault !== undefined) this.#find(entry.name, "making the arguments", fault);
      return;
    }
    const text = `${subject?.label ?? ""} ${entry.name}(${
      args.map(({ label }) => label).join(", ")
    })`;
    this.#log(`round ${this.#round} of seed ${this.#seed}: ${text}`);
    const call: Call = { entry, subject, args };
    const values = args.map(({ value }) => value);
    // What may be left out is left out at times.
    while (mode === "good" && entry.slots[values.length - 1]?.optional && random.chance(0.5)) {
      values.pop();
    }
    mischief.again = () => {
      const result = entry.call(subject?.object, values);
      // The first call says what is wrong; nobody waits for the second.
      if (result instanceof Promise) result.catch(() => {});
    };
    const bad = mode === "one bad" ? args[badIndex] : undefined;
    const refused = bad?.wrong === true && entry.slots[badIndex]!.named &&
      !(bad.value === undefined && entry.slots[badIndex]!.optional) && !entry.isError &&
      // Accesses of no bytes succeed anywhere.
      !args.some(({ codec }) => codec?.size === 0);
    let outcome: { result: unknown } | { error: unknown };
    try {
      outcome = { result: await this.#settle(entry, entry.call(subject?.object, values), world) };
    } catch (error) {
      outcome = { error };
    }
    this.called.add(entry.name);
    const disturbed = mischief.done || wasClosed;
    for (
      const fault of this.#judge(call, outcome, disturbed, refused ? badIndex : undefined, mischief)
    ) {
      this.#find(entry.name, text, fault);
    }
    const allowed = mayWrite(call);
    for (const backing of world.backings) {
      const stray = backing.compare(allowed);
      if (stray !== undefined) {
        this.#find(entry.name, text, `wrote byte ${stray} of ${backing.name}`);
      }
    }
  }

  *#judge(
    call: Call,
    outcome: { result: unknown } | { error: unknown },
    disturbed: boolean,
    refused: number | undefined,
    mischief: Mischief,
  ): Generator<string> {
    const { entry, args } = call;
    if ("error" in outcome) {
      const { error } = outcome;
      this.#count(error instanceof Error ? error.name : "other");
      const fault = faultOf(error, mischief) ??
        (refused === undefined || disturbed
          ? undefined
          : faultOfRefusal(error, entry.slots[refused]!.name));
      if (fault !== undefined) yield fault;
    } else {
      this.#count("returned");
      if (refused !== undefined && !disturbed) {
        yield `took a wrong ${entry.slots[refused]!.name}: ${args[refused]!.label}`;
      }
      const fault = faultOfType(call, outcome.result) ??
        (disturbed ? undefined : faultOfResult(call, outcome.result));
      if (fault !== undefined) yield fault;
    }
    for (const { buffer } of args) yield* strayBytes(call, buffer);
  }

  // Waits for what a call promises. A lock may be taken for good.
  async #settle(entry: Entry, result: unknown, world: World): Promise<unknown> {
    if (isGenerator(result)) {
      // It has done nothing yet.
      let left = 100;
      for (const _ of result) if (left-- === 0) break;
      return result;
    }
    if (!(result instanceof Promise)) {
      if (isClosable(result) && !world.regions.includes(result as never)) world.made.push(result);
      return result;
    }
    if (entry.method !== "lock") return await result;
    result.then((guard) => guard.close(), (error) => {
      const fault = faultOf(error, new Mischief(new Random(0)));
      if (fault !== undefined) this.#find(entry.name, "lock", fault);
    });
    return undefined;
  }

  #count(outcome: string): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
  }

  #find(name: string, call: string, fault: string): void {
    // One of each kind: what follows a colon, and numbers, belong to one call.
    const key = `${name}: ${fault.replace(/(: |\n)[^]*/, "").replace(/[\d.]+|\[.*/g, "#")}`;
    if (this.findings.has(key)) return;
    this.findings.set(key, { key, round: this.#round, call, fault });
  }
}

const READS = /^(read|readSlice|copyTo|copyOut|write(All)?(Volatile|Vectored)To|writeVolatile)$/;

function* strayBytes({ entry }: Call, buffer: RealBuffer | undefined): Generator<string> {
  if (buffer === undefined) return;
  const writes = READS.test(entry.method);
  const stray = buffer.strayByte(0, writes ? buffer.length : 0);
  if (stray !== undefined) yield `wrote byte ${stray} of a buffer of ${buffer.length}`;
}

function isGenerator(value: unknown): value is Iterable<unknown> {
  return Object.prototype.toString.call(value) === "[object Generator]";
}

function isClosable(value: unknown): value is { close(): unknown } {
  try {
    return typeof value === "object" && value !== null &&
      typeof (value as { close?: unknown }).close === "function";
  } catch {
    return false;
  }
}
