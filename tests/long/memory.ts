/**
 * `deno task test:memory`: resident memory stays flat over 2,000 training steps with no `dispose` in the script, in
 * four forms, and collection takes under 3 % of the time. Fails where it does not.
 */
import { assert } from "@std/assert";
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl } from "@std/path";

const MIB = 2 ** 20;
const { steps, forms } = parseArgs(Deno.args, {
  string: ["steps", "forms"],
  default: { steps: "2000", forms: "await,sync,small,heap" },
});

for (const form of forms.split(",")) {
  const script = fromFileUrl(new URL("./memory_forms.ts", import.meta.url));
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, form, steps],
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const r = JSON.parse(new TextDecoder().decode(stdout));
  const grown = (r.lateBytes - r.earlyBytes) / MIB;
  console.log(
    `${form.padEnd(6)} ${steps} steps in ${r.seconds.toFixed(1)} s: resident ${
      (r.earlyBytes / MIB).toFixed(0)
    } → ${
      (r.lateBytes / MIB).toFixed(0)
    } MiB, handles ${r.earlyHandles} → ${r.handles}, ${r.collections} collections, ${
      (100 * r.collectionShare).toFixed(2)
    } % of the time`,
  );
  assert(
    grown <= 16,
    `${form}: resident memory grew by ${grown.toFixed(1)} MiB, at most 16 are allowed`,
  );
  assert(
    r.collectionShare < 0.03,
    `${form}: collection took ${(100 * r.collectionShare).toFixed(1)} % of the time`,
  );
}
console.log("memory is flat");
