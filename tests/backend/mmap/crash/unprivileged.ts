/** Becomes a user without privileges, and tries options. */
import {
  Backing,
  capabilities,
  type MmapOptions,
  MmapRegion,
  OptionRefused,
  SystemError,
} from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

// Opened while everything may be read.
new MmapRegion(4096).close();
capabilities();

const { symbols } = Deno.dlopen("libc.so.6", {
  setresgid: { parameters: ["u32", "u32", "u32"], result: "i32" },
  setresuid: { parameters: ["u32", "u32", "u32"], result: "i32" },
});
const NOBODY = 65534;
const isNobody = symbols.setresgid(NOBODY, NOBODY, NOBODY) === 0 &&
  symbols.setresuid(NOBODY, NOBODY, NOBODY) === 0;

function refusal(options: MmapOptions): unknown {
  try {
    // More than RLIMIT_MEMLOCK of a user, which is 8 MiB.
    new MmapRegion(2 ** 26, options).close();
    return "granted";
  } catch (error) {
    if (!(error instanceof OptionRefused && error.cause instanceof SystemError)) throw error;
    const { call, code } = error.cause;
    const says = error.message.includes("RLIMIT_MEMLOCK") ? "RLIMIT_MEMLOCK" : error.message;
    return [error.name, error.option, `${call} ${code}`, says];
  }
}

const small = (options: MmapOptions) => attempt(() => new MmapRegion(2 ** 22, options).close());

if (!isNobody) console.log(JSON.stringify("no other user"));
else {
  const { backings, options, calls } = capabilities();
  console.log(JSON.stringify({
    lock: refusal({ lock: "onfault" }),
    lockAll: refusal({ lock: true }),
    memfd: small({ backing: Backing.memfd() }),
    prefault: small({ prefault: true }),
    dontDump: small({ dontDump: true }),
    mergeable: small({ mergeable: true }),
    capabilities: [
      backings.memfd.available,
      options.prefault.available,
      calls.userfaultfd.available,
    ],
  }));
}
