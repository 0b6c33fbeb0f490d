/**
 * The same guest memory in two processes. Run it on Linux with
 * `deno run --allow-ffi --allow-read --allow-run examples/share_with_process.ts`: the other process
 * runs this file too.
 *
 * @module
 */
import { Backing, GuestAddress, GuestMemoryMmap, u32le, UnixSocket } from "@vmm/guest-memory";

const COUNTER = GuestAddress(0x1000);
const TEXT = GuestAddress(2 ** 32);
const [socketName] = Deno.args;

if (socketName === undefined) await main();
else await attach(socketName);

async function main(): Promise<void> {
  using memory = GuestMemoryMmap.fromRanges(
    [[GuestAddress(0), 2 ** 20], [GuestAddress(2 ** 32), 2 ** 20]],
    { backing: Backing.memfd({ name: "guest-ram" }) },
  );
  memory.writeSlice(new TextEncoder().encode("Hello from process 1"), TEXT);

  // A name that begins with a zero byte is no file: it ends with the listener.
  const name = `share-with-process-${crypto.randomUUID()}`;
  using listener = UnixSocket.listen(`\0${name}`);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-ffi", import.meta.filename!, name],
  }).spawn();
  child.status.then(() => listener.close()); // Ends the wait for a child that failed.
  using socket = await listener.accept();
  // Anybody on this machine can connect to such a name, and the memory is for the child alone.
  if (socket.peer.pid !== child.pid) throw new Error(`Process ${socket.peer.pid} is no child`);

  const regions = memory.describe();
  const fds = new Set(regions.map(({ fd }) => fd!));
  await socket.send(new TextEncoder().encode(JSON.stringify(regions)), [...fds]);
  console.log(`Process 1: sent ${regions.length} regions and ${fds.size} descriptor`);
  await child.status;
  console.log(`Process 1: the counter is ${memory.load(u32le, COUNTER)}`);
}

async function attach(name: string): Promise<void> {
  using socket = UnixSocket.connect(`\0${name}`);
  // Disposing of the message closes the descriptors: the mappings stay.
  using message = await socket.receive();
  const regions = JSON.parse(new TextDecoder().decode(message.bytes));
  using memory = GuestMemoryMmap.fromDescription(regions, message.fds);
  for (const region of memory) console.log(`Process 2: ${region}`);

  const text = new Uint8Array(20);
  memory.readSlice(text, TEXT);
  console.log(`Process 2: in memory is "${new TextDecoder().decode(text)}"`);
  memory.getAtomicRef(u32le, COUNTER).fetchAdd(42);
  console.log("Process 2: added 42 to the counter");
}
