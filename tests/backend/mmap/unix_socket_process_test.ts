/** Sockets between processes: each program runs in a Deno of its own. */
import { assertEquals } from "@std/assert";
import { EventFd, FileOffset, GuestMemoryMmap, u32, UnixSocket } from "../../../mod.ts";
import { noMoreThan, openDescriptors } from "../../support/descriptors.ts";
import { linuxTest } from "../../support/linux_test.ts";
import { openFile } from "../../support/posix.ts";
import { gpa } from "../../support/values.ts";

const MOD = JSON.stringify(import.meta.resolve("../../../mod.ts"));

function spawn(program: string, options: Partial<Deno.CommandOptions> = {}): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", program],
    stdout: "piped",
    stderr: "inherit",
    ...options,
  }).spawn();
}

linuxTest("two processes share a memfd and an eventfd, both ways", async () => {
  const path = `${Deno.makeTempDirSync()}/socket`;
  const before = openDescriptors();
  using listener = UnixSocket.listen(path);
  const child = spawn(`
    import { EventFd, FileOffset, GuestAddress, GuestMemoryMmap, u32, UnixSocket } from ${MOD};
    const { memfd_create, ftruncate } = Deno.dlopen("libc.so.6", {
      memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
      ftruncate: { parameters: ["i32", "i64"], result: "i32" },
    }).symbols;
    const memfd = memfd_create(new TextEncoder().encode("guest\\0"), 1);
    ftruncate(memfd, 0x2000n);
    const socket = UnixSocket.connect(${JSON.stringify(path)});
    const kick = new EventFd();
    await socket.send(new TextEncoder().encode("memory"), [memfd, kick.fd]);
    const memory = GuestMemoryMmap.fromRangesWithFiles([
      [GuestAddress(0), 0x2000, new FileOffset(memfd)],
    ]);
    const { fds: [callFd] } = await socket.receive();
    const call = EventFd.fromFd(callFd);
    for (let i = 1; i <= 200; i++) {
      await kick.wait();
      memory.writeObj(u32, memory.readObj(u32, GuestAddress(0x1000)) * 2, GuestAddress(0x1004));
      call.write();
    }
    console.log(socket.peer.pid, (await socket.receive()).bytes.length);`);
  {
    using socket = await listener.accept();
    assertEquals(socket.peer, { pid: child.pid, uid: Deno.uid()!, gid: Deno.gid()! });
    using message = await socket.receive();
    assertEquals(new TextDecoder().decode(message.bytes), "memory");
    using memory = GuestMemoryMmap.fromRangesWithFiles([
      [gpa(0), 0x2000, new FileOffset(message.fds[0]!)],
    ]);
    using kick = EventFd.fromFd(message.fds.pop()!);
    using call = new EventFd();
    await socket.send(Uint8Array.of(1), [call.fd]);
    for (let i = 1; i <= 200; i++) {
      memory.writeObj(u32, i, gpa(0x1000));
      kick.write();
      await call.wait();
      assertEquals(memory.readObj(u32, gpa(0x1004)), 2 * i);
    }
  }
  const { stdout, code } = await child.output();
  assertEquals([new TextDecoder().decode(stdout), code], [`${Deno.pid} 0\n`, 0]);
  listener.close();
  await noMoreThan(before);
});

linuxTest(
  "a process that has too many open files gets DescriptorsLost, and keeps none",
  async () => {
    const program = `
    import { DescriptorsLost, UnixSocket } from ${MOD};
    const [a, b] = UnixSocket.pair();
    const open = () => [...Deno.readDirSync("/proc/self/fd")].length;
    await a.send(Uint8Array.of(1, 2), Array(30).fill(a.fd));
    const library = Deno.dlopen("libc.so.6", {
      setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
    });
    const before = open();
    // RLIMIT_NOFILE is 7: room for the listing, and for some of the descriptors.
    library.symbols.setrlimit(7, BigUint64Array.of(BigInt(before + 10), 4096n));
    try {
      await b.receive();
    } catch (error) {
      const { name, received, bytes } = error;
      const some = received > 0 && received < 30 && error instanceof DescriptorsLost;
      console.log(name, some, [...bytes].join(), open() - before);
    }
    await a.send(Uint8Array.of(3));
    console.log((await b.receive()).bytes[0]);`;
    const { stdout, code } = await spawn(program).output();
    assertEquals([new TextDecoder().decode(stdout), code], ["DescriptorsLost true 1,2 0\n3\n", 0]);
  },
);

linuxTest("signals interrupt neither a wait nor a transfer", async () => {
  const program = `
    import { EventFd, UnixSocket } from ${MOD};
    const { siginterrupt, ualarm } = Deno.dlopen("libc.so.6", {
      siginterrupt: { parameters: ["i32", "i32"], result: "i32" },
      ualarm: { parameters: ["u32", "u32"], result: "u32" },
    }).symbols;
    let signals = 0;
    Deno.addSignalListener("SIGALRM", () => signals++);
    siginterrupt(14, 1);
    ualarm(1000, 1000);
    const [a, b] = UnixSocket.pair();
    const event = new EventFd();
    let total = 0;
    const reading = (async () => {
      for (;;) {
        const { bytes } = await b.receive();
        if (bytes.length === 0) break;
        total += bytes.length;
      }
      event.write(total);
    })();
    const waiting = event.wait();
    for (let i = 0; i < 40; i++) {
      await a.send(new Uint8Array(1_000_000));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    a.close();
    await reading;
    console.log(await waiting, signals > 10);
    Deno.exit(0);`;
  const { stdout, code } = await spawn(program).output();
  assertEquals([new TextDecoder().decode(stdout), code], ["40000000n true\n", 0]);
});

linuxTest("a process that is killed is the end of the stream", async () => {
  const path = `${Deno.makeTempDirSync()}/socket`;
  using listener = UnixSocket.listen(path);
  const child = spawn(`
    import { UnixSocket } from ${MOD};
    const socket = UnixSocket.connect(${JSON.stringify(path)});
    await socket.send(Uint8Array.of(1), [socket.fd]);
    await socket.receive();`);
  using socket = await listener.accept();
  using message = await socket.receive();
  // This process has the peer's end too: the stream ends when the last is closed.
  const waiting = socket.receive();
  child.kill("SIGKILL");
  await child.output();
  message.close();
  assertEquals((await waiting).bytes.length, 0);
});

linuxTest("a program that starts inherits none of our descriptors", async () => {
  const [a, b] = UnixSocket.pair();
  using file = openFile(new Uint8Array(1));
  using event = new EventFd();
  await a.send(Uint8Array.of(1), [file.fd, event.fd]);
  using message = await b.receive();
  const ours = [a.fd, b.fd, event.fd, ...message.fds].map((fd) =>
    Deno.readLinkSync(`/proc/self/fd/${fd}`)
  );
  const { stdout } = await new Deno.Command("ls", { args: ["-l", "/proc/self/fd"] }).output();
  const theirs = new TextDecoder().decode(stdout);
  for (const link of ours) {
    if (link.startsWith("socket:") || link.startsWith("/")) {
      assertEquals(theirs.includes(link), false, link);
    }
  }
  assertEquals(theirs.includes("eventfd"), false);
  a.close();
  b.close();
});
