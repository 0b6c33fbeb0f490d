/**
 * Tasks that run one after the other.
 *
 * @module
 */

/** Runs tasks in the order in which they come, each when the one before has ended. */
export class InOrder {
  #last: Promise<void> | undefined;

  /** Whether a task is running or waits for its turn. */
  get busy(): boolean {
    return this.#last !== undefined;
  }

  /**
   * Runs a task: now if none is running.
   *
   * @returns What the task returns.
   */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last === undefined ? task() : this.#last.then(task);
    const ended = result.then(ignore, ignore).then(() => {
      if (this.#last === ended) this.#last = undefined;
    });
    this.#last = ended;
    return result;
  }
}

function ignore(): void {}
