/// <reference lib="webworker" />
import { MmapRegion, Permissions, u8 } from "../../../../mod.ts";
import { attempt } from "./attempt.ts";

let region: MmapRegion | undefined;
let timer: ReturnType<typeof setInterval> | undefined;

self.onmessage = ({ data }) => {
  if (data === "close") {
    clearInterval(timer);
    region!.close();
    self.postMessage("closed");
  } else if (data === "protect") {
    self.postMessage(attempt(() => region!.protect(Permissions.Read)));
  } else {
    region = MmapRegion.attach(data);
    const write = () => {
      for (let i = 0; i < 100_000; i++) region!.asVolatileSlice().writeObj(u8, i & 0xff, 0);
    };
    write();
    timer = setInterval(write, 0);
    self.postMessage("attached");
  }
};
