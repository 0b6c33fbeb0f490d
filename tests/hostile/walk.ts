/** Everything that the library exports and that can be called. */
import { type EntryPoint, EXPORTS } from "./entry_points.ts";
import { EXCLUDED, OPTIONAL, UNNAMED } from "./exclusions.ts";
import { type Maker, makerOf } from "./parameters.ts";
import { parametersOf } from "./parameters_of.ts";
import { RECEIVERS } from "./receivers.ts";

const ALL = Object.keys(EXPORTS) as EntryPoint[];

type Callable = (...args: unknown[]) => unknown;

/** A parameter and what makes arguments for it. */
export interface Slot {
  readonly name: string;
  readonly optional: boolean;
  readonly maker: Maker;
  /** Whether a value of a wrong type has to be refused by its name. */
  readonly named: boolean;
}

/** Something that can be called. */
export interface Entry {
  /** Its full name, such as `VolatileSlice#read` or `new Fd`. */
  readonly name: string;
  /** Its own name. */
  readonly method: string;
  /** The name of the class whose instance it is called on; none for functions. */
  readonly receiver: string | undefined;
  /** Whether it makes an error: what it is given is shown and kept, and not calculated with. */
  readonly isError: boolean;
  readonly slots: readonly Slot[];
  /** Calls it on an object, if it is a method. */
  call(on: object | undefined, args: readonly unknown[]): unknown;
}

/** All entries of some entry points, and what is missing to call them. */
export function entries(
  points: readonly EntryPoint[] = ALL,
): { entries: Entry[]; missing: string[] } {
  const found: Entry[] = [];
  const missing: string[] = [];
  const add = (
    name: string,
    owner: string,
    receiver: string | undefined,
    callable: Callable,
    call: Entry["call"],
  ) => {
    if (name in EXCLUDED) return;
    const slots: Slot[] = [];
    for (const { name: parameter, optional: hasDefault } of parametersOf(callable)) {
      const optional = hasDefault || OPTIONAL.has(`${name}.${parameter}`);
      const maker = makerOf(name, owner, parameter);
      if (maker === undefined) missing.push(`an argument for ${parameter} of ${name}`);
      else slots.push({ name: parameter, optional, maker, named: isNamed(name, parameter, maker) });
    }
    const method = name.slice(Math.max(name.lastIndexOf("#"), name.lastIndexOf(".")) + 1);
    const isError = callable.prototype instanceof Error;
    found.push({ name, method, receiver, isError, slots, call });
  };
  const addClass = (name: string, Class: Callable) => {
    add(`new ${name}`, name, undefined, Class, (_on, args) => Reflect.construct(Class, args));
    for (const [key, { value }] of properties(Class)) {
      if (typeof value !== "function" || key === "prototype") continue;
      add(
        `${name}.${String(key)}`,
        name,
        undefined,
        value,
        (_on, args) => value.apply(Class, args),
      );
    }
    if (Class.prototype instanceof Error) return;
    if (!(name in RECEIVERS)) missing.push(`an instance of ${name}`);
    const known = new Set<PropertyKey>();
    for (let proto = Class.prototype; proto !== Object.prototype;) {
      for (const [key, { value, get, set }] of properties(proto)) {
        if (key === "constructor" || known.has(key)) continue;
        known.add(key);
        const call = (value ?? get) as Callable | undefined;
        const entry = `${name}#${String(key)}`;
        // Of a derived class, its own.
        const use: Entry["call"] = get === undefined
          ? (on, args) => Reflect.apply(Reflect.get(on!, key), on, args)
          : (on) => Reflect.get(on!, key);
        if (typeof call === "function") add(entry, name, name, call, use);
        if (set !== undefined) missing.push(`a call of the setter ${entry}`);
      }
      proto = Object.getPrototypeOf(proto);
    }
  };
  for (const [name, value] of points.flatMap((point) => Object.entries(EXPORTS[point]))) {
    if (typeof value === "function") {
      if (String(value).startsWith("class")) addClass(name, value as Callable);
      else add(name, name, undefined, value as Callable, (_on, args) => value(...args));
    } else if (typeof value === "object" && value !== null) {
      for (const [key, { value: call }] of properties(value)) {
        if (typeof call !== "function") continue;
        add(
          `${name}.${String(key)}`,
          name,
          undefined,
          call,
          (_on, args) => call.apply(value, args),
        );
      }
    } else if (typeof value !== "number") missing.push(`a way to use ${name}`);
  }
  return { entries: found, missing };
}

function isNamed(entry: string, parameter: string, { named = false }: Maker): boolean {
  return named && !UNNAMED.some(([pattern]) => pattern.test(`${entry}.${parameter}`));
}

function properties(object: object): [PropertyKey, PropertyDescriptor][] {
  return Reflect.ownKeys(object).map((key) => [key, Object.getOwnPropertyDescriptor(object, key)!]);
}
