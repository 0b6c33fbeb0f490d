import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  rangesOf,
  receiveHandshake,
  sendHandshake,
} from "../../../examples/firecracker_uffd/handshake.ts";
import { HandshakeRefused } from "../../../examples/firecracker_uffd/uffd_error.ts";
import {
  closeDescriptor,
  EventFd,
  GuestAddress,
  pageSize,
  SystemError,
  u8,
  UnixSocket,
} from "../../../mod.ts";
import { FaultHandler, restore } from "../../../src/snapshot/mod.ts";
import { lazyTest } from "../../snapshot/lazy/lazy_memory.ts";
import { until } from "../../support/until.ts";
import { makeFolder, start } from "./processes.ts";

const PAGES = 64;

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));
}

// A region in the form of old versions, and how newer ones differ.
function region(more: Record<string, unknown> = {}) {
  return { base_host_virt_addr: 2 ** 32, size: PAGES * pageSize(), offset: 0, ...more };
}

/** Messages that are refused: why, the data, and how many descriptors come with it. */
function hostile(): [reason: string, data: Uint8Array, descriptors: number][] {
  const whole = encode([region()]);
  return [
    ["no JSON", encode("what?"), 1],
    ["no JSON", whole.subarray(0, whole.length / 2), 1],
    ["no JSON", Uint8Array.of(0xff, 0xfe), 1],
    ["no list of regions", encode({}), 1],
    ["no list of regions", encode([]), 1],
    ["no object", encode([null]), 1],
    ["size of region 0", encode([region({ size: "4096" })]), 1],
    ["offset of region 1", encode([region(), region({ offset: -1 })]), 1],
    ["base_host_virt_addr", encode([region({ base_host_virt_addr: 2 ** 64 })]), 1],
    ["huge pages cannot be served", encode([region({ page_size: 2 ** 21 })]), 1],
    ["huge pages cannot be served", encode([region({ page_size_kib: 2 ** 21 })]), 1],
    ["huge pages cannot be served", encode([region({ page_size: null })]), 1],
    ["0 descriptors", whole, 0],
    ["2 descriptors", whole, 2],
  ];
}

lazyTest("receiveHandshake() gets what sendHandshake() sent", async () => {
  const [vmm, handler] = UnixSocket.pair();
  using event = new EventFd();
  const ranges = [{ hostAddress: 2 ** 40, len: pageSize(), position: 2 * pageSize() }];
  await sendHandshake(vmm, { fd: event.fd, ranges });
  const handshake = await receiveHandshake(handler);
  assertEquals(handshake?.ranges, ranges);
  closeDescriptor(handshake!.fd);
  vmm.close();
  assertEquals(await receiveHandshake(handler), undefined);
  handler.close();
});

lazyTest("receiveHandshake() refuses what is no handshake, and keeps no descriptor", async () => {
  using event = new EventFd();
  const [vmm, handler] = UnixSocket.pair();
  for (const [reason, data, descriptors] of hostile()) {
    await vmm.send(data, Array(descriptors).fill(event.fd));
    await assertRejects(() => receiveHandshake(handler), HandshakeRefused, reason);
  }
  assertEquals(descriptorsOf(event), 1);
  vmm.close();
  handler.close();
});

// Other tests of this process open and close descriptors meanwhile.
function descriptorsOf(event: EventFd): number {
  const idOf = (fd: number | string) => {
    try {
      return /^eventfd-id:.*$/m.exec(Deno.readTextFileSync(`/proc/self/fdinfo/${fd}`))?.[0];
    } catch {
      // It was closed since.
      return undefined;
    }
  };
  const id = idOf(event.fd);
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => idOf(name) === id).length;
}

lazyTest("rangesOf() accepts messages of old versions", () => {
  const expected = [{ hostAddress: 2 ** 32, len: PAGES * pageSize(), position: 0 }];
  assertEquals(rangesOf(encode([region()])), expected);
  const sizes = { page_size: pageSize(), page_size_kib: pageSize() };
  assertEquals(rangesOf(encode([region(sizes)])), expected);
});

lazyTest("a handler stays ready for the next VMM, whatever was sent to it", async () => {
  using folder = makeFolder(PAGES);
  await using handler = start(["serve", "--once", ...folder.place]);
  const connect = () => {
    try {
      return UnixSocket.connect(folder.socket);
    } catch {
      return undefined;
    }
  };
  let silent: UnixSocket | undefined;
  assert(await until(() => (silent = connect()) !== undefined));
  connect()!.close();

  using event = new EventFd();
  using file = Deno.openSync(folder.mem);
  const size = PAGES * pageSize();
  using memory = restore([[GuestAddress(0), size]], file, { mode: "lazy", thread: false });
  const { fd, ranges: [range] } = FaultHandler.of(memory);
  const base = { base_host_virt_addr: range!.hostAddress };
  const halves = [region({ ...base, size: size / 2 }), region({ ...base, size: size / 2 })];
  const refused: [string, Uint8Array, number[]][] = [
    ...hostile().map(([reason, data, descriptors]): [string, Uint8Array, number[]] => {
      return [reason, data, Array(descriptors).fill(event.fd)];
    }),
    ["no userfaultfd", encode([region()]), [event.fd]],
    ["overlap", encode(halves), [fd]],
    ["Cannot use the snapshot", encode([region({ ...base, size: 2 * size })]), [fd]],
    ["0 bytes", encode([region({ ...base, size: 0 })]), [fd]],
    ["no multiple of", encode([region({ ...base, offset: 7 })]), [fd]],
    ["EINVAL", encode([region({ base_host_virt_addr: 2 ** 52 })]), [fd]],
  ];
  for (const [, data, fds] of refused) {
    using socket = connect()!;
    await socket.send(data, fds);
    assertEquals(await untilClosed(socket), 0);
  }
  // A message of an old version.
  const vmm = connect()!;
  await vmm.send(encode([region(base)]), [fd]);
  for (let page = 0; page < PAGES; page++) {
    assertEquals(memory.readObj(u8, GuestAddress(page * pageSize())), page % 251 + 1);
  }
  vmm.close();
  const { code, stdout, stderr } = await handler.ended;
  assertEquals(code, 0);
  assertStringIncludes(stdout, `VMM ${Deno.pid}: ended after`);
  const lines = stderr.trim().split("\n");
  assertEquals(lines.length, refused.length, stderr);
  for (const [index, [reason]] of refused.entries()) {
    assertStringIncludes(lines[index]!, `VMM ${Deno.pid}: refused, `);
    assertStringIncludes(lines[index]!, reason);
  }
  silent!.close();
});

// Bytes that came before the end.
async function untilClosed(socket: UnixSocket): Promise<number> {
  try {
    return (await socket.receive()).bytes.length;
  } catch (error) {
    if (error instanceof SystemError && error.code === "ECONNRESET") return 0;
    throw error;
  }
}
