/**
 * One front-end, from its connection to its end.
 *
 * @module
 */
import {
  closeDescriptor,
  DescriptorClosed,
  EventFd,
  FileOffset,
  MmapRegion,
  SystemError,
} from "@vmm/guest-memory";
import type { Image } from "./block_device.ts";
import { BlockFeature, configOf } from "./block_format.ts";
import type { Connection, Message } from "./connection.ts";
import { MemoryTable } from "./memory_table.ts";
import * as Protocol from "./protocol.ts";
import { bits, Feature, hasBit, nameOf, ProtocolFeature, Request } from "./protocol.ts";
import type { LogHandle } from "./queue_messages.ts";
import { QueueThread } from "./queue_thread.ts";
import { ProtocolError } from "./vhost_error.ts";
import { Vring } from "./vring.ts";

/** What a front-end gets to see. */
export interface SessionOptions {
  readonly image: Image;
  /** How many queues it may use. */
  readonly queues: number;
  /** Whether memory can be plugged in region by region. True unless it is switched off for a test. */
  readonly hasSlots: boolean;
  /** Whether the dirty log is kept. True unless it is switched off for a test, as its control. */
  readonly keepsLog: boolean;
  /** Takes a line for each message, and for each problem. */
  readonly onTrace: (line: string) => void;
}

// Regions that a front-end may plug in.
const SLOTS = 64n;
// vhost's log has a bit for each 4 KiB.
const BYTES_OF_LOG_BYTE = 8 * 4096;

/** Serves one front-end. */
export class Session implements AsyncDisposable {
  readonly #options: SessionOptions;
  readonly #config: Uint8Array;
  readonly #rings: readonly Vring[];
  #table = MemoryTable.empty();
  #log: MmapRegion | undefined;
  #features = 0n;
  #protocolFeatures = 0n;

  /**
   * Prepares for a front-end.
   *
   * @param options What it gets to see.
   */
  constructor(options: SessionOptions) {
    this.#options = options;
    this.#config = configOf(options.image.size, options.queues);
    this.#rings = Array.from({ length: options.queues }, () => new Vring());
  }

  /** Requests that were served since the front-end came. */
  get served(): number {
    return this.#rings.reduce((sum, { thread }) => sum + (thread?.served ?? 0), 0);
  }

  /**
   * Serves until the front-end ends.
   *
   * @param connection The connection.
   * @throws {ProtocolError} The front-end breaks the protocol.
   */
  async serve(connection: Connection): Promise<void> {
    for (;;) {
      using message = await connection.receive();
      if (message === undefined) return;
      this.#options.onTrace(`${nameOf(message.request)}, ${message.payload.length} bytes`);
      const payload = await this.#answer(message, connection);
      if (payload !== undefined) await connection.reply(message, payload);
    }
  }

  /** Stops all queues, and lets everything go. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const ring of this.#rings) {
      await this.#stop(ring);
      ring[Symbol.dispose]();
    }
    this.#log?.close();
    this.#table[Symbol.dispose]();
  }

  // Returns the payload of an answer, if there is one.
  async #answer(message: Message, connection: Connection): Promise<Uint8Array | undefined> {
    // What has no answer by itself has one if it is asked for: 0 is success.
    const acknowledges = () => {
      return message.needsReply && hasBit(this.#protocolFeatures, ProtocolFeature.replyAck);
    };
    try {
      const payload = await this.#handle(message);
      return payload ?? (acknowledges() ? Protocol.u64Payload(0n) : undefined);
    } catch (error) {
      // 1 is failure. The connection ends after it.
      if (acknowledges()) await connection.reply(message, Protocol.u64Payload(1n));
      throw error;
    }
  }

  // Returns the payload of an answer, if the message has one by itself.
  async #handle(message: Message): Promise<Uint8Array | undefined> {
    const { payload } = message;
    switch (message.request) {
      case Request.getFeatures:
        return Protocol.u64Payload(this.#offered());
      case Request.setFeatures:
        return void await this.#setFeatures(Protocol.parseU64(payload));
      case Request.getProtocolFeatures:
        return Protocol.u64Payload(this.#offeredProtocol());
      case Request.setProtocolFeatures:
        this.#protocolFeatures = this.#accepted(
          Protocol.parseU64(payload),
          this.#offeredProtocol(),
        );
        return undefined;
      case Request.setOwner:
      case Request.setVringErr:
        return this.#setErr(message);
      case Request.resetOwner:
      case Request.resetDevice:
        for (const ring of this.#rings) await this.#stop(ring), ring.isEnabled = false;
        return undefined;
      case Request.getQueueNum:
        return Protocol.u64Payload(BigInt(this.#rings.length));
      case Request.getMaxMemSlots:
        return Protocol.u64Payload(SLOTS);
      case Request.setMemTable:
        return void await this.#setTable(
          MemoryTable.map(Protocol.parseMemTable(payload), message.fds),
        );
      case Request.addMemReg: {
        const [fd] = message.fds;
        if (fd === undefined) throw new ProtocolError("addMemReg came without a descriptor");
        return void await this.#setTable(this.#table.with(Protocol.parseMemReg(payload), fd));
      }
      case Request.remMemReg:
        return void await this.#setTable(this.#table.without(Protocol.parseMemReg(payload)));
      case Request.setLogBase:
        await this.#setLog(message);
        // It is answered in any case.
        return Protocol.u64Payload(0n);
      case Request.setLogFd:
        return undefined;
      case Request.setVringNum:
      case Request.setVringBase:
      case Request.setVringEnable:
        return void await this.#setState(message);
      case Request.setVringAddr: {
        const address = Protocol.parseVringAddress(payload);
        const ring = this.#ring(address.index);
        await this.#stop(ring);
        ring.address = address;
        return void await this.#startIfWanted(ring);
      }
      case Request.getVringBase: {
        const { index } = Protocol.parseVringState(payload);
        const ring = this.#ring(index);
        // It is stopped until the next kick arrives; whether it is enabled is another matter.
        await this.#stop(ring);
        ring.kick?.close();
        ring.kick = undefined;
        return Protocol.vringStatePayload({ index, value: ring.base });
      }
      case Request.setVringKick:
      case Request.setVringCall:
        return void await this.#setEvent(message);
      case Request.getConfig:
        return this.#getConfig(payload);
      case Request.setConfig:
        // Only the write cache could be set, and it is always on.
        return undefined;
      default:
        throw new ProtocolError(`${nameOf(message.request)} is not known`);
    }
  }

  #offered(): bigint {
    const { image, queues } = this.#options;
    return bits([
      ...Object.values(Feature),
      BlockFeature.maxSegments,
      BlockFeature.blockSize,
      BlockFeature.flush,
      BlockFeature.topology,
      ...image.isReadOnly
        ? [BlockFeature.readOnly]
        : [BlockFeature.discard, BlockFeature.writeZeroes],
      ...queues > 1 ? [BlockFeature.multiqueue] : [],
    ]);
  }

  #offeredProtocol(): bigint {
    const { configureMemSlots, ...others } = ProtocolFeature;
    return bits([...Object.values(others), ...this.#options.hasSlots ? [configureMemSlots] : []]);
  }

  #accepted(wanted: bigint, offered: bigint): bigint {
    if ((wanted & ~offered) === 0n) return wanted;
    throw new ProtocolError(`features ${(wanted & ~offered).toString(16)} were not offered`);
  }

  async #setFeatures(wanted: bigint): Promise<void> {
    const before = this.#features;
    this.#features = this.#accepted(wanted, this.#offered());
    // The log is switched on and off while the guest runs.
    if (((before ^ this.#features) & 1n << Feature.logAll) !== 0n) await this.#publish();
  }

  #ring(index: number): Vring {
    const ring = this.#rings[index];
    if (ring === undefined) throw new ProtocolError(`there is no queue ${index}`);
    return ring;
  }

  #setErr(message: Message): undefined {
    if (message.request === Request.setOwner) return;
    const { index, hasFd } = Protocol.parseVringFd(message.payload);
    const ring = this.#ring(index);
    ring.error?.close();
    ring.error = hasFd ? takeEvent(message) : undefined;
  }

  async #setEvent(message: Message): Promise<void> {
    const { index, hasFd } = Protocol.parseVringFd(message.payload);
    const ring = this.#ring(index);
    const event = hasFd ? takeEvent(message) : undefined;
    if (message.request === Request.setVringCall) {
      // The thread uses it until it has the new one.
      using _before = ring.call;
      ring.call = event;
      return await ring.thread?.setCall(event?.fd);
    }
    await this.#stop(ring);
    ring.kick?.close();
    ring.kick = event;
    // Without the features of the protocol, a queue is enabled by its kick.
    if (!hasBit(this.#features, Feature.protocolFeatures)) ring.isEnabled = true;
    await this.#startIfWanted(ring);
  }

  async #setState({ request, payload }: Message): Promise<void> {
    const { index, value } = Protocol.parseVringState(payload);
    const ring = this.#ring(index);
    if (request === Request.setVringEnable) {
      ring.isEnabled = value === 1;
      return await (ring.isEnabled ? this.#startIfWanted(ring) : this.#stop(ring));
    }
    await this.#stop(ring);
    if (request === Request.setVringNum) ring.size = value;
    else ring.base = value & 0xffff;
    await this.#startIfWanted(ring);
  }

  #getConfig(payload: Uint8Array): Uint8Array {
    const { offset, size } = Protocol.parseConfig(payload);
    const answer = payload.slice();
    const bytes = answer.subarray(answer.length - size);
    // What is beyond reads zero.
    bytes.fill(0);
    bytes.set(this.#config.subarray(offset, offset + size));
    return answer;
  }

  async #setTable(table: MemoryTable): Promise<void> {
    const before = this.#table;
    this.#table = table;
    try {
      await this.#publish();
    } finally {
      before[Symbol.dispose]();
    }
  }

  async #setLog(message: Message): Promise<void> {
    const { size, offset } = Protocol.parseLog(message.payload);
    const fd = message.fds.shift();
    if (fd === undefined) throw new ProtocolError("setLogBase came without a descriptor");
    const before = this.#log;
    try {
      if (size === 0n || size % 4n !== 0n || size + offset >= 2n ** 53n) {
        throw new ProtocolError(`the log has ${size} bytes`);
      }
      this.#log = MmapRegion.fromFile(new FileOffset(fd, Number(offset)), Number(size));
    } catch (error) {
      throw error instanceof ProtocolError
        ? error
        : new ProtocolError(`the log cannot be mapped: ${(error as Error).message}`);
    } finally {
      closeDescriptor(fd);
    }
    try {
      await this.#publish();
    } finally {
      before?.close();
    }
  }

  // All threads get the map and the log of now.
  async #publish(): Promise<void> {
    for (const ring of this.#rings) {
      const { memory } = this.#table;
      if (ring.thread === undefined) continue;
      if (memory === undefined) await this.#stop(ring);
      else await ring.thread.setMemory({ memory: memory.share(), log: this.#logHandle() });
    }
  }

  #logHandle(): LogHandle | undefined {
    const isOn = hasBit(this.#features, Feature.logAll) && this.#options.keepsLog;
    if (this.#log === undefined || !isOn) return undefined;
    return { mapping: this.#log.share(), byteSize: this.#log.len * BYTES_OF_LOG_BYTE };
  }

  async #startIfWanted(ring: Vring): Promise<void> {
    const { memory } = this.#table;
    if (!ring.isWanted || ring.thread !== undefined || memory === undefined) return;
    const { descTable, availRing, usedRing } = ring.address!;
    ring.thread = await QueueThread.start(ring.kick!, {
      state: {
        size: ring.size,
        descTable: this.#table.toGuest(descTable),
        availRing: this.#table.toGuest(availRing),
        usedRing: this.#table.toGuest(usedRing),
        nextAvail: ring.base,
        nextUsed: ring.base,
        eventIdx: hasBit(this.#features, Feature.eventIdx),
        indirect: hasBit(this.#features, Feature.indirect),
      },
      ...{ memory: memory.share(), log: this.#logHandle() },
      ...{ call: ring.call?.fd, image: this.#options.image },
      isWriteThrough: !hasBit(this.#features, BlockFeature.flush),
    }, (message) => {
      this.#options.onTrace(`queue ${this.#rings.indexOf(ring)} is broken: ${message}`);
      notify(ring.error);
    });
  }

  async #stop(ring: Vring): Promise<void> {
    const { thread } = ring;
    if (thread === undefined) return;
    ring.thread = undefined;
    const state = await thread.stop();
    // What was taken is given back in the order of the ring; of a broken one, what was not is left.
    if (state !== undefined) ring.base = state.nextUsed;
  }
}

// The descriptor is the front-end's, and may be anything.
function notify(event: EventFd | undefined): void {
  try {
    event?.write();
  } catch (error) {
    if (!(error instanceof SystemError || error instanceof DescriptorClosed)) throw error;
  }
}

function takeEvent(message: Message): EventFd {
  const fd = message.fds.shift();
  if (fd === undefined) {
    throw new ProtocolError(`${nameOf(message.request)} came without a descriptor`);
  }
  try {
    return EventFd.fromFd(fd);
  } catch (error) {
    closeDescriptor(fd);
    throw new ProtocolError(`a descriptor cannot be used: ${(error as Error).message}`);
  }
}
