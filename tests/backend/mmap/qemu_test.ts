import { assert, assertEquals } from "@std/assert";
import { GuestAddress, GuestMemoryMmap, u16, u8 } from "../../../mod.ts";
import { until } from "../../support/until.ts";

const SIZE = 2 ** 26;
const QEMU = "qemu-system-x86_64";

function hasQemu(): boolean {
  try {
    return new Deno.Command(QEMU, { args: ["--version"] }).outputSync().success;
  } catch {
    return false;
  }
}

const ignore = Deno.build.os !== "linux" || !hasQemu();

Deno.test({
  name: "fromDescription() attaches the RAM of a running QEMU" +
    (ignore ? ` (ignored: needs ${QEMU})` : ""),
  ignore,
  async fn() {
    const child = new Deno.Command(QEMU, {
      args: [
        ...["-display", "none", "-serial", "none", "-monitor", "none", "-nodefaults"],
        ...["-machine", "pc,memory-backend=ram", "-m", `${SIZE / 2 ** 20}`],
        ...["-object", `memory-backend-memfd,id=ram,size=${SIZE},share=on`],
      ],
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      const fds = `/proc/${child.pid}/fd`;
      const isRam = (path: string) => {
        try {
          const isMemfd = Deno.readLinkSync(path).startsWith("/memfd:memory-backend-memfd");
          return isMemfd && Deno.statSync(path).size === SIZE;
        } catch {
          return false; // It has been closed since.
        }
      };
      const ram = () => [...Deno.readDirSync(fds)].map(({ name }) => `${fds}/${name}`).find(isRam);
      assert(await until(() => ram() !== undefined));
      using file = Deno.openSync(ram()!, { read: true, write: true });
      using memory = GuestMemoryMmap.fromDescription([{
        ...{ startAddr: 0, len: SIZE, hostAddress: 0, fd: 3, fdOffset: 0 },
        ...{ pageSize: 4096, kind: "memfd" as const },
      }], [file]);
      // The firmware writes how much memory there is below 640 KiB, in the BIOS data area.
      assert(await until(() => memory.readObj(u16, GuestAddress(0x413)) !== 0));
      const kilobytes = memory.readObj(u16, GuestAddress(0x413));
      assert(kilobytes > 600 && kilobytes <= 640, `${kilobytes}`);
      // QEMU sees what is written here, and both outlive each other.
      memory.writeObj(u8, 0x5a, GuestAddress(SIZE - 1));
      child.kill("SIGKILL");
      await child.status;
      assertEquals(memory.readObj(u8, GuestAddress(SIZE - 1)), 0x5a);
    } finally {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
    }
  },
});
