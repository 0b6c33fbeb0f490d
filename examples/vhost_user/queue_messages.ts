/**
 * What the owner of a queue and its thread say to each other.
 *
 * @module
 */
import type { GuestMemoryHandle, MmapRegionHandle } from "@vmm/guest-memory";
import type { VirtqueueState } from "@vmm/guest-memory/virtio";
import type { Image } from "./block_device.ts";

/** What a thread is asked for. Each is answered. */
export type QueueRequest =
  /** Serve a queue. */
  | {
    readonly kind: "start";
    readonly state: VirtqueueState;
    readonly memory: GuestMemoryHandle;
    /** Descriptors of eventfds, which stay the owner's. */
    readonly kick: number;
    readonly call: number | undefined;
    readonly image: Image;
    readonly isWriteThrough: boolean;
    /** Words: how many messages are on their way to the thread; how many requests it has served. */
    readonly control: SharedArrayBuffer;
    readonly log: LogHandle | undefined;
  }
  /** Use a newer map of memory, and note what is written there, or do not. */
  | {
    readonly kind: "memory";
    readonly memory: GuestMemoryHandle;
    readonly log: LogHandle | undefined;
  }
  /** Notify the driver by another eventfd, or not. */
  | { readonly kind: "call"; readonly call: number | undefined }
  /** Serve no more. */
  | { readonly kind: "stop" };

/** A dirty log that the front-end reads, on its way to a thread. */
export interface LogHandle {
  readonly mapping: MmapRegionHandle;
  /** Bytes of guest memory, from address 0 on, for which it has bits. */
  readonly byteSize: number;
}

/** What a thread answers: after `stop`, how far it has come. */
export type QueueAnswer =
  | { readonly kind: "done"; readonly state?: Required<VirtqueueState> | undefined }
  | { readonly kind: "failed"; readonly message: string }
  /** Not an answer: the ring is broken, and served no more. */
  | { readonly kind: "broken"; readonly message: string };

/** Words of `control`. */
export const PENDING = 0;
/** The same. */
export const SERVED = 1;
