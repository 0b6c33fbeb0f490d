/** What is not called, and why. */
export const EXCLUDED: Readonly<Record<string, string>> = {
  "HostMemory#setBuffer": "it replaces the bytes of all who use the memory: for derived classes",
  "HostMemory#copyIn": "it writes anywhere in its buffer, of which a region may have a part only",
  closeDescriptor: "a wrong number is a descriptor of Deno's own",
  "EventFd.fromFd": "it takes a descriptor over, which may be Deno's own",
  "UnixSocket.fromFd": "it takes a descriptor over, which may be Deno's own",
  "new ReceivedMessage": "it takes descriptors over, which may be Deno's own",
  "UnixSocket.listen": "it makes files by any name",
  "UnixListener#accept": "it waits for a connection",
  "EventFd#waitSync": "without a time it blocks the thread until another one writes",
};

/** Parameters that need not refuse a value of a wrong type by their name, and why. */
export const UNNAMED: readonly (readonly [parameter: RegExp, reason: string])[] = [
  [
    /^HostMemory#(canAccess|permits|copyIn|copyOut)\.(offset|count)$/,
    "they answer whether, and nothing is accessed where a number is wrong",
  ],
  [/^\w+\.(read|write)\.offset$/, "a codec is called by memory, which has checked the offset"],
];

/** Parameters that may be left out though they have no default value. */
export const OPTIONAL: ReadonlySet<string> = new Set([
  ...["MmapRegion#advise.length", "new AtomicBitmap.buffer"],
  ...["MmapRegion#discard.count", "MmapRegion#isZero.count", "new HostMemory.length"],
  ...["GuestRegionMmap#prefault.options", "GuestRegionMmap#flush.wait", "new OptionRefused.cause"],
]);
