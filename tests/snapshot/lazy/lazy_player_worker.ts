/// <reference lib="webworker" />
/**
 * A thread that plays with its part of memory that is being loaded.
 *
 * @module
 */
import { type GuestMemoryHandle, GuestMemoryMmap } from "../../../mod.ts";
import { Random } from "../../hostile/random.ts";
import { Player } from "./lazy_player.ts";

/** What it has to do. */
export interface PlayRequest {
  readonly handle: GuestMemoryHandle;
  readonly seed: number;
  readonly part: number;
  readonly parts: number;
  readonly acts: number;
}

/** What it has done: guest addresses of pages, or what was wrong. */
export interface PlayReport {
  readonly written: ReadonlySet<number>;
  readonly discarded: ReadonlySet<number>;
  readonly error: string | undefined;
}

self.onmessage = ({ data }: MessageEvent<PlayRequest>) => {
  using memory = GuestMemoryMmap.attach(data.handle);
  const player = new Player(memory, new Random(data.seed), data.part, data.parts);
  let error: string | undefined;
  try {
    for (let act = 0; act < data.acts; act++) player.act();
    player.checkAll();
  } catch (thrown) {
    error = String(thrown);
  }
  const { written, discarded } = player;
  self.postMessage({ written, discarded, error } satisfies PlayReport);
};
