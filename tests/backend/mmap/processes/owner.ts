/** Makes memory, sends it to the process that listens, counts in it, and waits to be killed. */
import { Backing, GuestAddress, GuestMemoryMmap, UnixSocket } from "../../../../mod.ts";
import { count } from "./counting_worker.ts";

const [path, rounds] = Deno.args as [string, string];
const SIZE = 2 ** 22;
const memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), SIZE]], {
  backing: Backing.memfd({ name: "ram" }),
});
const marks = GuestMemoryMmap.fromRanges([[GuestAddress(0), 4096]], {
  backing: Backing.memfd({ name: "log" }),
});
const [ram, log] = [memory.describe(), marks.describe()];
const fds = [ram[0]!.fd!, log[0]!.fd!] as const;

using socket = UnixSocket.connect(path);
const text = new TextEncoder();
await socket.send(text.encode(JSON.stringify({ ram, log })), fds);
await socket.receive();
const pages = await count({ ram, log, fds, rounds: Number(rounds) }, [0, 1]);
await socket.send(text.encode(JSON.stringify(pages)));
await new Promise(() => setInterval(() => {}, 1000));
