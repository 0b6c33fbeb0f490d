import { assertEquals, assertThrows } from "@std/assert";
import { type Options, optionsOf, USAGE } from "../../../examples/guest/arguments.ts";
import { UsageError } from "../../../examples/lib/expected_error.ts";

const CHECKS = ["read", "files", "verify", "kill", "plug", "migrate", "control"] as const;

const DEFAULTS: Options = {
  mode: "shell",
  image: undefined,
  memory: 512,
  device: "deno",
  direct: false,
  accelerator: undefined,
  only: CHECKS,
  rounds: 3,
  json: false,
  yes: false,
};

Deno.test("the options of guest have defaults", () => {
  assertEquals(optionsOf([]), DEFAULTS);
  const shell = "--image a,b --memory 256 --device io_uring --direct --accel kvm --yes".split(" ");
  assertEquals(optionsOf(shell), {
    ...DEFAULTS,
    image: "a,b",
    memory: 256,
    device: "io_uring",
    direct: true,
    accelerator: "kvm",
    yes: true,
  });
  assertEquals(optionsOf(["--test", "--only", "plug,read"]), {
    ...DEFAULTS,
    mode: "test",
    only: ["plug", "read"],
  });
  assertEquals(optionsOf(["--bench", "--rounds", "20"]), {
    ...DEFAULTS,
    mode: "bench",
    rounds: 20,
  });
  for (const help of ["-h", "--help"]) assertEquals(optionsOf([help, "--memory", "x"]), undefined);
});

Deno.test("the help of guest names its options and checks", () => {
  const names = [
    "image",
    "memory",
    "device",
    "direct",
    "accel",
    "test",
    "only",
    "bench",
    "rounds",
    "yes",
  ];
  for (const name of names) assertEquals(USAGE.includes(`  --${name}`), true, name);
  for (const name of CHECKS) assertEquals(USAGE.includes(name), true, name);
});

Deno.test("arguments of guest that make no sense are refused", () => {
  const refuses = (args: string, reason: string) =>
    assertThrows(() => optionsOf(args.split(" ")), UsageError, reason);
  for (const size of ["255", "4097", "x", "1e3", "512.5"]) {
    refuses(`--memory=${size}`, `--memory is "${size}", not an integer from 256 to 4096`);
  }
  refuses("--device native", `--device is "native", not deno, threads or io_uring (see --help)`);
  refuses("--accel xen", `--accel is "xen", not kvm or tcg`);
  refuses("--test --only read,x", `--only is "x", not read, files`);
  refuses("--only read", "--only takes --test");
  refuses("--rounds 3", "--rounds takes --bench");
  refuses("--bench --rounds 0", `--rounds is "0", not an integer from 1 to 20`);
  refuses("--test --bench", "--test and --bench exclude each other");
  refuses("--bench --direct", "--bench measures both ways");
  refuses("--fast", "Unknown option '--fast' (see --help)");
  refuses("all", "(see --help)");
});
