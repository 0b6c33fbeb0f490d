/**
 * A front-end of vhost-user, as a virtual machine monitor has it, over memory of this process.
 *
 * @module
 */
import {
  asSlice,
  Backing,
  EventFd,
  GuestAddress,
  GuestMemoryMmap,
  struct,
  u16le,
  u32le,
  u64le,
  UnixSocket,
} from "@vmm/guest-memory";
import { MockDriver, type UsedRequest } from "@vmm/guest-memory/virtio";
import { Status, Type } from "../../../examples/vhost_user/block_format.ts";
import { Request } from "../../../examples/vhost_user/protocol.ts";

const Header = struct({ request: u32le, flags: u32le, size: u32le });
const RequestHead = struct({ type: u32le, reserved: u32le, sector: u64le });

/** Where the memory is in the imagined process of the front-end. */
export const USER_ADDRESS = 0x7f00_0000_0000n;
/** Bytes of each region. */
export const REGION: number = 2 ** 21;
const SECOND = 2 ** 32;
const RING = { size: 128, length: REGION, eventIdx: true };

function numbers(...values: [bytes: 4 | 8, value: bigint | number][]): Uint8Array {
  const all = new Uint8Array(values.reduce((sum, [bytes]) => sum + bytes, 0));
  const view = new DataView(all.buffer);
  let at = 0;
  for (const [bytes, value] of values) {
    if (bytes === 4) view.setUint32(at, Number(value), true);
    else view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
    at += bytes;
  }
  return all;
}

/** A front-end with a queue. */
export class FrontEnd implements Disposable {
  socket: UnixSocket;
  /** Two regions that are far from each other in the guest. The rings are in the first. */
  readonly memory: GuestMemoryMmap;
  /** Of one of the queues. */
  readonly driver: MockDriver;
  readonly kick: EventFd = new EventFd();
  readonly call: EventFd = new EventFd();
  readonly error: EventFd = new EventFd();

  readonly #index: number;
  readonly #isOwner: boolean;

  /**
   * Connects.
   *
   * @param to The socket; or another front-end, for one more queue of it, whose rings are in the second
   * region.
   * @param index The queue.
   */
  constructor(to: string | FrontEnd, index = 0) {
    this.#index = index;
    this.#isOwner = typeof to === "string";
    this.socket = typeof to === "string" ? UnixSocket.connect(to) : to.socket;
    this.memory = typeof to === "string"
      ? GuestMemoryMmap.fromRanges(
        [[GuestAddress(0), REGION], [GuestAddress(SECOND), REGION]],
        { backing: Backing.memfd() },
      )
      : to.memory;
    const base = GuestAddress(typeof to === "string" ? 0 : SECOND);
    this.driver = new MockDriver(this.memory, { ...RING, base });
  }

  /** Leaves its device for another one, which is to be started where the used ring is. */
  connect(path: string): void {
    this.socket.close();
    this.socket = UnixSocket.connect(path);
  }

  /** Sends a message. */
  async send(
    request: number,
    payload: Uint8Array = new Uint8Array(),
    fds: readonly number[] = [],
    flags = 1,
  ): Promise<void> {
    const head = asSlice(Header, { request, flags, size: payload.length });
    await this.socket.send(Uint8Array.of(...head, ...payload), fds);
  }

  /** Sends a message, and waits for its answer. */
  async ask(
    request: number,
    payload: Uint8Array = new Uint8Array(),
    fds: readonly number[] = [],
    flags = 1,
  ): Promise<Uint8Array> {
    await this.send(request, payload, fds, flags);
    const head = await this.#read(12);
    const view = new DataView(head.buffer);
    if (view.getUint32(0, true) !== request || view.getUint32(4, true) !== 5) {
      throw new Error(`The answer to ${request} is ${head}`);
    }
    return await this.#read(view.getUint32(8, true));
  }

  async #read(length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
      using part = await this.socket.receive({ maxBytes: length - done });
      if (part.bytes.length === 0) throw new Error("The device has closed the connection");
      bytes.set(part.bytes, done);
      done += part.bytes.length;
    }
    return bytes;
  }

  /** Asks for a number. */
  async askNumber(request: number): Promise<bigint> {
    return new DataView((await this.ask(request)).buffer as ArrayBuffer).getBigUint64(0, true);
  }

  /** The payload of a region. */
  region(index: number): Uint8Array {
    const { startAddr, len, fdOffset } = this.memory.describe()[index]!;
    return numbers(
      [8, startAddr],
      [8, len],
      [8, USER_ADDRESS + BigInt(startAddr)],
      [8, fdOffset ?? 0],
    );
  }

  /** The descriptor of a region. */
  fdOf(index: number): number {
    return this.memory.describe()[index]!.fd!;
  }

  /** Sets all up as QEMU does. */
  async start(base = 0): Promise<void> {
    const features = await this.askNumber(Request.getFeatures);
    const protocol = await this.askNumber(Request.getProtocolFeatures);
    await this.send(Request.setProtocolFeatures, numbers([8, protocol]));
    await this.send(Request.setOwner);
    await this.send(Request.setFeatures, numbers([8, features & ~(1n << 26n)]));
    for (const index of [0, 1]) {
      await this.ask(
        Request.addMemReg,
        Uint8Array.of(...numbers([8, 0]), ...this.region(index)),
        [this.fdOf(index)],
        9,
      );
    }
    await this.startQueue(base);
  }

  /** Sets the queue up. */
  async startQueue(base = 0): Promise<void> {
    const index = this.#index;
    await this.send(Request.setVringNum, numbers([4, index], [4, RING.size]));
    await this.send(Request.setVringBase, numbers([4, index], [4, base]));
    await this.send(Request.setVringAddr, this.address());
    await this.send(Request.setVringCall, numbers([8, index]), [this.call.fd]);
    await this.send(Request.setVringErr, numbers([8, index]), [this.error.fd]);
    await this.send(Request.setVringKick, numbers([8, index]), [this.kick.fd]);
    await this.enable(true);
  }

  /** The payload of the queue's address. */
  address(flags = 0): Uint8Array {
    const { descTable, availRing, usedRing } = this.driver.state;
    const user = (address: number) => USER_ADDRESS + BigInt(address);
    return numbers(
      [4, this.#index],
      [4, flags],
      [8, user(descTable)],
      [8, user(usedRing)],
      [8, user(availRing)],
      [8, usedRing],
    );
  }

  /** Ends the queue, and returns how far it came. */
  async stopQueue(): Promise<number> {
    const answer = await this.ask(Request.getVringBase, numbers([4, this.#index], [4, 0]));
    return new DataView(answer.buffer as ArrayBuffer).getUint32(4, true);
  }

  /** Adds a request, without a kick. Returns its head. */
  add(
    type: number,
    sector: bigint | number,
    data: readonly Uint8Array[] = [],
    space: readonly number[] = [],
  ): number {
    const head = asSlice(RequestHead, { type, reserved: 0, sector: BigInt(sector) });
    return this.driver.add([head, ...data], [...space, 1])!;
  }

  /** Serves the queue, or does not. */
  async enable(isEnabled: boolean): Promise<void> {
    const payload = numbers([4, this.#index], [4, isEnabled ? 1 : 0]);
    await this.ask(Request.setVringEnable, payload, [], 9);
  }

  /**
   * Moves the data of a request that was added into the second region, where it can be aligned as
   * storage wants it. The queue must not be served meanwhile, as the device would see the request
   * before.
   *
   * @param head What {@linkcode FrontEnd.add} returned.
   * @param places Offsets in the region, for each buffer between the header and the status.
   */
  place(head: number, ...places: number[]): void {
    placeBuffers(this.memory, this.driver, head, places.map((at) => SECOND + at));
  }

  /** Bytes of the second region. */
  bytesAt(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.memory.readSlice(bytes, GuestAddress(SECOND + offset));
    return bytes;
  }

  /** Waits for the next request that the device gives back. */
  async nextUsed(): Promise<UsedRequest> {
    for (;;) {
      const used = this.driver.takeUsed();
      if (used !== undefined) return used;
      await this.call.wait();
    }
  }

  /** Makes a request, and waits for its end. */
  async request(
    type: number,
    sector: bigint | number,
    data: readonly Uint8Array[] = [],
    space: readonly number[] = [],
  ): Promise<Uint8Array> {
    this.add(type, sector, data, space);
    this.kick.write();
    return (await this.nextUsed()).written;
  }

  /** Writes to the disk. */
  async write(sector: number, ...data: Uint8Array[]): Promise<void> {
    const [status] = await this.request(Type.out, sector, data);
    if (status !== Status.ok) throw new Error(`Writing ended with status ${status}`);
  }

  /** Reads from the disk. */
  async read(sector: number, ...space: number[]): Promise<Uint8Array> {
    const answer = await this.request(Type.in, sector, [], space);
    if (answer.at(-1) !== Status.ok) throw new Error(`Reading ended with status ${answer.at(-1)}`);
    return answer.subarray(0, -1);
  }

  /** Closes everything. */
  [Symbol.dispose](): void {
    for (const event of [this.kick, this.call, this.error]) event.close();
    if (!this.#isOwner) return;
    this.socket.close();
    this.memory.close();
  }
}

const Descriptor = struct({ addr: u64le, len: u32le, flags: u16le, next: u16le });

/** Moves the buffers of a request that the device has not seen yet, but for the first and the last. */
export function placeBuffers(
  memory: GuestMemoryMmap,
  driver: MockDriver,
  head: number,
  places: readonly number[],
): void {
  let at = head;
  const place = () => GuestAddress(driver.state.descTable + at * Descriptor.byteLength);
  for (const addr of places) {
    at = memory.readObj(Descriptor, place()).next;
    const descriptor = memory.readObj(Descriptor, place());
    if (descriptor.flags % 2 === 0) throw new Error("The last buffer has the status");
    memory.writeObj(Descriptor, { ...descriptor, addr: BigInt(addr) }, place());
  }
}

export { numbers };
