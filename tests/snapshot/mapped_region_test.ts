import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LibcUnavailable, SystemError } from "../../mod.ts";
import { TrackingUnavailable } from "../../src/snapshot/mod.ts";
import { ensureAvailable } from "../../src/snapshot/mapped_region.ts";
import { linuxTest } from "../support/linux_test.ts";

linuxTest("ensureAvailable() says what the kernel lacks, by the call that failed", () => {
  const cases: [Error, string][] = [
    [new SystemError("userfaultfd", 38, "ENOSYS"), "has no userfaultfd"],
    [new SystemError("userfaultfd", 1, "EPERM"), "not allowed"],
    [new SystemError("ioctl", 22, "EINVAL"), "Linux 6.7"],
    [new SystemError("ioctl", 25, "ENOTTY"), "Linux 6.7"],
    [new SystemError("open", 2, "ENOENT"), "no /proc"],
    [new SystemError("open", 13, "EACCES"), "pagemap may not be read"],
    [new LibcUnavailable("no"), "needs Linux"],
  ];
  for (const [cause, text] of cases) {
    const call = () => {
      throw cause;
    };
    const error = assertThrows(() => ensureAvailable(call), TrackingUnavailable);
    assertStringIncludes(error.message, text);
    assertEquals(error.cause, cause);
  }
});

linuxTest("ensureAvailable() throws other errors as they are, and returns the result", () => {
  for (const cause of [new SystemError("userfaultfd", 24, "EMFILE"), new RangeError("no")]) {
    const error = assertThrows(() =>
      ensureAvailable(() => {
        throw cause;
      })
    );
    assertEquals(error, cause);
  }
  assertEquals(ensureAvailable(() => 7), 7);
});
