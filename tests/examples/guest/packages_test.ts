import { assertEquals, assertThrows } from "@std/assert";
import { NotProvided } from "../../../examples/guest/guest_error.ts";
import { librariesOf, modulesOf } from "../../../examples/guest/initramfs.ts";
import {
  aptConfiguration,
  archivesOf,
  distributionOf,
  downloadsOf,
  kernelOf,
  programsOf,
  sourcesList,
} from "../../../examples/guest/packages.ts";
import { planOf } from "../../../examples/guest/provisions.ts";

const BOOKWORM = { codename: "bookworm", backports: true };
const TRIXIE = { codename: "trixie", backports: false };

const release = (version: number, codename: string) =>
  `PRETTY_NAME="Debian ${codename}"\nVERSION_ID="${version}"\nVERSION_CODENAME=${codename}\nID=debian\n`;

Deno.test("distributionOf() knows where QEMU is too old, and refuses what is not Debian", () => {
  assertEquals(distributionOf(release(12, "bookworm")), BOOKWORM);
  assertEquals(distributionOf(release(13, "trixie")), TRIXIE);
  const refuses = (text: string, reason: string) =>
    assertThrows(() => distributionOf(text), NotProvided, reason);
  refuses(release(11, "bullseye"), "this is Debian bullseye");
  refuses(release(24, "noble").replace("ID=debian", "ID=ubuntu"), "Debian's (12 or later)");
  refuses("", "this is an unknown system");
});

const target = (release: string, component: string, kind: string = "Packages") =>
  [
    `MetaKey: ${component}/binary-amd64/Packages`,
    `Created-By: ${kind}`,
    `Component: ${component}`,
    `Release: ${release}`,
    `Repo-URI: http://archive.example/${release}/`,
  ].join("\n");

Deno.test("archivesOf() takes the distribution and its security updates", () => {
  const targets = [
    target("bookworm", "main", "Sources"),
    target("bookworm", "contrib"),
    target("bookworm", "main"),
    target("bookworm-updates", "main"),
    target("bookworm-security", "main"),
    target("nodistro", "main"),
  ].join("\n\n");
  const archives = archivesOf(targets, BOOKWORM);
  assertEquals(archives, [
    { suite: "bookworm", uri: "http://archive.example/bookworm/" },
    { suite: "bookworm-security", uri: "http://archive.example/bookworm-security/" },
  ]);
  assertThrows(() => archivesOf(targets, TRIXIE), NotProvided, "no source of trixie main");

  const lines = sourcesList(archives, BOOKWORM).split("\n")
    .map((line) => line.replace(/ \[signed-by=\S+\]/, ""));
  assertEquals(lines, [
    "deb http://archive.example/bookworm/ bookworm main",
    "deb http://archive.example/bookworm-security/ bookworm-security main",
    "deb http://archive.example/bookworm/ bookworm-backports main",
    "deb-src http://archive.example/bookworm/ bookworm main",
    "",
  ]);
  const [own] = archives;
  const list = sourcesList([{ ...own!, suite: "trixie" }], TRIXIE);
  assertEquals(list.includes("backports"), false);
});

Deno.test("apt writes to one folder only", () => {
  const configuration = aptConfiguration("/a b");
  for (const key of ["Dir::State::lists", "Dir::Cache", "Dir::Etc::sourcelist"]) {
    assertEquals(configuration.includes(`${key} "/a b`), true, key);
  }
});

Deno.test("programsOf() takes QEMU from backports where it has to", () => {
  const names = ["qemu-system-x86", "qemu-utils", "e2fsprogs"];
  assertEquals(programsOf(BOOKWORM), ["--target-release=bookworm-backports", ...names]);
  assertEquals(programsOf(TRIXIE), names);
});

Deno.test("downloadsOf() reads what apt prints, and planOf() shows it", () => {
  const downloads = downloadsOf(
    "NOTICE: text\n'http://a.example/q%2bds.deb' q_1%3a10.0+ds_amd64.deb 10176912 SHA256:00\n" +
      "'http://a.example/b.deb' b.deb 928188 \n",
  );
  assertEquals(downloads, [
    { file: "q_1:10.0+ds_amd64.deb", bytes: 10_176_912 },
    { file: "b.deb", bytes: 928_188 },
  ]);
  assertEquals(planOf(BOOKWORM, downloads, []), [
    "From the packages of bookworm, 11.1 MB are downloaded:",
    "    10.2 MB  q_1:10.0+ds_amd64.deb",
    "     0.9 MB  b.deb",
    "They are unpacked in target/guest, and nothing is installed.",
  ]);
});

Deno.test("kernelOf() finds the package of the kernel", () => {
  const text = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
  assertEquals(kernelOf(text), "linux-image-6.1.0-56-cloud-amd64");
  assertThrows(() => kernelOf("linux-image-cloud-amd64\n"), Error, "depends on no kernel");
});

Deno.test("modulesOf() loads drivers after those that they need", () => {
  const files = [
    "/k/block/virtio_blk.ko",
    "/k/net/virtio_net.ko",
    "/k/virtio/virtio.ko.xz",
    "/k/virtio/virtio-pci.ko.xz",
    "/k/virtio/virtio_ring.ko.xz",
    "/k/modules.builtin",
  ];
  assertEquals(modulesOf(files), [
    "/k/virtio/virtio_ring.ko.xz",
    "/k/virtio/virtio.ko.xz",
    "/k/virtio/virtio-pci.ko.xz",
    "/k/block/virtio_blk.ko",
  ]);
});

Deno.test("librariesOf() reads what ldd prints", () => {
  const text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f1a)\n" +
    "\t/lib64/ld-linux-x86-64.so.2 (0x00007f2b)\n";
  assertEquals(librariesOf(text), ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
  assertThrows(() => librariesOf("\tliba.so.1 => not found\n"), Error, "liba.so.1 is missing");
});
