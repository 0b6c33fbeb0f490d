/**
 * Checks of the disk: what is read, written, and written across the end of the device.
 *
 * @module
 */
import { type Check, DISK_BYTES, ensureSame, inGuest, sleep } from "./check.ts";
import { outcomeOf, run } from "./commands.ts";
import { FIO, VERIFY } from "./fio.ts";
import { GuestError } from "./guest_error.ts";
import { md5, writeRandom } from "./images.ts";

const FILES = 20;
const FILE_KIB = 37;
const VERIFY_SECONDS = 120;
const KILLS = 2;
const KILL_SECONDS = 8;
/** The guest reads what is in the file. */
export const checkRead: Check = async (host) => {
  const image = await host.newImage("read", DISK_BYTES);
  writeRandom(image, DISK_BYTES);
  const expected = md5(image);
  await inGuest(host, { image }, async (vm) => {
    const [actual] = (await vm.check("md5sum /dev/vda")).split(" ");
    ensureSame(actual!, expected, "the MD5 of the disk in the guest");
  });
  return `MD5 ${expected.slice(0, 8)}… of 64 MiB in the guest and on the host`;
};

/** A file system of the guest is right on the host. */
export const checkFiles: Check = async (host) => {
  const image = await host.newImage("files", DISK_BYTES);
  let sums = "";
  await inGuest(host, { image }, async (vm) => {
    await vm.check("/sbin/mke2fs -q -t ext4 /dev/vda && mount -t ext4 /dev/vda /mnt");
    const write = `dd if=/dev/urandom of=/mnt/f$i bs=1k count=$((i * ${FILE_KIB})) 2>/dev/null`;
    await vm.check(`for i in $(seq 1 ${FILES}); do ${write} || break; done; sync`);
    sums = await vm.check("cd /mnt && md5sum f*; cd /");
    await vm.check("dd if=/dev/zero of=/mnt/z bs=1M count=20 2>/dev/null; sync; rm /mnt/z; sync");
    await vm.check("fstrim /mnt && umount /mnt");
  });
  const { e2fsck, debugfs, env } = host.provisions;
  const { code, stdout } = await outcomeOf(e2fsck, ["-fn", image], { env });
  if (code !== 0) throw new GuestError(`e2fsck -fn finds errors: ${stdout.slice(-300)}`);
  const copies = `${host.folder}/copies`;
  await Deno.mkdir(copies);
  await run(debugfs, ["-R", `rdump / ${copies}`, image], { env });
  const expected = Array.from(
    sums.matchAll(/^(\w{32}) {2}(\S+)/gm),
    ([, sum, name]) => ({ sum, name }),
  );
  const right = expected.filter(({ sum, name }) => md5(`${copies}/${name}`) === sum);
  ensureSame(right.length, FILES, "right files on the host");
  const mib = (await Deno.stat(image)).blocks! * 512 / 2 ** 20;
  return `e2fsck clean, ${right.length} of ${FILES} sums right, ${
    mib.toFixed(0)
  } MiB present after fstrim`;
};

/** Random writes of all sizes are read again. */
export const checkVerify: Check = async (host) => {
  host.ensureTools();
  const image = await host.newImage("verify", DISK_BYTES);
  await inGuest(host, { image }, async (vm) => {
    await vm.check(
      `${FIO} ${VERIFY} --filename=/dev/vda --bsrange=512-128k --iodepth=32 --size=64m 2>&1`,
      VERIFY_SECONDS,
    );
  });
  return "fio, crc32c: 64 MiB of 512 B to 128 KiB in random order, depth 32";
};

/** A device that is killed and started again loses nothing. */
export const checkKill: Check = async (host) => {
  host.ensureTools();
  const image = await host.newImage("kill", DISK_BYTES);
  await inGuest(host, { image, reconnect: true }, async (vm, device) => {
    // All requests that the queue takes are under way all the time, and fio verifies in between.
    const job = `${FIO} ${VERIFY} --filename=/dev/vda --bs=4k --iodepth=32 --size=64m`;
    await vm.check(`${job} --time_based --runtime=${KILL_SECONDS} > /tmp/fio.txt 2>&1 & job=$!`);
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(KILL_SECONDS * 1000 / (KILLS + 2));
      await vm.check("kill -0 $job");
      await device.killAndRestart();
    }
    await vm.check("wait $job || { tail -5 /tmp/fio.txt; false; }", VERIFY_SECONDS);
    const [sum] = (await vm.check("md5sum /dev/vda; sync")).split(" ");
    ensureSame(sum!, md5(image), "the MD5 of the disk in the guest");
  });
  return `killed ${KILLS} times while fio wrote and verified, depth 32: no error, sums right`;
};
