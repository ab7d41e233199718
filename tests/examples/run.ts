/** Runs an example as its first comment says: with the permissions that stand there, and no others. */
import { assert } from "@std/assert";
import { fromFileUrl, join } from "@std/path";
import { libraryInfo } from "../../ffi/library.ts";

const root = fromFileUrl(new URL("../..", import.meta.url));

/** How an example ended. */
export interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs `examples/<name>`; `out`, where given, stands in place of the folder that the comment lets it write to. */
export async function runExample(
  name: string,
  args: readonly string[],
  { out }: { out?: string } = {},
): Promise<Run> {
  const path = join(root, "examples", name);
  const [first] = (await Deno.readTextFile(path)).split("\n", 1);
  const [comment, deno, run, ...words] = first.split(" ");
  assert(comment === "//" && deno === "deno" && run === "run", `${name} begins with its command`);
  assert(words.pop() === `examples/${name}`, `the command of ${name} runs it`);
  const permissions = words.map((word) =>
    word.replace("<library>", libraryInfo().library).replace(/^(--allow-\w+)=out$/, `$1=${out}`)
  );
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...permissions, path, ...args],
    cwd: root,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: text(stdout), err: text(stderr) };
}
