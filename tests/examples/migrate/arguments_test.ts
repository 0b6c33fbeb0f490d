import { assertEquals, assertThrows } from "@std/assert";
import { type Options, optionsOf, USAGE } from "../../../examples/migrate/arguments.ts";
import { UsageError } from "../../../examples/lib/expected_error.ts";

const DEFAULTS: Options = {
  size: 2 ** 28,
  rate: 20_000,
  transport: "unix",
  tracker: "bitmap",
  json: false,
  incoming: undefined,
};

Deno.test("the options of migrate have defaults", () => {
  assertEquals(optionsOf([]), DEFAULTS);
  const all = "--size 8 --rate 1 --transport tcp --tracker kernel --json --incoming tcp".split(" ");
  assertEquals(optionsOf(all), {
    size: 2 ** 23,
    rate: 1,
    transport: "tcp",
    tracker: "kernel",
    json: true,
    incoming: "tcp",
  });
  for (const help of ["-h", "--help"]) assertEquals(optionsOf([help, "--size", "x"]), undefined);
  for (const name of Object.keys(DEFAULTS)) assertEquals(USAGE.includes(`  --${name}`), true, name);
});

Deno.test("arguments of migrate that make no sense are refused", () => {
  const refuses = (args: string, reason: string) =>
    assertThrows(() => optionsOf(args.split(" ")), UsageError, reason);
  for (const size of ["7", "4097", "x", "1e3", "64.5", "-8"]) {
    refuses(`--size=${size}`, `--size is "${size}", not an integer from 8 to 4096 (see --help)`);
  }
  refuses("--rate 0", `--rate is "0", not an integer from 1 to 100000000`);
  refuses("--transport udp", `--transport is "udp", not unix or tcp (see --help)`);
  refuses("--tracker x", `--tracker is "x", not bitmap, kernel or kvm (see --help)`);
  refuses("--incoming x", `--incoming is "x", not unix or tcp`);
  refuses("--fast", "Unknown option '--fast' (see --help)");
  refuses("all", "(see --help)");
});
