/**
 * Messages with descriptors: `sendmsg(2)` and `recvmsg(2)` with `SCM_RIGHTS`.
 *
 * @module
 */
import { closeDescriptor } from "./descriptor.ts";
import { addressOf } from "./io.ts";
import { lastError, lazily } from "./libc.ts";
import { MSG, SOCKET } from "./linux.ts";
import { DescriptorsLost } from "./system_error.ts";

const calls = lazily(
  {
    // ssize_t sendmsg(int sockfd, const struct msghdr *msg, int flags);
    sendmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
    // ssize_t recvmsg(int sockfd, struct msghdr *msg, int flags);
    recvmsg: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  } as const,
);

// struct msghdr of linux/socket.h (user_msghdr): msg_iov at 16, msg_iovlen at 24, msg_control at 32,
// msg_controllen at 40, of 64 bits each, msg_flags i32 at 48; 56 bytes.
// struct cmsghdr: cmsg_len u64 at 0, cmsg_level i32 at 8, cmsg_type i32 at 12, then data, in units of
// 8 bytes. musl declares both lengths with 32 bits and pads them with zeros.
const IOV = 56;
const CONTROL = IOV + 16;
const CMSG_HEADER = 16;
// With room for what others ask for beside descriptors: credentials take 32 bytes.
const CONTROL_LENGTH = CMSG_HEADER + align(4 * SOCKET.maxDescriptors) + 128;

function align(length: number): number {
  return Math.ceil(length / 8) * 8;
}

/** The structures of one call, with where they are. Filled and used with no other code between. */
interface Frame {
  readonly view: DataView<ArrayBuffer>;
  readonly address: number;
}

let frame: Frame | undefined;
let scratch: Uint8Array<ArrayBuffer> | undefined;
const SCRATCH_LENGTH = 65_536;

// A message of one piece of data, with room for control data. Returns the structures.
function prepare(data: Uint8Array, controlLength: number): DataView<ArrayBuffer> {
  frame ??= makeFrame();
  const { view, address } = frame;
  view.setBigUint64(16, BigInt(address + IOV), true);
  view.setBigUint64(24, 1n, true);
  view.setBigUint64(32, controlLength === 0 ? 0n : BigInt(address + CONTROL), true);
  view.setBigUint64(40, BigInt(controlLength), true);
  view.setInt32(48, 0, true);
  view.setBigUint64(IOV, BigInt(addressOf(data)), true);
  view.setBigUint64(IOV + 8, BigInt(data.length), true);
  return view;
}

function makeFrame(): Frame {
  const bytes = new Uint8Array(CONTROL + CONTROL_LENGTH);
  return { view: new DataView(bytes.buffer), address: addressOf(bytes) };
}

/**
 * Sends once, without waiting.
 *
 * @param fd The socket.
 * @param data The data, of a plain array; at least one byte with descriptors.
 * @param fds The descriptors, at most 253.
 * @returns Bytes sent, with all descriptors; `undefined` where nothing can be sent now.
 * @throws {SystemError} The call failed.
 */
export function sendMessage(
  fd: number,
  data: Uint8Array,
  fds: readonly number[],
): number | undefined {
  const view = prepare(data, fds.length === 0 ? 0 : CMSG_HEADER + align(4 * fds.length));
  view.setBigUint64(CONTROL, BigInt(CMSG_HEADER + 4 * fds.length), true);
  view.setInt32(CONTROL + 8, SOCKET.level, true);
  view.setInt32(CONTROL + 12, SOCKET.rights, true);
  for (let i = 0; i < fds.length; i++) {
    view.setInt32(CONTROL + CMSG_HEADER + 4 * i, fds[i]!, true);
  }
  for (;;) {
    // SAFETY: the view has the message, whose pointers are to itself and to the data; both are
    // alive, and no other code runs before the call.
    const sent = calls().sendmsg(fd, view, MSG.dontWait | MSG.noSignal);
    if (sent >= 0) return sent;
    const error = lastError("sendmsg", { fd, bytes: data.length, descriptors: fds.length });
    if (error.code === "EAGAIN") return undefined;
    if (error.code !== "EINTR") throw error;
  }
}

/** What was received. */
export interface RawMessage {
  /** The data; empty at the end of the stream. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The descriptors, close-on-exec. */
  readonly fds: number[];
}

/**
 * Receives once, without waiting.
 *
 * @param fd The socket.
 * @param maxBytes Bytes of data at most.
 * @returns The message; `undefined` where there is none yet.
 * @throws {DescriptorsLost} Not all descriptors could be received. Those that came are closed.
 * @throws {SystemError} The call failed.
 */
export function receiveMessage(fd: number, maxBytes: number): RawMessage | undefined {
  const buffer = maxBytes > SCRATCH_LENGTH
    ? new Uint8Array(maxBytes)
    : scratch ??= new Uint8Array(SCRATCH_LENGTH);
  const data = buffer.subarray(0, maxBytes);
  for (;;) {
    const view = prepare(data, CONTROL_LENGTH);
    // SAFETY: as in sendMessage(). The kernel writes no more than the lengths in the message.
    const received = calls().recvmsg(fd, view, MSG.dontWait | MSG.closeOnExec);
    if (received >= 0) {
      const bytes = data.slice(0, received);
      const fds = descriptorsIn(view);
      if ((view.getInt32(48, true) & MSG.controlTruncated) !== 0) lose(bytes, fds);
      return { bytes, fds };
    }
    const error = lastError("recvmsg", { fd });
    if (error.code === "EAGAIN") return undefined;
    if (error.code !== "EINTR") throw error;
  }
}

// The descriptors of all control data: others may ask for credentials beside them.
function descriptorsIn(view: DataView): number[] {
  const fds: number[] = [];
  const end = CONTROL + Math.min(view.getUint32(40, true), CONTROL_LENGTH);
  for (let at = CONTROL; at + CMSG_HEADER <= end;) {
    const length = view.getUint32(at, true);
    if (length < CMSG_HEADER) break;
    const level = view.getInt32(at + 8, true);
    const type = view.getInt32(at + 12, true);
    if (level === SOCKET.level && type === SOCKET.rights) {
      for (let fd = at + CMSG_HEADER; fd + 4 <= Math.min(at + length, end); fd += 4) {
        fds.push(view.getInt32(fd, true));
      }
    }
    at += align(length);
  }
  return fds;
}

function lose(bytes: Uint8Array, fds: readonly number[]): never {
  closeAll(fds);
  throw new DescriptorsLost(bytes, fds.length);
}

/**
 * Closes descriptors, each even if another one cannot be closed.
 *
 * @throws {SystemError} One could not be closed: the first.
 */
export function closeAll(fds: readonly number[]): void {
  const errors: unknown[] = [];
  for (const fd of fds) {
    try {
      closeDescriptor(fd);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
