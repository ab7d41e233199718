/**
 * `deno task oracle FOLDER [--only NAME]… [--device cuda] [--json FILE]`: runs PyTorch's recorded answers through Toro and prints, per
 * op, how many cases passed, failed, are missing or not supported, with the first difference.
 */
import { parseArgs } from "@std/cli/parse-args";
import { deviceNumber } from "../src/ops/creation.ts";
import { type Count, runFolder } from "./oracle/run.ts";

const flags = parseArgs(Deno.args, {
  string: ["json", "only", "device"],
  collect: ["only"],
  boolean: ["all"],
});
const [folder] = flags._;
if (folder === undefined) {
  console.error(
    "usage: deno task oracle FOLDER [--only NAME]… [--device cuda] [--all] [--json FILE]",
  );
  Deno.exit(2);
}

const report = await runFolder(String(folder), {
  only: flags.only as string[],
  device: deviceNumber(flags.device, "run the oracle"),
});

function line(name: string, c: Count): string {
  const counts = [c.passed, c.failed, c.missing, c.unsupported].map((n) => String(n).padStart(6));
  return `${name.padEnd(34)}${counts.join("")}`;
}

console.log(`${"".padEnd(34)}  pass  fail  miss unsup`);
for (const [name, count] of Object.entries(report.ops).sort(([a], [b]) => a < b ? -1 : 1)) {
  console.log(line(name, count));
  if (count.first !== undefined && (count.failed > 0 || count.unsupported > 0)) {
    console.log(`    ${count.first}`);
  }
}
if (flags.all) { for (const { id, text } of report.failures) console.log(`${id}: ${text}`); }
console.log();
for (const [name, count] of Object.entries(report.shards)) console.log(line(name, count));
console.log(line("total", report.totals));
if (typeof flags.json === "string") {
  const { totals: { passed, failed, missing, unsupported }, ops, shards, failures } = report;
  const document = { passed, failed, missing, unsupported, ops, shards, failures };
  Deno.writeTextFileSync(flags.json, `${JSON.stringify(document, null, 2)}\n`);
}
Deno.exit(report.totals.failed > 0 ? 1 : 0);
