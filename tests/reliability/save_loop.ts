/**
 * Saves states numbered from `first` on to one path until it is killed: PATH PAGE FIRST BYTES FORM. The number of the
 * newest save that was reported done stands in the page.
 */
import { checkpoint } from "@toro/toro";
import { Page } from "./shim.ts";
import { uniform } from "./states.ts";

const [path, pagePath, first, bytes, form] = Deno.args;
const page = new Page(pagePath);
for (let k = Number(first);; k++) {
  const state = uniform(k, Number(bytes));
  if (form === "async") await checkpoint.asyncSave(path, state);
  else {
    await checkpoint.save(
      path,
      state,
      form === "shards" ? { maxShardBytes: Number(bytes) / 3 } : {},
    );
  }
  page.note = k;
  if (k === Number(first)) console.log("saving");
}
