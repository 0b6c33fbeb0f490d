/**
 * The operations of `Bytes`, which memories, regions, slices and translated memories share.
 *
 * @module
 */
import type { Bytes } from "@vmm/guest-memory";
import { outcomeOf } from "./outcome.ts";
import { digest, pattern, untouched } from "./pattern.ts";
import { makeSink, makeSource } from "./streams.ts";
import { type Json, type JsonObject, numberOf, textOf } from "./trace.ts";
import { withObject, withScalar } from "./value_types.ts";

type Args = readonly Json[];
type Method = <A extends number>(bytes: Bytes<A>, addr: A, args: Args) => JsonObject;

/** The operations by name, without the level. Arguments are those after the place. */
export const BYTES: Readonly<Record<string, Method>> = {
  write: (bytes, addr, args) => outcomeOf(() => bytes.write(input(args), addr)),
  write_slice: (bytes, addr, args) => outcomeOf(() => bytes.writeSlice(input(args), addr)),
  read: (bytes, addr, args) =>
    outcomeOf(() => {
      const buffer = untouched(numberOf(args[0]));
      return [bytes.read(buffer, addr), digest(buffer)];
    }),
  read_slice(bytes, addr, args) {
    const buffer = untouched(numberOf(args[0]));
    const outcome = outcomeOf(() => {
      bytes.readSlice(buffer, addr);
      return digest(buffer);
    });
    return outcome["err"] === "PartialBuffer" ? { ...outcome, data: digest(buffer) } : outcome;
  },
  write_obj: (bytes, addr, [type, value]) =>
    outcomeOf(() =>
      withObject(textOf(type), ({ codec, fromJson }) => {
        bytes.writeObj(codec, fromJson(value), addr);
      })
    ),
  read_obj: (bytes, addr, [type]) =>
    outcomeOf(() =>
      withObject(textOf(type), ({ codec, toJson }) => toJson(bytes.readObj(codec, addr)))
    ),
  store: (bytes, addr, [type, value]) =>
    outcomeOf(() =>
      withScalar(textOf(type), ({ codec, fromJson }) => {
        bytes.store(codec, fromJson(value), addr);
      })
    ),
  load: (bytes, addr, [type]) =>
    outcomeOf(() =>
      withScalar(textOf(type), ({ codec, toJson }) => toJson(bytes.load(codec, addr)))
    ),
  read_volatile_from(bytes, addr, [spec, count]) {
    using source = makeSource(spec);
    const outcome = outcomeOf(() => bytes.readVolatileFrom(addr, source.stream, numberOf(count)));
    return { ...outcome, ...source.record() };
  },
  read_exact_volatile_from(bytes, addr, [spec, count]) {
    using source = makeSource(spec);
    const outcome = outcomeOf(() =>
      bytes.readExactVolatileFrom(addr, source.stream, numberOf(count))
    );
    return { ...outcome, ...source.record() };
  },
  write_volatile_to(bytes, addr, [spec, count]) {
    using sink = makeSink(spec);
    const outcome = outcomeOf(() => bytes.writeVolatileTo(addr, sink.stream, numberOf(count)));
    return { ...outcome, ...sink.record() };
  },
  write_all_volatile_to(bytes, addr, [spec, count]) {
    using sink = makeSink(spec);
    const outcome = outcomeOf(() => bytes.writeAllVolatileTo(addr, sink.stream, numberOf(count)));
    return { ...outcome, ...sink.record() };
  },
};

function input([seed, length]: Args): Uint8Array {
  return pattern(numberOf(seed), numberOf(length));
}
