/**
 * The device in a process of its own, for tests.
 *
 * @module
 */

/** A device that runs. */
export interface DeviceProcess extends AsyncDisposable {
  readonly socket: string;
  readonly image: string;
  readonly pid: number;
  /** What it has written to the standard error so far. */
  readonly log: string;
  /** Whether it has ended. */
  readonly hasEnded: boolean;
  /** Waits for its end. */
  readonly ended: Promise<number>;
  /** Ends it with a signal. */
  kill(signal: Deno.Signal): void;
}

/** Starts a device with an image of some bytes, and waits until it listens. */
export async function startDevice(bytes: number, ...args: string[]): Promise<DeviceProcess> {
  const folder = await Deno.makeTempDir();
  const [socket, image] = [`${folder}/socket`, `${folder}/image`];
  await Deno.writeFile(image, new Uint8Array());
  await Deno.truncate(image, bytes);
  const program = new URL("../../../examples/vhost_user.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", program, "--socket", socket, "--image", image, ...args],
    stdin: "null",
    stderr: "piped",
    stdout: "null",
  }).spawn();
  let log = "";
  const listening = Promise.withResolvers<void>();
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      log += text;
      if (log.includes("listening")) listening.resolve();
    }
    listening.reject(new Error(`The device has ended: ${log}`));
  })();
  listening.promise.catch(() => {});
  await listening.promise;
  let hasEnded = false;
  const ended = child.status.then(({ code }) => {
    hasEnded = true;
    return code;
  });
  return {
    ...{ socket, image, pid: child.pid, ended },
    get log() {
      return log;
    },
    get hasEnded() {
      return hasEnded;
    },
    kill: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await ended;
      await reading;
      await Deno.remove(folder, { recursive: true });
    },
  };
}
