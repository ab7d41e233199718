/**
 * Publishes to JSR, or with `--dry-run` shows what would be published and checks it.
 *
 * It works on a copy that holds the published files alone. So an import that leaves them fails here,
 * and the stand-ins of scripts/offline, which `deno publish` would take for a part of the package, lie
 * outside it: a dry run links to them, a real one has no links at all.
 */
import { cpSync, existsSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { root } from "./stages.ts";

const dryRun = Deno.args.includes("--dry-run");
const { tasks: _, links, ...manifest } = JSON.parse(await Deno.readTextFile(`${root}deno.json`));
const absent = manifest.publish.include.filter((path: string) => !existsSync(root + path));
if (absent.length) {
  console.error(`Cannot publish: deno.json lists what is not there: ${absent.join(", ")}`);
  Deno.exit(1);
}

const copy = await Deno.realPath(await Deno.makeTempDir({ prefix: "toro-publish-" }));
let code = 1;
try {
  for (const path of manifest.publish.include as string[]) {
    cpSync(root + path, join(copy, path), { recursive: true });
  }
  const inCopy = {
    ...manifest,
    ...dryRun && { links: links.map((link: string) => relative(copy, resolve(root, link))) },
  };
  await Deno.writeTextFile(join(copy, "deno.json"), JSON.stringify(inCopy, null, 2));
  ({ code } = await new Deno.Command(Deno.execPath(), {
    args: ["publish", "--allow-dirty", ...Deno.args],
    cwd: copy,
  }).spawn().status);
} finally {
  await Deno.remove(copy, { recursive: true });
}
Deno.exit(code);
