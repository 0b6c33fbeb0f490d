import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Inlined, inlinedInto, NO_BUDGET, parse } from "./inlining_budget/trace.ts";

// V8 makes functions part of a loop as long as their bytecode adds up to this.
const BUDGET = 920;

// A function that V8 has optimised for itself counts with all that is part of it, small functions
// too, and a fifth more: a way up to here becomes part of a loop whatever has run before.
const ALWAYS = Math.floor(BUDGET / 1.2);

/** A fast path of `GuestRegionCollection`. */
interface Way {
  /** What a loop does. */
  readonly statement: string;
  /** Files that it goes through. */
  readonly files: readonly string[];
  /** Whether it is to become part of a loop whatever has run before. */
  readonly always: boolean;
}

// In a loop whose accesses are in one region: the look-up compares with the last range.
const LOOKUP = [
  "src/guest/region_collection.ts",
  "src/guest/host_range.ts",
  "src/backend/mmap/mapped_memory.ts",
];
const VALUE = {
  files: [...LOOKUP, "src/codec/scalar.ts"],
  always: true,
};
// Out of a mapping by `memmove`, into it by `set`.
const COPY_OUT = { files: [...LOOKUP, "ffi/memory.ts", "ffi/libc.ts"], always: true };
const COPY_IN = { files: [...LOOKUP, "src/host/bytes.ts"], always: true };
const CURSOR = "src/volatile/cursor.ts";

const WAYS: Readonly<Record<string, Way>> = {
  read: { statement: "sum += memory.read(buffer, at)", ...COPY_OUT },
  write: { statement: "sum += memory.write(buffer, at)", ...COPY_IN },
  readObj: { statement: "sum += memory.readObj(u32, at)", ...VALUE },
  writeObj: { statement: "memory.writeObj(u32, i, at)", ...VALUE },
  load: { statement: "sum += memory.load(u32, at)", ...VALUE },
  store: { statement: "memory.store(u32, i, at)", ...VALUE },
  readVolatileFrom: {
    statement: "cursor.position = 0; sum += memory.readVolatileFrom(at, cursor, 512)",
    files: [...COPY_IN.files, CURSOR],
    always: false,
  },
  writeVolatileTo: {
    statement: "cursor.position = 0; sum += memory.writeVolatileTo(at, cursor, 512)",
    files: [...COPY_OUT.files, CURSOR],
    always: false,
  },
};

function sum(functions: readonly Inlined[]): number {
  return functions.reduce((total, { bytes }) => total + bytes, 0);
}

function counting(functions: readonly Inlined[]): Inlined[] {
  return functions.filter(({ counts }) => counts);
}

function table(access: string, functions: readonly Inlined[]): string {
  const lines = functions.map(({ name, file, bytes, counts }) =>
    `${`${bytes}`.padStart(6)} ${counts ? " " : "-"} ${name.padEnd(20)} ${file}`
  );
  return [
    `${access}: ${sum(functions)} bytes of bytecode, of which ${sum(counting(functions))} count ` +
    `("-": too small to count)`,
    ...lines,
  ].join("\n");
}

// What a list has more than another, one for each call.
function without(functions: readonly Inlined[], others: readonly Inlined[]): Inlined[] {
  const rest = others.map(({ name, file }) => `${file} ${name}`);
  return functions.filter(({ name, file }) => {
    const at = rest.indexOf(`${file} ${name}`);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

for (const [access, { statement, files, always }] of Object.entries(WAYS)) {
  Deno.test(`V8 makes all of GuestRegionCollection.${access} part of a loop`, async () => {
    const [way, inlined] = await Promise.all([
      inlinedInto(statement, NO_BUDGET),
      inlinedInto(statement),
    ]);
    const all = table(access, way);
    const missing = files.filter((name) => !way.some(({ file }) => file === name));
    assertEquals(missing, [], `V8 calls the functions of some files, whatever its budget\n${all}`);
    const left = without(way, inlined).map(({ name, file }) => `${name} (${file})`);
    assertEquals(left, [], `V8 calls some functions, as its budget does not reach\n${all}`);
    const counted = sum(counting(way));
    assert(counted <= BUDGET, `the budget is ${BUDGET} bytes\n${all}`);
    if (!always) return;
    assert(sum(way) <= ALWAYS, `over ${ALWAYS} bytes, V8 may call what it compiled before\n${all}`);
  });
}

const LOG = `Begin compiling method hotLoop using TurboFan
Considering 0x1 {0x2 <SharedFunctionInfo read>} for inlining with 0x3 {0x4 <FeedbackVector[21]>}
Budget used: 0/920 -- 1 candidate(s) for inlining:
Inlining 0x1 {0x2 <SharedFunctionInfo read>} into 0x5 {0x6 <SharedFunctionInfo hotLoop>}
Inlining small function(s) at call site #268:JSCall
Inlining 0x7 {0x8 <SharedFunctionInfo get closed>} into 0x5 {0x6 <SharedFunctionInfo hotLoop>}
`;

const TRACE = {
  inlinings: { 0: { sourceId: 0 }, 1: { sourceId: 1 } },
  sources: {
    0: { functionName: "read", sourceName: new URL("../src/a.ts", import.meta.url).href },
    1: { functionName: "get closed", sourceName: new URL("../src/b.ts", import.meta.url).href },
  },
  bytecodeSources: {
    0: { bytecodeSource: { data: [{ offset: 84, disassembly: "00 0d 10  LdaSmi.Wide [1]" }] } },
    1: { bytecodeSource: { data: [{ offset: 5, disassembly: "b3                Return" }] } },
  },
};

Deno.test("the traces of V8 say what is part of a loop", () => {
  assertEquals(parse(LOG, JSON.stringify(TRACE)), [
    { name: "read", file: "src/a.ts", bytes: 87, counts: true },
    { name: "get closed", file: "src/b.ts", bytes: 6, counts: false },
  ]);
});

for (
  const [what, log, trace] of [
    ["is no JSON", LOG, "{"],
    ["has no bytecode", LOG, JSON.stringify({ ...TRACE, bytecodeSources: {} })],
    ["has nothing", LOG, JSON.stringify({ ...TRACE, inlinings: {} })],
    ["does not fit the log", LOG.slice(0, -100), JSON.stringify(TRACE)],
    ["has no log", "", JSON.stringify(TRACE)],
  ] as const
) {
  Deno.test(`a trace that ${what} says that the test has to be adapted`, () => {
    assertThrows(() => parse(log, trace), Error, "has to be adapted");
  });
}
