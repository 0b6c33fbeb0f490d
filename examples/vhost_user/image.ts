/**
 * The image of a disk.
 *
 * @module
 */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import { openDirect } from "./libc.ts";
import { closeDescriptor } from "@vmm/guest-memory";
import type { Image } from "./block_device.ts";
import { SECTOR } from "./block_format.ts";
import { VhostError } from "./vhost_error.ts";

/** An image that is closed at the end. */
export interface OpenImage extends Image, Disposable {}

/**
 * Opens an image.
 *
 * @param path Its file.
 * @param isReadOnly Whether it is only read.
 * @param isDirect Whether requests go past the page cache.
 * @throws {VhostError} It cannot be opened, or is no image.
 */
export function openImage(path: string, isReadOnly: boolean, isDirect: boolean): OpenImage {
  let fd: number;
  try {
    fd = openSync(path, isReadOnly ? constants.O_RDONLY : constants.O_RDWR);
  } catch (error) {
    throw new VhostError(`cannot open the image: ${(error as Error).message}`);
  }
  const status = fstatSync(fd);
  const problem = !status.isFile()
    ? "is no regular file"
    : status.size === 0
    ? "is empty: truncate -s 64M makes one of 64 MiB"
    : status.size % SECTOR !== 0
    ? `has ${status.size} bytes, which are no whole sectors of ${SECTOR}`
    : undefined;
  if (problem !== undefined) {
    closeSync(fd);
    throw new VhostError(`${path} ${problem}`);
  }
  const directFd = isDirect ? openDirect(path, isReadOnly) : undefined;
  if (directFd !== undefined && directFd < 0) {
    closeSync(fd);
    throw new VhostError(`cannot open ${path} with O_DIRECT: its file system has no such thing`);
  }
  const close = () => {
    if (directFd !== undefined) closeDescriptor(directFd);
    closeSync(fd);
  };
  return { fd, directFd, size: status.size, isReadOnly, [Symbol.dispose]: close };
}
