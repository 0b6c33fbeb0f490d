/**
 * What the device is called with.
 *
 * @module
 */
import { integerOf, parse } from "../lib/arguments.ts";
import { UsageError } from "../lib/expected_error.ts";

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
 * @throws {UsageError} They make no sense.
 */
export function parseOptions(args: string[]): Options | undefined {
  const values = parseAll(args);
  if (values.help) return undefined;
  const { socket, image } = values;
  if (socket === undefined) throw new UsageError("--socket is missing: where to listen");
  if (image === undefined) throw new UsageError("--image is missing: what the disk has");
  const queues = integerOf("--queues", values.queues ?? "1", 1, MAX_QUEUES);
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

function parseAll(args: string[]) {
  const flag = { type: "boolean", default: false } as const;
  return parse({
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
}
