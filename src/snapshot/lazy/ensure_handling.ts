/**
 * Whether this process may handle page faults, by threads of this library.
 *
 * @module
 */
import { LibcUnavailable, SystemError } from "../../../ffi/system_error.ts";
import { FaultsUnavailable } from "../../error/fault_error.ts";

/**
 * Makes a call that opens a descriptor of faults.
 *
 * @param call The call.
 * @throws {FaultsUnavailable} It failed because the kernel does not have it, or does not allow it.
 */
export function ensureHandling<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof LibcUnavailable) throw new FaultsUnavailable("it needs Linux", error);
    const hint = error instanceof SystemError ? HINTS[`${error.call} ${error.code}`] : undefined;
    throw hint === undefined ? error : new FaultsUnavailable(hint, error);
  }
}

const HINTS: Readonly<Record<string, string>> = {
  "userfaultfd ENOSYS": "the kernel has no userfaultfd(2)",
  "userfaultfd EPERM":
    "faults of system calls and of KVM need CAP_SYS_PTRACE or /dev/userfaultfd: see userModeOnly",
  "ioctl EINVAL": "the kernel does not report what is discarded, as Linux 4.11 and later do",
};
