/**
 * The thread that saves pages before they are written. It imports little, to begin soon.
 *
 * @module
 */
import { PageSaver, type SavedRange, type SaverMessage, type SaverSetup } from "./page_saver.ts";

const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<SaverSetup | readonly SavedRange[]>) => void;
  postMessage(message: SaverMessage): void;
};

let saver: PageSaver | undefined;

scope.onmessage = ({ data }) => {
  if ("userfaultfd" in data) {
    saver = new PageSaver(data);
    scope.postMessage({ kind: "ready" });
  } else saver?.save(data, (message) => scope.postMessage(message));
};
