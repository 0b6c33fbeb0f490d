/** Values that are due nowhere. */
import { type Argument, HostileError } from "./argument.ts";
import type { Mischief } from "./mischief.ts";
import type { Random } from "./random.ts";

const NUMBERS: readonly number[] = [
  ...[NaN, -1, 0.5, 1.5, -0, 0, 1, 2, 7, 8, 64, 4095, 4096, 4097, 8191, 8192, Infinity, -Infinity],
  ...[2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 40, 2 ** 52, 2 ** 53 - 1],
  ...[2 ** 53, 2 ** 53 + 2, 2 ** 63, 2 ** 64, -(2 ** 31), -(2 ** 53), Number.MIN_VALUE, 5e-324],
  Number.MAX_VALUE,
];

// Memory of such sizes would really be taken.
const isCostly = (n: number) => n > 2 ** 22 && n < 2 ** 50;

/** A number that is seldom right. */
export function number(random: Random): Argument {
  const value = random.pick(NUMBERS);
  return { value, label: Object.is(value, -0) ? "-0" : String(value) };
}

/** As {@linkcode number}, where so many bytes would be taken. */
export function size(random: Random): Argument {
  const argument = number(random);
  return isCostly(argument.value as number) ? { value: 4096, label: "4096" } : argument;
}

/** A primitive value of a type that is no number's. */
export function wrongPrimitive(random: Random): Argument {
  const [value, label] = random.pick<[unknown, string]>([
    ["8", '"8"'],
    ["x", '"x"'],
    ["", '""'],
    [8n, "8n"],
    [2n ** 64n, "2n ** 64n"],
    [-1n, "-1n"],
    [undefined, "undefined"],
    [Symbol("s"), 'Symbol("s")'],
  ]);
  return { value, label, wrong: true };
}

/** An object, or another value that is no number. */
export function object(random: Random, mischief: Mischief): Argument {
  const result = random.pick([8, NaN, -1, 0, 2 ** 53, "8", 8n]);
  const [value, label] = random.pick<() => [unknown, string]>([
    () => [null, "null"],
    () => [true, "true"],
    () => [{}, "{}"],
    () => [[], "[]"],
    () => [[8], "[8]"],
    () => [() => result, `() => ${String(result)}`],
    () => [Object.create(null), "Object.create(null)"],
    () => [mischief.object(() => result), `{ valueOf: ${mischief.last}, then ${String(result)} }`],
    () => [proxy(random, mischief), "a proxy"],
    () => [revoked(), "a revoked proxy"],
    () => [throwing(), "an object whose every property throws"],
    () => [new Date(0), "new Date(0)"],
  ])();
  return { value, label };
}

/** Anything. */
export function anything(random: Random, mischief: Mischief): Argument {
  const kind = random.int(3);
  if (kind === 0) return number(random);
  return kind === 1 ? wrongPrimitive(random) : object(random, mischief);
}

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function throwing(): unknown {
  return new Proxy({}, {
    get(_target, key) {
      throw new HostileError(`get ${String(key)}`);
    },
  });
}

/** An object that has every property, each of them random, and functions of the like. */
export function proxy(random: Random, mischief: Mischief): unknown {
  const small = () => random.pick([0, 1, 2, 8, NaN, -1, 0.5, 2 ** 53, "8", 8n, undefined, null]);
  const answer = (depth: number, key: PropertyKey): unknown => {
    // An iterator that never ends, or a promise, is its author's own affair.
    if (key === "then") return undefined;
    if (key === Symbol.iterator) {
      return () => Array.from({ length: random.int(3) }, () => make(depth + 1)).values();
    }
    if (key === Symbol.toPrimitive) return random.chance(0.5) ? undefined : () => small();
    if (key === "length" || key === "byteLength") return random.int(100);
    if (random.chance(0.1)) mischief.run();
    if (depth > 2 || random.chance(0.4)) return small();
    return make(depth + 1);
  };
  const make = (depth: number): unknown =>
    new Proxy(function () {}, {
      get: (_target, key) => key === "prototype" ? {} : answer(depth, key),
      has: () => random.chance(0.7),
      apply: () => answer(depth, "result"),
      getPrototypeOf: () => null,
    });
  return make(0);
}
