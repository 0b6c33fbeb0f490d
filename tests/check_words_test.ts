import { assertEquals } from "@std/assert";
import { checkWords, readMisspellings } from "./support/check_words.ts";

Deno.test("the spelling check finds a wrong word in prose, in names, in capitals", async () => {
  const text = [
    "Data is recieved here, and the reciever is right.",
    "const lastAdress = readSeperated(0);",
    "LENGHT_OF_ALL",
    "the length of an address is received separately",
  ].join("\n");
  assertEquals(
    checkWords(new Map([["a.md", text]]), await readMisspellings()).map(({ file, line, text }) =>
      `${file}:${line}: ${text}`
    ),
    [
      'a.md:1: "recieved" should be "received"',
      'a.md:1: "reciever" should be "receiver"',
      'a.md:2: "Adress" should be "address"',
      'a.md:2: "Seperated" should be "separated"',
      'a.md:3: "LENGHT" should be "length"',
    ],
  );
});

Deno.test("the spelling check leaves names of other interfaces and short words", async () => {
  const files = new Map([["a.ts", "O_WRONLY, msg_controllen, fo, wth"]]);
  assertEquals(checkWords(files, await readMisspellings()), []);
});
