/** Makes random calls, and judges each. */
import type { Argument } from "./argument.ts";
import type { EntryPoint } from "./entry_points.ts";
import type { RealBuffer } from "./buffers.ts";
import * as making from "./making.ts";
import { Mischief } from "./mischief.ts";
import { type Call, faultOfResult, faultOfType, mayWrite } from "./model.ts";
import type { Place } from "./parameters.ts";
import { Random } from "./random.ts";
import { RECEIVERS } from "./receivers.ts";
import { faultOfFiles } from "./snapshot_model.ts";
import * as snapshots from "./snapshots.ts";
import type { Subject } from "./subject.ts";
import { faultOf, faultOfRefusal } from "./verdict.ts";
import { entries, type Entry } from "./walk.ts";
import type { World } from "./world.ts";
import { anyWorld } from "./worlds.ts";

/** Calls that share a world. */
export const ROUND = 40;
// Calls of a round that are made in turn.
const TURNS = 8;

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
  readonly #each: readonly Entry[];
  // With those many times that have much to go wrong.
  readonly #entries: readonly Entry[];
  readonly #log: (call: string) => void;
  #round = 0;
  // What ends with the world.
  #pending: { readonly what: string; readonly promise: Promise<unknown> }[] = [];

  constructor(
    seed: number,
    log: (call: string) => void,
    only: string = "",
    points?: readonly EntryPoint[],
  ) {
    const { entries: all, missing } = entries(points);
    for (const what of missing) this.#find("missing", what, "the harness has none");
    this.#seed = seed;
    this.#log = log;
    // Errors have nothing to go wrong; what has an address, or a file, has most. Threads take time.
    const weight = ({ name, isError, slots }: Entry) => {
      if (isError || THREADS.test(name)) return 1;
      return slots.some(({ name }) => MOST.includes(name)) || QUEUES.test(name) ? 12 : 4;
    };
    this.#each = all.filter(({ name }) => name.includes(only));
    this.#entries = this.#each.flatMap((entry) => Array<Entry>(weight(entry)).fill(entry));
  }

  /** The names of all entries. */
  get names(): ReadonlySet<string> {
    return new Set(this.#each.map(({ name }) => name));
  }

  /** Plays one round. It depends on nothing but its number and the seed. */
  async play(round: number): Promise<void> {
    this.#round = round;
    await snapshots.prepare();
    const random = new Random(Math.imul(this.#seed, 0x9e3779b1) + round);
    const mischief = new Mischief(random);
    const world = anyWorld(random, () => making.bitmap(random, mischief));
    mischief.world = world;
    for (let i = 0; i < ROUND && !(world.closed && i > ROUND / 2); i++) {
      // Each has its turn, also where few calls are made.
      const turn = (round * TURNS + i / (ROUND / TURNS)) % this.#each.length;
      const entry = Number.isInteger(turn) ? this.#each[turn]! : random.pick(this.#entries);
      await this.#call(entry, random, world, mischief);
    }
    const errors = world.end();
    for (const { what, promise } of this.#pending.splice(0)) {
      const settled = await withLimit(promise.then(() => undefined, (error) => error));
      const fault = settled === UNSETTLED ? "never settled" : faultOf(settled, mischief);
      if (settled !== undefined && fault !== undefined) this.#find(what, "after its round", fault);
    }
    for (const error of errors) {
      const fault = faultOf(error, mischief);
      if (fault !== undefined) this.#find("end of the world", world.name, fault);
    }
  }

  async #call(entry: Entry, random: Random, world: World, mischief: Mischief): Promise<void> {
    this.calls++;
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
    // What it took to make them is not the call's.
    for (const backing of world.backings) backing.compare(undefined);
    // What may be left out is left out at times.
    while (mode === "good" && entry.slots[args.length - 1]?.optional && random.chance(0.5)) {
      args.pop();
    }
    const call: Call = { entry, subject, args };
    const values = args.map(({ value }) => value);
    mischief.again = () => {
      const result = entry.call(subject?.object, values);
      // The first call says what is wrong; nobody waits for the second.
      if (result instanceof Promise) this.#keep(text, result);
      else if (isClosable(result)) world.made.push(result);
    };
    const bad = mode === "one bad" ? args[badIndex] : undefined;
    const refused = bad?.wrong === true && entry.slots[badIndex]!.named &&
      !(bad.value === undefined && entry.slots[badIndex]!.optional) && !entry.isError &&
      // Accesses of no bytes succeed anywhere.
      !args.some(({ codec }) => codec?.size === 0);
    let outcome: { result: unknown } | { error: unknown };
    try {
      const result = entry.call(subject?.object, values);
      outcome = { result: await this.#settle(entry, text, result, world) };
    } catch (error) {
      outcome = { error };
    }
    mischief.calm();
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
        (disturbed ? undefined : faultOfResult(call, outcome.result)) ??
        (disturbed ? undefined : faultOfFiles(call, outcome.result));
      if (fault !== undefined) yield fault;
    }
    for (const { buffer } of args) yield* strayBytes(call, buffer);
  }

  // Waits for what a call promises. A lock may be taken for good.
  async #settle(entry: Entry, text: string, result: unknown, world: World): Promise<unknown> {
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
    if (entry.method === "done") {
      this.#keep(text, result);
      return undefined;
    }
    if (entry.method !== "lock") {
      const settled = await withLimit(result);
      if (settled === UNSETTLED) this.#find(entry.name, text, "never settled");
      return settled;
    }
    result.then((guard) => guard.close(), (error) => {
      const fault = faultOf(error, new Mischief(new Random(0)));
      if (fault !== undefined) this.#find(entry.name, "lock", fault);
    });
    return undefined;
  }

  // Has a promise be settled before the next round.
  #keep(what: string, promise: Promise<unknown>): void {
    promise.catch(() => {});
    this.#pending.push({ what, promise });
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

const MOST = ["addr", "file", "base", "manifest"];
const QUEUES = /^Virtqueue#(pop|addUsed|needsNotification|notifyOnAvail|refresh)$/;
// They start a thread.
const THREADS = /FaultHandler|FaultServer|snapshotWhileRunning/;

// Milliseconds after which a promise is taken for one that will never be settled.
const LIMIT = 15_000;
const UNSETTLED = Symbol("unsettled");

async function withLimit(promise: Promise<unknown>): Promise<unknown> {
  let timer;
  const limit = new Promise<unknown>((resolve) => {
    timer = setTimeout(() => resolve(UNSETTLED), LIMIT);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
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
