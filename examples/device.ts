/**
 * A virtio device that answers texts in capitals, and survives a hostile driver. Run it with
 * `deno run examples/device.ts`: memory on the heap needs no permission.
 *
 * @module
 */
import { GuestAddress, GuestMemoryError, GuestMemoryHeap, u64le } from "@vmm/guest-memory";
import type { DescriptorChain } from "@vmm/guest-memory/virtio";
import { InvalidChain, MockDriver, Virtqueue } from "@vmm/guest-memory/virtio";

using memory = GuestMemoryHeap.fromRanges([[GuestAddress(0), 0x10000]]);
// In place of a guest. A descriptor has 16 bytes, and begins with the address of a buffer.
const driver = new MockDriver(memory, { size: 8, base: GuestAddress(0), length: 0x10000 });
using queue = new Virtqueue(memory, driver.state);

request("hello, device");
request("a buffer where no memory is", 0xdead_0000n);
request("a buffer where none can be", 2n ** 64n - 1n);
request("are you still there?");

function request(text: string, lie?: bigint): void {
  console.log(`driver: ${text}`);
  const head = driver.add([new TextEncoder().encode(text)], [64])!;
  const descriptor = GuestAddress(driver.state.descTable + 16 * head);
  if (lie !== undefined) memory.writeObj(u64le, lie, descriptor);
  serve();
  const { written } = driver.takeUsed()!;
  console.log(`  answer: ${new TextDecoder().decode(written) || "none"}`);
}

function serve(): void {
  for (;;) {
    try {
      const chain = queue.pop();
      if (chain === undefined) return;
      queue.addUsed(chain, answer(chain));
    } catch (error) {
      // One bad chain. Any other error means that the ring is broken, and the device needs a reset.
      if (!(error instanceof InvalidChain)) throw error;
      console.log(`  device: ${error.message}`);
      queue.addUsed(error.head, 0);
    }
  }
}

// Returns the bytes written.
function answer({ readable, writable }: DescriptorChain): number {
  try {
    // The driver chooses how long a request is, but not how much the host allocates.
    const text = new Uint8Array(Math.min(readable.remaining, 4096));
    readable.readSlice(text);
    const capitals = new TextDecoder().decode(text).toUpperCase();
    return writable.write(new TextEncoder().encode(capitals));
  } catch (error) {
    if (!(error instanceof GuestMemoryError)) throw error;
    console.log(`  device: ${error.message}`);
    return 0;
  }
}
