/**
 * The handshake by which Firecracker hands its page faults over: the VMM connects to the handler's
 * socket and sends one message, a JSON array of its regions with its userfaultfd.
 *
 * The fields are those of `GuestRegionUffdMapping` in Firecracker's `src/vmm/src/persist.rs`.
 *
 * @module
 */
import { pageSize, type ReceivedMessage, type UnixSocket } from "@vmm/guest-memory";
import type { FaultHandler, FaultRange } from "@vmm/guest-memory/snapshot";
import { HandshakeRefused } from "./uffd_error.ts";

/** A region as the message has it. */
export interface RegionMapping {
  /** The host address of its first byte, in the VMM. */
  readonly base_host_virt_addr: number;
  /** Bytes. */
  readonly size: number;
  /** Where its content begins in the memory file. */
  readonly offset: number;
  /** Bytes of its pages. Old versions do not send it. */
  readonly page_size?: number;
  /** The same: bytes too, whatever the name says. */
  readonly page_size_kib?: number;
}

/** What a handler gets. */
export interface Handshake {
  /** The memory. */
  readonly ranges: FaultRange[];
  /** The userfaultfd, which is the caller's from now on. */
  readonly fd: number;
}

// Some thousand regions.
const MAX_BYTES = 2 ** 20;

/**
 * Sends the handshake: the VMM's side.
 *
 * @param socket A connection to a handler.
 * @param handler The handler of memory that another process loads.
 */
export async function sendHandshake(
  socket: UnixSocket,
  { fd, ranges }: Pick<FaultHandler, "fd" | "ranges">,
): Promise<void> {
  const mappings = ranges.map(({ hostAddress, len, position }): RegionMapping => ({
    base_host_virt_addr: hostAddress,
    size: len,
    offset: position,
    page_size: pageSize(),
    page_size_kib: pageSize(),
  }));
  await socket.send(new TextEncoder().encode(JSON.stringify(mappings)), [fd]);
}

/**
 * Receives the handshake: the handler's side.
 *
 * @param socket A connection of a VMM.
 * @returns What the VMM sent; `undefined` where it has gone without a word.
 * @throws {HandshakeRefused} It is no handshake, or has pages of another size.
 */
export async function receiveHandshake(socket: UnixSocket): Promise<Handshake | undefined> {
  using message = await socket.receive({ maxBytes: MAX_BYTES });
  if (message.bytes.length === 0) return undefined;
  const ranges = rangesOf(message.bytes);
  return { ranges, fd: onlyDescriptor(message) };
}

/**
 * The regions of a message.
 *
 * @param bytes The JSON.
 * @throws {HandshakeRefused} It is none, or of no regions, or they have pages of another size.
 */
export function rangesOf(bytes: Uint8Array): FaultRange[] {
  let mappings: unknown;
  try {
    mappings = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new HandshakeRefused(`its ${bytes.length} bytes are no JSON`, error);
  }
  if (!Array.isArray(mappings) || mappings.length === 0) {
    throw new HandshakeRefused("its JSON is no list of regions");
  }
  return mappings.map(rangeOf);
}

function rangeOf(mapping: unknown, index: number): FaultRange {
  if (typeof mapping !== "object" || mapping === null) {
    throw new HandshakeRefused(`region ${index} is no object`);
  }
  const { base_host_virt_addr, size, offset, page_size, page_size_kib } = mapping as RegionMapping;
  for (const [name, value] of Object.entries({ base_host_virt_addr, size, offset })) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new HandshakeRefused(
      `${name} of region ${index} is ${JSON.stringify(value)}, not a number of bytes below 2^53`,
    );
  }
  for (const [name, value] of Object.entries({ page_size, page_size_kib })) {
    if (value === undefined || value === pageSize()) continue;
    throw new HandshakeRefused(
      `${name} of region ${index} is ${JSON.stringify(value)}, and this host's pages have ` +
        `${pageSize()} bytes: huge pages cannot be served`,
    );
  }
  return { hostAddress: base_host_virt_addr, len: size, position: offset };
}

// Takes it out of the message, which closes what is left.
function onlyDescriptor({ fds }: ReceivedMessage): number {
  if (fds.length !== 1) {
    throw new HandshakeRefused(`it has ${fds.length} descriptors, not one userfaultfd`);
  }
  return fds.pop()!;
}
