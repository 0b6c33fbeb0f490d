/**
 * A machine's memory, to look at in a browser.
 *
 * @module
 */
import type { GuestMemoryMmap } from "@vmm/guest-memory";
import { serveView, type ViewServer } from "../view/server.ts";
import { TrackedSource } from "../view/tracked_source.ts";
import type { Machine } from "./machine.ts";

// Of KVM's log.
const PAGE = 4096;

/** A page that shows a machine with a log of dirty pages, until it is disposed of. */
export class MachineView implements AsyncDisposable {
  readonly #source: TrackedSource;
  readonly #server: ViewServer;

  /**
   * Serves the page.
   *
   * @param machine The machine.
   * @param memory Its memory.
   * @param about What it boots.
   * @param log Shows what goes wrong.
   */
  constructor(
    machine: Machine,
    memory: GuestMemoryMmap,
    about: string,
    log: (line: string) => void,
  ) {
    this.#source = new TrackedSource({
      title: "microvm",
      about,
      memory,
      pageSize: PAGE,
      collect: () => void machine.collectDirtyPages(),
      onError: (error) => log(`the page shows nothing more: ${error}`),
    });
    this.#server = serveView(this.#source, 0);
  }

  /** Where it is. */
  get url(): string {
    return this.#server.url;
  }

  /** Ends it, before the memory is unmapped. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#source.end("the machine has ended");
    await this.#server[Symbol.asyncDispose]();
    await this.#source[Symbol.asyncDispose]();
  }
}
