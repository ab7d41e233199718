// Cuts a file while it is mapped, and uses what was mapped: each use must be an error, and nothing else may be touched.
import { tensor } from "../../mod.ts";
import { allocate, free, read } from "../../ffi/library.ts";
import { checksum, mapPart, openFile } from "../../ffi/tensor_files.ts";

const dir = await Deno.makeTempDir(), path = `${dir}/weights.bin`;
await Deno.writeFile(path, new Uint8Array(1 << 20).fill(5));
using file = openFile(path);
const whole = file.map();
const first = mapPart(whole, { name: "x", at: 0, bytes: 64, checksum: null, isBool: false });
const last = mapPart(whole, { name: "y", at: 900_000, bytes: 64, checksum: null, isBool: false });
read(last, 0, new Uint8Array(64));
// Large parts are copied out of a mapping, too.
const large = `${dir}/large.bin`, bytes = 8 << 20, handle = allocate(bytes, 0);
await Deno.writeFile(large, new Uint8Array(bytes));
using copied = openFile(large);
for (const file of [path, large]) await Deno.truncate(file, 4096);
const uses = [
  () => read(last, 0, new Uint8Array(64)),
  () => checksum(whole, 0, 1 << 20),
  () => read(first, 0, new Uint8Array(64)),
  () =>
    copied.readInto([
      { name: "w", handle, to: 0, at: 0, bytes, checksum: null, isBool: false },
    ]),
  () => mapPart(whole, { name: "z", at: 0, bytes: 64, checksum: null, isBool: false }),
];
for (const use of uses) {
  try {
    use();
    console.log("no error");
  } catch (error) {
    console.log((error as Error).message);
  }
}
free([first, last, whole, handle]);
console.log("goes on with", tensor([1, 2]).sum().item());
await Deno.remove(dir, { recursive: true });
