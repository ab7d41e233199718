/**
 * Saves states numbered from `first` on to one path until it is killed: PATH PAGE FIRST BYTES [async]. The number of the
 * newest save that was reported done stands in the page.
 */
import { checkpoint } from "@toro/toro";
import { Page } from "./shim.ts";
import { uniform } from "./states.ts";

const [path, pagePath, first, bytes] = Deno.args;
const page = new Page(pagePath);
for (let k = Number(first);; k++) {
  await checkpoint.save(path, uniform(k, Number(bytes)));
  page.note = k;
  if (k === Number(first)) console.log("saving");
}
