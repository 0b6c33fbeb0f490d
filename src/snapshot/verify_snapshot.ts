/**
 * Finding out whether files of snapshots are what was written.
 *
 * @module
 */
import type { OpenFile } from "../../ffi/descriptor_of.ts";
import { InvalidManifest, SnapshotMismatch } from "../error/snapshot_error.ts";
import { FileHash } from "./file_hash.ts";
import { type DiffManifest, readManifest, type SnapshotManifest } from "./manifest.ts";
import { ensureLength, SourceFile } from "./source_file.ts";
import { Output, readTransferOptions, transfer, type TransferOptions } from "./transfer.ts";

/** How files are read. */
export type VerifyOptions = Omit<TransferOptions, "sync">;

/**
 * Reads a snapshot, or a diff, and compares it with its manifest. {@linkcode restore} and
 * {@linkcode applyDiff} do not: they take a file of the right length. It takes about a second for 1.7
 * GB, holes included. Linux only.
 *
 * It finds damage, not malice: who can change the file may change its manifest too.
 *
 * @param manifest Of the file, with its SHA-256: {@linkcode SnapshotOptions.sha256}.
 * @param file The file, open to read. Its position does not count, and is not moved.
 * @param options How.
 * @throws {SnapshotMismatch} The file has another length, or another SHA-256: `property` says which.
 * @throws {InvalidManifest} The manifest is none, or has no SHA-256.
 * @throws {SnapshotRefused} It is no regular file.
 * @throws {SnapshotFailed} A call failed.
 * @throws {SystemError} The file is not open, or cannot be read.
 * @throws The reason of the signal.
 *
 * @example
 * ```ts
 * import { GuestAddress, GuestMemoryMmap } from "@vmm/guest-memory";
 * import { SnapshotMismatch, verifySnapshot, writeSnapshot } from "@vmm/guest-memory/snapshot";
 * import { assertRejects } from "@std/assert";
 *
 * const path = Deno.makeTempFileSync();
 * using file = Deno.openSync(path, { read: true, write: true });
 * using memory = GuestMemoryMmap.fromRanges([[GuestAddress(0), 2 ** 20]]);
 * const { manifest } = await writeSnapshot(memory, file, { sha256: true });
 * await verifySnapshot(manifest, file);
 *
 * file.writeSync(Uint8Array.of(1));
 * await assertRejects(() => verifySnapshot(manifest, file), SnapshotMismatch);
 * ```
 */
export async function verifySnapshot(
  manifest: SnapshotManifest | DiffManifest,
  file: OpenFile,
  options: VerifyOptions = {},
): Promise<void> {
  const { sha256, length, since } = readManifest(manifest);
  if (sha256 === undefined) throw new InvalidManifest("it has no sha256");
  const plan = readTransferOptions(options);
  plan.signal?.throwIfAborted();
  const what = since === undefined ? "the snapshot" : "the diff";
  using source = new SourceFile(file);
  ensureLength(what, source.fd, length);
  const hash = new FileHash(source.fd, length, what);
  const output = new Output(source.fd);
  await transfer(`verify ${what}`, plan, length, output, pieces());

  function* pieces(): Generator<number, void, void> {
    for (const bytes of hash.pieces()) {
      output.position = bytes;
      yield bytes;
    }
    // What was cut off meanwhile looks like holes.
    ensureLength(what, source.fd, length);
    const found = hash.digest();
    if (found !== sha256) throw new SnapshotMismatch(what, sha256!, found, "sha256");
  }
}
