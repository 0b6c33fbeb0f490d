import { assertEquals, assertMatch } from "@std/assert";
import {
  Backing,
  GuestAddress,
  GuestMemoryMmap,
  type MmapOptions,
  OptionRefused,
  SystemError,
} from "@vmm/guest-memory";
import type { Candidate } from "../../../examples/backings/candidates.ts";
import { measure, type Row } from "../../../examples/backings/measure.ts";
import { whatIsUnseen } from "../../../examples/backings/residence.ts";
import { formatTable, formatVerdict } from "../../../examples/backings/table.ts";
import { openScratchFile } from "../../../examples/backings/scratch_file.ts";
import { isUnchanged } from "../../../examples/backings/scratch_file.ts";
import type { Report } from "../../../examples/backings/report.ts";

const ONLY_LINUX = { ignore: Deno.build.os !== "linux" };
const SIZE = 2 ** 22;

type Discard = (memory: GuestMemoryMmap) => number;

function withDiscard(options: MmapOptions, discard: Discard): Candidate["map"] {
  return ({ size, file }) => {
    const backing = file === undefined ? {} : { backing: Backing.file(file, { private: true }) };
    const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), size]], {
      ...options,
      ...backing,
    });
    memory.discard = () => discard(memory);
    return memory;
  };
}

function measured(candidate: Omit<Candidate, "name">): Promise<Row> {
  const conditions = { size: SIZE, buffer: new Uint8Array(SIZE), unseen: whatIsUnseen() };
  return measure({ name: "it", ...candidate }, conditions);
}

function advise(advice: "dontneed" | "cold"): Discard {
  return (memory) => {
    for (const { mmap } of memory) mmap.advise(advice);
    return SIZE;
  };
}

Deno.test("measure() finds that nothing was given back", ONLY_LINUX, async () => {
  const row = await measured({ map: withDiscard({}, () => SIZE) });
  assertEquals(row.problems, ["4 MiB are resident", "the content is not zero"]);
});

Deno.test("measure() finds that a memfd keeps its blocks", ONLY_LINUX, async () => {
  const map = withDiscard({ backing: Backing.memfd() }, advise("dontneed"));
  const { problems, residentAfter } = await measured({ map });
  assertEquals(residentAfter, 0);
  assertEquals(problems, [
    "its file has 8192 blocks, it should have 0",
    "the content is not zero",
  ]);
});

Deno.test("measure() finds that less was given back", ONLY_LINUX, async () => {
  const half = (memory: GuestMemoryMmap) => [...memory][0]!.mmap.discard(0, SIZE / 2);
  const { problems } = await measured({ map: withDiscard({}, half) });
  assertEquals(problems, [
    "discard returned 2 MiB, not 4 MiB",
    "2 MiB are resident",
    "the content is not zero",
  ]);
});

Deno.test("measure() finds that a private file shows its content again", ONLY_LINUX, async () => {
  const file = { where: "disk", filled: true } as const;
  const { problems } = await measured({ file, map: withDiscard({}, advise("dontneed")) });
  assertEquals(problems, ["the content is not zero"]);
});

Deno.test("measure() reports a discard that fails or is refused", ONLY_LINUX, async () => {
  const failing = withDiscard({}, () => {
    throw new SystemError("madvise", 22, "EINVAL");
  });
  const failed = await measured({ map: failing });
  assertMatch(failed.problems.join(), /^Cannot madvise\(\): EINVAL/);
  const refusing = (isKept: boolean) =>
    withDiscard({}, (memory) => {
      if (!isKept) memory.fill(GuestAddress(0), SIZE, 0);
      throw new OptionRefused("discard", "not here");
    });
  const refused = await measured({ map: refusing(true) });
  assertEquals([refused.problems, refused.discardRefused], [[], "not here"]);
  const { problems } = await measured({ map: refusing(false) });
  assertEquals(problems, ["refused, and the content is gone"]);
});

Deno.test("formatVerdict() names the rows that gave nothing back", ONLY_LINUX, async () => {
  const bad = await measured({ map: withDiscard({}, () => SIZE) });
  const good = await measured({
    map: ({ size }) => GuestMemoryMmap.fromRanges([[GuestAddress(0), size]]),
  });
  const report: Report = {
    ...{ size: SIZE, host: "here", batch: 2 ** 21, copied: SIZE, ok: false },
    unseen: { resident: null, blocks: null },
    rows: [bad, { ...good, name: "good" }],
  };
  const paint = (_style: string, text: string) => text;
  assertEquals(formatVerdict(report, paint), [
    "1 discard did not give the memory back:",
    "  it: 4 MiB are resident; the content is not zero",
  ]);
  assertMatch(formatTable(report, paint).join("\n"), /\nit .* 4 MiB → 4 MiB /);
});

Deno.test("isUnchanged() finds a byte that has changed", ONLY_LINUX, () => {
  using scratch = openScratchFile({ where: "disk", filled: true }, SIZE);
  const { file } = scratch;
  assertEquals(isUnchanged(file, SIZE), true);
  file.seekSync(SIZE - 1, Deno.SeekMode.Start);
  file.writeSync(Uint8Array.of(0));
  assertEquals(isUnchanged(file, SIZE), false);
});
