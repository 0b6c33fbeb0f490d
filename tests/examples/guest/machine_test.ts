import { assertEquals } from "@std/assert";
import { deviceCommand, processorTimeOf } from "../../../examples/guest/block_device.ts";
import { type Machine, qemuArguments } from "../../../examples/guest/qemu_arguments.ts";
import { hasListener } from "../../../examples/guest/sockets.ts";

const MACHINE: Machine = {
  firmware: ["/f"],
  kernel: "/k",
  initramfs: "/i",
  disks: [{ socket: "/a,b" }, { socket: "/c", reconnect: true }],
  accelerator: "tcg",
  session: "commands",
  monitor: "/m",
  memory: 512,
};

/** The value after an option, of each time that it is given. */
const valuesOf = (args: readonly string[], option: string) =>
  args.flatMap((arg, index) => arg === option ? [args[index + 1]] : []);

Deno.test("qemuArguments() shares the guest's memory, and has a device for each disk", () => {
  const args = qemuArguments(MACHINE);
  assertEquals(valuesOf(args, "-object"), ["memory-backend-memfd,id=mem,size=512M,share=on"]);
  assertEquals(valuesOf(args, "-machine"), ["q35,memory-backend=mem"]);
  assertEquals(valuesOf(args, "-accel"), ["tcg,thread=multi"]);
  assertEquals(valuesOf(args, "-m"), ["512M"]);
  assertEquals(valuesOf(args, "-chardev"), [
    "socket,id=disk0,path=/a,,b",
    "socket,id=disk1,path=/c,reconnect-ms=200",
  ]);
  assertEquals(valuesOf(args, "-device"), [
    "vhost-user-blk-pci,id=blk0,chardev=disk0",
    "vhost-user-blk-pci,id=blk1,chardev=disk1",
  ]);
  assertEquals(valuesOf(args, "-incoming"), []);
  assertEquals(valuesOf(args, "-append")[0]!.endsWith(" session=commands"), true);
});

Deno.test("qemuArguments() has room for memory, and continues another machine", () => {
  const args = qemuArguments({
    ...MACHINE,
    accelerator: "kvm",
    pluggable: 128,
    incoming: "/in",
  });
  assertEquals(valuesOf(args, "-m"), ["512M,slots=4,maxmem=640M"]);
  assertEquals(valuesOf(args, "-accel"), ["kvm"]);
  assertEquals(valuesOf(args, "-incoming"), ["unix:/in"]);
});

Deno.test("deviceCommand() calls each kind of device", () => {
  const options = { image: "/i,j", socket: "/s", storageDaemon: "qsd", env: {} };
  const [deno, args] = deviceCommand({ ...options, kind: "deno", direct: true, extra: ["--keep"] });
  assertEquals(deno, Deno.execPath());
  assertEquals(args.slice(3), ["--socket", "/s", "--image", "/i,j", "--direct", "--keep"]);
  const [daemon, own] = deviceCommand({ ...options, kind: "io_uring", direct: true, shared: true });
  assertEquals(daemon, "qsd");
  assertEquals(
    own[1],
    "driver=file,node-name=disk,filename=/i,,j,aio=io_uring,cache.direct=on,locking=off,discard=unmap",
  );
  assertEquals(own[3]!.endsWith("addr.type=unix,addr.path=/s"), true);
});

Deno.test("processorTimeOf() adds both times of a process, whatever its name is", () => {
  const fields = Array.from({ length: 50 }, (_, index) => `${index + 3}`);
  fields[11] = "7";
  fields[12] = "5";
  assertEquals(processorTimeOf(`1 (a) b (c) ${fields.join(" ")}\n`), 120_000);
});

Deno.test("hasListener() sees who listens, not who is connected", () => {
  const text = "Num       RefCount Protocol Flags    Type St Inode Path\n" +
    "0000000000000000: 00000002 00000000 00010000 0001 01 12345 /tmp/a b\n" +
    "0000000000000000: 00000003 00000000 00000000 0001 03 12346 /tmp/c\n";
  assertEquals(hasListener(text, "/tmp/a b"), true);
  assertEquals(hasListener(text, "/tmp/a"), false);
  assertEquals(hasListener(text, "/tmp/c"), false);
});
