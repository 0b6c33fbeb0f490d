/**
 * The loading of pages from a file: what {@linkcode FaultHandler} and {@linkcode FaultServer} have in
 * common.
 *
 * @module
 */
import { closeDescriptor, duplicate } from "../../../ffi/descriptor.ts";
import { pageSize } from "../../../ffi/memory.ts";
import { PageLoadFailed } from "../../error/fault_error.ts";
import { MemoryClosed } from "../../error/volatile_memory_error.ts";
import { checkFlag, wrongKind } from "../../text/argument.ts";
import type { TransferProgress } from "../transfer.ts";
import { LoaderThread } from "./loader_thread.ts";
import { LoadState } from "./load_state.ts";
import type { LoadedRange, LoaderMessage, PageRun } from "./page_loader.ts";
import { ensureLength } from "../source_file.ts";

/** How pages are loaded. */
export interface LoadOptions {
  /**
   * Whether all pages are loaded in the background, 16 at a time, also those that nobody touches. True
   * by default. Without, loading ends only when all were touched.
   */
  readonly prefetch?: boolean;
  /** Whether to note which pages are touched before they are loaded. False by default. */
  readonly record?: boolean;
  /**
   * Called in this thread's event loop, about each 16 MiB of pages. If it throws, `done` is rejected
   * with that, it is not called again, and loading continues.
   */
  readonly onProgress?: (progress: TransferProgress) => void;
}

/** Options as they were read from the caller, once. */
export type LoadPlan = Required<LoadOptions>;

/** @throws {TypeError} An option is of another kind. */
export function readLoadOptions(options: LoadOptions): LoadPlan {
  const { prefetch = true, record = false, onProgress = () => {} } = options;
  checkFlag("prefetch", prefetch);
  checkFlag("record", record);
  if (typeof onProgress !== "function") throw wrongKind("onProgress", onProgress, "a function");
  return { prefetch, record, onProgress };
}

/** What is loaded, and where to. */
export interface LoadTask {
  /** The descriptor of the faults: it stays the caller's. */
  readonly userfaultfd: number;
  /** The memory, by rising position. */
  readonly ranges: readonly LoadedRange[];
  /** Bytes of the file. */
  readonly length: number;
  /** Pages to load first. */
  readonly workingSet: readonly PageRun[];
  /** How. */
  readonly plan: LoadPlan;
}

/** Pages on their way from a file to memory, with the thread that serves faults, if there is one. */
export class Loading {
  readonly #task: LoadTask;
  readonly #state: LoadState;
  readonly #onLoaded: () => void;
  #file: number;
  #thread: LoaderThread | undefined;
  #done: PromiseWithResolvers<void> = Promise.withResolvers();
  #hasFailed = false;

  /**
   * Prepares to load.
   *
   * @param task What.
   * @param fd The file, which may be closed afterwards.
   * @param onLoaded Called when there is nothing left to load.
   */
  constructor(task: LoadTask, fd: number, onLoaded: () => void) {
    this.#task = task;
    this.#onLoaded = onLoaded;
    const pages = Math.ceil(task.length / pageSize());
    this.#state = LoadState.create(pages, task.ranges.length, task.plan.record);
    this.#file = duplicate(fd);
    this.#keepQuiet();
  }

  /** Settles when all is loaded, or cannot be. */
  get done(): Promise<void> {
    return this.#done.promise;
  }

  /** Ends {@linkcode Loading.done}, if it has not ended. */
  settle(error?: Error): void {
    if (error === undefined) this.#done.resolve();
    else this.#done.reject(error);
  }

  /** Whether a thread of this process serves the faults. */
  get hasThread(): boolean {
    return this.#thread !== undefined;
  }

  /** Faults that were answered. */
  get faults(): number {
    return this.#state.faults;
  }

  /** Pages that were touched before they were loaded, in this order. */
  recorded(): Uint32Array {
    // Who touched a page continues before the thread notes it.
    this.untilSeen(1000);
    return this.#state.recorded;
  }

  /** How far it is. */
  get progress(): TransferProgress {
    const { length } = this.#task;
    const left = this.#state.left * pageSize();
    return { bytes: Math.max(0, length - left), total: length };
  }

  /**
   * Starts a thread, in place of the one that there is.
   *
   * @param fd Another file with the same content.
   * @throws {SnapshotMismatch} It has other bytes.
   * @throws {SystemError} A call failed.
   */
  start(fd?: number): void {
    if (fd !== undefined) {
      ensureLength("the snapshot", fd, this.#task.length);
      const file = duplicate(fd);
      closeDescriptor(this.#file);
      this.#file = file;
    }
    this.#thread?.stop();
    if (this.#hasFailed) {
      this.#hasFailed = false;
      this.#done = Promise.withResolvers();
      this.#keepQuiet();
    }
    const { userfaultfd, ranges, length, workingSet, plan: { prefetch } } = this.#task;
    const rest = { userfaultfd, ranges, length, workingSet, prefetch };
    this.#thread = new LoaderThread(
      { ...rest, pageSize: pageSize(), file: this.#file },
      this.#state,
      (message) => this.#onMessage(message),
    );
  }

  #onMessage(message: LoaderMessage): void {
    switch (message.kind) {
      case "failed": {
        this.#hasFailed = true;
        this.#done.reject(new PageLoadFailed(message.position, message.reason));
        break;
      }
      case "ended":
        this.#done.reject(new MemoryClosed("memory of a process that has ended"));
        break;
      case "loaded":
        this.#onLoaded();
        break;
      case "progress":
        this.#callOnProgress();
    }
  }

  #callOnProgress(): void {
    // Of a loading that is to begin again.
    if (this.#hasFailed) return;
    try {
      this.#task.plan.onProgress(this.progress);
    } catch (error) {
      this.#hasFailed = true;
      this.#done.reject(error);
    }
  }

  // Nobody has to wait for the end: threads report by themselves what they cannot load.
  #keepQuiet(): void {
    this.#done.promise.catch(() => {});
  }

  /** Whether pages are protected as they are loaded. */
  set isProtected(value: boolean) {
    this.#state.isProtected = value;
  }

  /** Makes the thread leave a range alone. */
  drop(range: number): void {
    this.#state.drop(range);
  }

  /** Waits until the thread has seen what was changed: see {@linkcode LoaderThread.untilSeen}. */
  untilSeen(timeout: number): boolean {
    return this.#thread?.untilSeen(timeout) ?? true;
  }

  /** Ends the thread, and closes the file. */
  close(): void {
    this.#thread?.stop();
    closeDescriptor(this.#file);
  }
}
