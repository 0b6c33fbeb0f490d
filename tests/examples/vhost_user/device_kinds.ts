/**
 * Tests of the device by way of the page cache, and past it where this machine can.
 *
 * @module
 */
import { closeDescriptor } from "@vmm/guest-memory";
import { IoUring } from "../../../examples/vhost_user/io_uring.ts";
import { openDirect } from "../../../examples/vhost_user/libc.ts";
import { linuxTest } from "../../support/linux_test.ts";

/** A test of a device by way of the page cache, and past it. */
export function deviceTest(name: string, fn: (...args: string[]) => Promise<void>): void {
  linuxTest(name, () => fn());
  directTest(`${name}: --direct`, () => fn("--direct"));
}

const noDirect = Deno.build.os === "linux" ? problemOfDirect() : "needs Linux";

/** A test of transfers past the page cache. */
export function directTest(name: string, fn: () => void | Promise<void>): void {
  const ignore = noDirect !== undefined;
  Deno.test({ name: ignore ? `${name} (ignored: ${noDirect})` : name, ignore, fn });
}

function problemOfDirect(): string | undefined {
  const path = Deno.makeTempFileSync();
  try {
    const fd = openDirect(path, true);
    if (fd < 0) return "the file system has no O_DIRECT";
    closeDescriptor(fd);
    new IoUring(1, 1)[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    Deno.removeSync(path);
  }
}
