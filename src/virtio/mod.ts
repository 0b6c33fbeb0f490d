/**
 * Virtqueues: how a device and its driver pass buffers to each other in guest memory.
 *
 * | Item | What it is |
 * | --- | --- |
 * | {@linkcode Virtqueue} | a split virtqueue as the device sees it |
 * | {@linkcode DescriptorChain} | a request: bytes to read, and space to write |
 * | {@linkcode MockDriver} | the driver's side, for tests of a device |
 *
 * @module
 */
export {
  type ChainProblem,
  ChainUsed,
  InvalidAvailRingIndex,
  InvalidChain,
  InvalidQueue,
  VirtqueueError,
} from "../error/virtqueue_error.ts";
export { ChainPart, ReadablePart, WritablePart } from "./chain_part.ts";
export { DescriptorChain } from "./descriptor_chain.ts";
export type { VirtqueueState } from "./layout.ts";
export {
  MockDriver,
  type MockDriverOptions,
  type MockRequestOptions,
  type UsedRequest,
} from "./mock_driver.ts";
export { Virtqueue } from "./virtqueue.ts";
