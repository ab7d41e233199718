/**
 * `deno task golden [autocast]`: asks PyTorch for its results on the op case table and writes tests/golden/ops.json, and
 * for the types that it gives under autocast, for tests/golden/autocast.json. Needs the virtual environment of
 * scripts/bench/setup_torch.ts; tests only read the files.
 */
import { fromFileUrl, join } from "@std/path";
import {
  type AutocastCall,
  autocastCalls,
  type AutocastGoldens,
} from "../tests/amp/autocast_table.ts";
import { cases } from "../tests/ops/case_table.ts";
import type { Entry } from "../tests/ops/spec.ts";
import { dtypesOf } from "../tests/ops/check.ts";
import { describeCall, GOLDEN_DTYPES, keyOf } from "../tests/ops/golden.ts";

const root = fromFileUrl(new URL("..", import.meta.url));
const python = join(root, ".venv/torch/bin/python");

interface Answer {
  readonly results?: unknown[];
  readonly throws?: string;
}

/** Gives PyTorch calls, one JSON text each, and takes its answers in the same order. */
async function ask(calls: readonly string[]): Promise<Answer[]> {
  const child = new Deno.Command(python, {
    args: [join(root, "scripts/golden.py")],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const output = child.output();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(calls.map((l) => `${l}\n`).join("")));
  await writer.close();
  const { code, stdout } = await output;
  if (code !== 0) {
    console.error(
      `${python} ended with ${code}; deno run -A scripts/bench/setup_torch.ts makes it`,
    );
    Deno.exit(1);
  }
  return new TextDecoder().decode(stdout).trimEnd().split("\n").map((line) => JSON.parse(line));
}

const entries = Object.entries(cases as Record<string, Entry>)
  .sort(([a], [b]) => a < b ? -1 : 1);

async function writeOps(): Promise<void> {
  const asked: { name: string; index: number; key: string }[] = [];
  const lines: string[] = [];
  for (const [name, entry] of entries) {
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
  const goldens: Record<string, Record<string, unknown>> = {};
  let thrown = 0;
  for (const [i, answer] of (await ask(lines)).entries()) {
    const { name, index, key } = asked[i];
    if (answer.throws !== undefined) {
      thrown++;
      console.error(`${name} case ${index} ${key.split(" ")[0]}: PyTorch throws ${answer.throws}`);
      continue;
    }
    (goldens[name] ??= {})[key] = answer.results;
  }
  const text = Object.entries(goldens).map(([name, results]) => {
    const rows = Object.entries(results).map(([k, v]) =>
      `${JSON.stringify(k)}:${JSON.stringify(v)}`
    );
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
}

/** What PyTorch cannot tell without computing, or does not take, has no golden. */
async function writeAutocast(): Promise<void> {
  const goldens: AutocastGoldens = { cpu: {}, cuda: {} };
  for (const kind of ["cpu", "cuda"] as const) {
    const calls: AutocastCall[] = entries.flatMap(([name, entry]) => [
      ...autocastCalls(name, entry, kind),
    ]);
    const answers = await ask(
      calls.map((c) =>
        JSON.stringify({ key: c.key, autocast: kind, ...JSON.parse(c.description) })
      ),
    );
    let known = 0;
    for (const [i, { name, key }] of calls.entries()) {
      const { results, throws } = answers[i];
      if (results === undefined) {
        if (Deno.args.includes("--verbose")) console.error(`${kind} ${name}: ${throws}`);
        continue;
      }
      known++;
      (goldens[kind][name] ??= {})[key] = results as [string[] | null, string[]];
    }
    console.log(`types under autocast on ${kind}: ${known} of ${calls.length} calls`);
  }
  await Deno.writeTextFile(
    join(root, "tests/golden/autocast.json"),
    JSON.stringify(goldens).replaceAll("},", "},\n") + "\n",
  );
}

if (!Deno.args.includes("autocast")) await writeOps();
await writeAutocast();
