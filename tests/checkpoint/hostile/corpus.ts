/**
 * Hostile and odd files, made when a test wants them. Each says what `checkpoint.inspect` must answer: a reason, or that the
 * file is legal however odd. The folder `finds` keeps what fuzzers found, as it was.
 */
import { fromFileUrl } from "@std/path";
import type { Hostile } from "./bytes.ts";
import { indexFiles } from "./index_files.ts";
import { numpyFiles } from "./numpy_files.ts";
import { safetensorsFiles } from "./safetensors_files.ts";
import { torchFiles } from "./torch_files.ts";

/** What fuzzers found: any answer is right that is Toro's own. */
export function finds(): { name: string; bytes: Uint8Array<ArrayBuffer> }[] {
  const folder = fromFileUrl(new URL("./finds", import.meta.url));
  return [...Deno.readDirSync(folder)].filter((entry) => !entry.name.endsWith(".md"))
    .map(({ name }) => ({ name, bytes: Deno.readFileSync(`${folder}/${name}`) }))
    .sort((a, b) => a.name < b.name ? -1 : 1);
}

/** The whole corpus. */
export function corpus(): Hostile[] {
  return [...safetensorsFiles, ...indexFiles, ...torchFiles, ...numpyFiles];
}
