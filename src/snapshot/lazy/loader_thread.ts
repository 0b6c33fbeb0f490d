/**
 * The thread that loads pages, as its owner has it.
 *
 * @module
 */
import { closeDescriptor, duplicate } from "../../../ffi/descriptor.ts";
import { addToEvent, makeEventFd } from "../../../ffi/event_fd.ts";
import { threadModule } from "./thread_module.ts";
import type { LoadState } from "./load_state.ts";
import type { LoaderMessage, LoaderSetup } from "./page_loader.ts";
import { MappedFile } from "./mapped_file.ts";

/** What a thread loads, and where to. */
export interface ThreadPlan extends
  Pick<
    LoaderSetup,
    "userfaultfd" | "length" | "pageSize" | "ranges" | "workingSet" | "prefetch"
  > {
  /** The file. */
  readonly file: number;
}

/** A thread of this library that serves faults. It begins by itself, whatever its owner does. */
export class LoaderThread {
  readonly #state: LoadState;
  readonly #number: number;
  readonly #source: MappedFile;
  readonly #wake: number;
  readonly #userfaultfd: number;
  readonly #worker: Worker;
  #isOver = false;
  #isReleased = false;

  /**
   * Starts a thread. The one before has to be stopped.
   *
   * @param plan What to load.
   * @param state What it has in common with its owner.
   * @param onMessage Takes what it reports, in the event loop of the owner, until it is stopped.
   */
  constructor(plan: ThreadPlan, state: LoadState, onMessage: (message: LoaderMessage) => void) {
    const { file, userfaultfd, ...rest } = plan;
    using resources = new DisposableStack();
    this.#source = resources.use(new MappedFile(file, plan.length));
    this.#wake = resources.adopt(makeEventFd(0, false), closeDescriptor);
    // It may be in a call when the owner closes the other one, whose number is another's then.
    this.#userfaultfd = resources.adopt(duplicate(userfaultfd), closeDescriptor);
    this.#state = state;
    this.#number = state.nextThread();
    const { address: source, holes } = this.#source;
    const [thread, wake] = [this.#number, this.#wake];
    const common = { thread, wake, userfaultfd: this.#userfaultfd, state: state.handle };
    const setup: LoaderSetup = { ...rest, ...common, source, file: holes };
    const module = threadModule("./loader_worker", import.meta.url);
    this.#worker = new Worker(module, {
      type: "module",
      name: "guest memory loader",
    });
    this.#worker.onmessage = ({ data }: MessageEvent<LoaderMessage>) => {
      if (data.kind === "stopped") this.#release();
      else if (!this.#isOver) onMessage(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      // Nobody has to wait for it.
      state.end(this.#number);
      if (!this.#isOver) onMessage({ kind: "failed", position: 0, reason: event.message });
    };
    this.#worker.postMessage(setup);
    resources.move();
  }

  /**
   * Waits until the thread has seen what was changed in the state before.
   *
   * @param timeout Milliseconds: it may be in a call that waits for a slow disk.
   * @returns Whether it has.
   */
  untilSeen(timeout: number): boolean {
    if (this.#isReleased) return true;
    return this.#state.untilSeen(this.#number, () => addToEvent(this.#wake, 1n), timeout);
  }

  /** Makes the thread end: after the call that it is in, if that takes longer than a second. */
  stop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#state.nextThread();
    if (this.untilSeen(1000)) this.#release();
  }

  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#worker.terminate();
    this.#source[Symbol.dispose]();
    closeDescriptor(this.#wake);
    closeDescriptor(this.#userfaultfd);
  }
}
