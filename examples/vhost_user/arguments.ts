/**
 * What the device is called with.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { VhostError } from "./vhost_error.ts";

/** What `--help` shows. */
export const USAGE: string = `Usage: deno task vhost-blk --socket PATH --image FILE [options]

A disk for a virtual machine in another process, such as QEMU: a vhost-user-blk
device. It listens at the socket, and serves the image to whoever connects, with
a thread for each queue. The guest's memory is the machine's own, which sends
its descriptors.

Options:
  --socket PATH  Where to listen. The file is removed at the end
  --image FILE   What the disk has: a file of whole sectors
  --read-only    Refuse to write
  --direct       Go past the host's page cache, with many requests under way
  --queues N     How many queues the guest may use; 1 by default
  --keep         Wait for the next machine when one ends. Without, the device
                 ends with the first
  --trace        Print each message
  -h, --help     Show this text

With QEMU:
  -object memory-backend-memfd,id=mem,size=512M,share=on
  -machine q35,memory-backend=mem
  -chardev socket,id=disk,path=PATH
  -device vhost-user-blk-pci,chardev=disk[,num-queues=N]

For tests: --no-slots offers no memory slots, --break-log keeps no dirty log.`;

/** What is asked for. */
export interface Options {
  readonly socket: string;
  readonly image: string;
  readonly isReadOnly: boolean;
  readonly isDirect: boolean;
  readonly queues: number;
  readonly keeps: boolean;
  readonly traces: boolean;
  readonly hasSlots: boolean;
  readonly keepsLog: boolean;
}

const MAX_QUEUES = 64;

/**
 * What the arguments ask for.
 *
 * @returns The options, or `undefined` where they ask for help.
 * @throws {VhostError} They make no sense.
 */
export function parseOptions(args: string[]): Options | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const { socket, image } = values;
  if (socket === undefined) throw new VhostError("--socket is missing: where to listen", 2);
  if (image === undefined) throw new VhostError("--image is missing: what the disk has", 2);
  const queues = Number(values.queues ?? 1);
  if (!(Number.isInteger(queues) && queues >= 1 && queues <= MAX_QUEUES)) {
    throw new VhostError(`--queues ${values.queues} is no number from 1 to ${MAX_QUEUES}`, 2);
  }
  return {
    ...{ socket, image, queues },
    isReadOnly: values["read-only"],
    isDirect: values.direct,
    keeps: values.keep,
    traces: values.trace,
    hasSlots: !values["no-slots"],
    keepsLog: !values["break-log"],
  };
}

function parse(args: string[]) {
  const flag = { type: "boolean", default: false } as const;
  try {
    return parseArgs({
      args,
      options: {
        socket: { type: "string" },
        image: { type: "string" },
        queues: { type: "string" },
        "read-only": flag,
        direct: flag,
        keep: flag,
        trace: flag,
        "no-slots": flag,
        "break-log": flag,
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    // The first sentence says what is wrong.
    throw new VhostError((error as Error).message.split(". ")[0]!, 2);
  }
}
