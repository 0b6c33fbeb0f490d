/**
 * What a snapshot, a diff, and clones of a guest consist of, as pictures of its pages.
 *
 * Run it with `deno task snapshot-story`; `--help` shows its options.
 *
 * | Module | What it is about |
 * | --- | --- |
 * | `story.ts` | what happens: every call of the library is here |
 * | `counter.ts` | what counts, and where |
 * | `kvm_counting.ts` | a guest on KVM that counts |
 * | `worker_counting.ts`, `counting_worker.ts` | a Worker that counts, where there is no KVM |
 * | `pages.ts`, `text.ts` | what is in the pages, and how it is shown |
 *
 * @module
 */
import { capabilities } from "@vmm/guest-memory";
import { openOutput } from "./lib/output.ts";
import { MicrovmError } from "./microvm/microvm_error.ts";
import { type Options, optionsOf, USAGE } from "./snapshot_story/arguments.ts";
import type { Counting } from "./snapshot_story/counter.ts";
import { KvmCounting } from "./snapshot_story/kvm_counting.ts";
import { play } from "./snapshot_story/story.ts";
import { formatStory, problemsOf } from "./snapshot_story/text.ts";
import { WorkerCounting } from "./snapshot_story/worker_counting.ts";
import { runProgram } from "./lib/program.ts";

const WRONG = 1;
const NOTHING_SHOWN = 2;

async function run(options: Options): Promise<number> {
  await using counting = startCounting(options);
  const story = await play(counting, options.clones);
  const { paint, columns, print } = openOutput();
  print(formatStory(story, counting.what, paint, columns));
  return problemsOf(story).length === 0 ? 0 : WRONG;
}

// A guest where there is KVM, and the kernel can say what it writes; else a Worker, and why.
function startCounting({ guest, device }: Options): Counting {
  if (guest === "worker") return new WorkerCounting();
  try {
    const { writeTracker } = capabilities().trackers;
    if (!writeTracker.available) {
      throw new MicrovmError(`what a guest writes is not known here: ${writeTracker.reason}`);
    }
    return new KvmCounting(device);
  } catch (error) {
    if (guest === "kvm" || !(error instanceof MicrovmError)) throw error;
    console.error(`snapshot-story: ${error.message}: a Worker counts instead`);
    return new WorkerCounting();
  }
}

if (import.meta.main) {
  const statusOf = () => NOTHING_SHOWN;
  const program = { name: "snapshot-story", usage: USAGE, optionsOf, run, statusOf };
  Deno.exitCode = await runProgram(program, Deno.args);
}
