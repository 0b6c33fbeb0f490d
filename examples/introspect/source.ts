/**
 * A guest as what the page shows.
 *
 * @module
 */
import { hex } from "../lib/units.ts";
import type { MemorySource } from "../view/source.ts";
import type { Guest } from "./attach.ts";
import type { Banner } from "./banner.ts";
import type { Sweeper } from "./sweeper.ts";
import { sweeps } from "./watching.ts";

/**
 * The source of a guest.
 *
 * @param guest The guest.
 * @param banner Its kernel's banner.
 * @param sweeper Finds what it changes.
 * @param onError Called with what a sweep throws.
 */
export function sourceOf(
  guest: Guest,
  banner: Banner | undefined,
  sweeper: Sweeper,
  onError: (error: unknown) => void,
): MemorySource {
  // A sweep that was begun ends before the next begins, also where nobody watches for a moment.
  let last: Promise<void> = Promise.resolve();
  return {
    title: `${guest.name} ${guest.pid}`,
    about: banner === undefined
      ? "No Linux banner is in its memory"
      : `${banner.text} at ${hex(banner.address)}`,
    memory: guest.memory,
    pages: sweeper.pages,
    writers: { guest: "changed" },
    look: "sweep",
    now: () => sweeper.now(),
    watch(listener) {
      const ending = new AbortController();
      last = last.then(async () => {
        for await (const sweep of sweeps(sweeper, guest.pid, ending.signal)) {
          // Also the last one: what it saw is not seen again.
          listener.changed(sweep);
        }
        if (!ending.signal.aborted) listener.ended(`process ${guest.pid} has ended`);
      }).catch(onError);
      return () => ending.abort();
    },
  };
}
