/**
 * The thread that loads pages. It imports little, as the first fault waits for it.
 *
 * @module
 */
import { type LoaderMessage, type LoaderSetup, PageLoader } from "./page_loader.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<LoaderSetup>) => void;
  postMessage(message: LoaderMessage): void;
  close(): void;
};

scope.onmessage = ({ data }) => {
  new PageLoader(data, (message) => scope.postMessage(message)).run();
  scope.postMessage({ kind: "stopped" });
  scope.close();
};
