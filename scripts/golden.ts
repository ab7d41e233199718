/**
 * `deno task golden`: asks PyTorch for its results on the op case table and writes tests/golden/ops.json. Needs the
 * virtual environment of scripts/bench/setup_torch.ts; tests only read the file.
 */
import { fromFileUrl, join } from "@std/path";
import { cases } from "../tests/ops/case_table.ts";
import type { Entry } from "../tests/ops/spec.ts";
import { dtypesOf } from "../tests/ops/check.ts";
import { describeCall, GOLDEN_DTYPES, keyOf } from "../tests/ops/golden.ts";

const root = fromFileUrl(new URL("..", import.meta.url));
const python = join(root, ".venv/torch/bin/python");

interface Asked {
  readonly name: string;
  readonly index: number;
  readonly key: string;
}

const asked: Asked[] = [];
const lines: string[] = [];
for (
  const [name, entry] of Object.entries(cases as Record<string, Entry>).sort(([a], [b]) =>
    a < b ? -1 : 1
  )
) {
  if (entry.random !== undefined) continue;
  for (const [index, c] of entry.cases.entries()) {
    if (c.withoutPytorch !== undefined) continue;
    for (const dtype of GOLDEN_DTYPES) {
      if (!dtypesOf(entry, c).includes(dtype)) continue;
      const description = describeCall(name, entry, c, dtype);
      const key = keyOf(dtype, description);
      asked.push({ name, index, key });
      lines.push(JSON.stringify({ key, ...JSON.parse(description) }));
    }
  }
}

const child = new Deno.Command(python, {
  args: [join(root, "scripts/golden.py")],
  stdin: "piped",
  stdout: "piped",
}).spawn();
const output = child.output();
const writer = child.stdin.getWriter();
await writer.write(new TextEncoder().encode(lines.map((l) => `${l}\n`).join("")));
await writer.close();
const { code, stdout } = await output;
if (code !== 0) {
  console.error(`${python} ended with ${code}; deno run -A scripts/bench/setup_torch.ts makes it`);
  Deno.exit(1);
}

const goldens: Record<string, Record<string, unknown>> = {};
let thrown = 0;
for (const [i, line] of new TextDecoder().decode(stdout).trimEnd().split("\n").entries()) {
  const { name, index, key } = asked[i];
  const answer = JSON.parse(line) as { results?: unknown[]; throws?: string };
  if (answer.throws !== undefined) {
    thrown++;
    console.error(`${name} case ${index} ${key.split(" ")[0]}: PyTorch throws ${answer.throws}`);
    continue;
  }
  (goldens[name] ??= {})[key] = answer.results;
}
const text = Object.entries(goldens).map(([name, results]) => {
  const rows = Object.entries(results).map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`);
  return `${JSON.stringify(name)}:{\n${rows.join(",\n")}\n}`;
});
const path = join(root, "tests/golden/ops.json");
await Deno.writeTextFile(path, `{\n${text.join(",\n")}\n}\n`);
const size = (await Deno.stat(path)).size / 1024;
console.log(
  `${asked.length - thrown} results of ${text.length} ops, ${
    size.toFixed(0)
  } KiB; ${thrown} without one`,
);
