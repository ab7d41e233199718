/**
 * `deno task fuzz:files [--count N] [--seed S] [--only NAME]`: damages good and hostile files of every format at random and has
 * `checkpoint.inspect` read them, 200,000 unless told otherwise. Each answer must be a summary or one of Toro's errors, within a
 * second and 64 MiB; a checkpoint that is read must mean what it meant before. A second process reads them; when it dies or
 * hangs, another goes on. What got a wrong answer is kept in tests/checkpoint/hostile/finds, which the tests read.
 */
import { createHash } from "node:crypto";
import { parseArgs } from "@std/cli/parse-args";
import { fromFileUrl, join } from "@std/path";
import type { Told } from "./fuzz_files/child.ts";

const flags = parseArgs(Deno.args, {
  string: ["count", "seed", "only"],
  default: { count: "200000", seed: "1", only: "" },
});
const child = fromFileUrl(new URL("./fuzz_files/child.ts", import.meta.url));
const finds = fromFileUrl(new URL("../tests/checkpoint/hostile/finds", import.meta.url));
/** So many files are read by one process. */
const BATCH = 5000;
/** So long no file may take, on a busy machine neither. */
const HUNG_MS = 60_000;

let left = Number(flags.count), seed = Number(flags.seed), files = 0, accepted = 0, wrong = 0;
const kinds = new Map<string, [files: number, accepted: number]>();
const begin = performance.now();

function keep(path: string, seedName: string, what: string): void {
  const bytes = Deno.readFileSync(path);
  const name = createHash("sha256").update(bytes).digest("hex").slice(0, 16) +
    path.slice(path.lastIndexOf("."));
  Deno.writeFileSync(join(finds, name), bytes);
  wrong++;
  console.log(`${name}, from ${seedName}: ${what}`);
}

while (left > 0) {
  const folder = await Deno.makeTempDir({ prefix: "toro-fuzz-" });
  const started = Date.now();
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      child,
      folder,
      String(Math.min(left, BATCH)),
      String(seed),
      flags.only,
    ],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timer = setInterval(() => {
    const times = [...Deno.readDirSync(folder)].map(({ name }) =>
      Deno.statSync(join(folder, name)).mtime!.getTime()
    );
    if (Date.now() - Math.max(started, ...times) > HUNG_MS) process.kill("SIGKILL");
  }, 1000);
  const { success, signal, stdout, stderr } = await process.output();
  clearInterval(timer);
  if (success) {
    const told: Told = JSON.parse(new TextDecoder().decode(stdout));
    files += told.files;
    accepted += told.accepted;
    for (const [name, [n, good]] of Object.entries(told.kinds)) {
      const kind = kinds.get(name) ?? [0, 0];
      kinds.set(name, [kind[0] + n, kind[1] + good]);
    }
    for (const { path, seed, what } of told.finds) keep(path, seed, what);
  } else {
    const now = [...Deno.readDirSync(folder)].find(({ name }) => name.startsWith("now"));
    const how = signal === "SIGKILL" ? "no end" : `ended by ${signal ?? "an error"}`;
    if (now === undefined) throw new Error(new TextDecoder().decode(stderr));
    keep(join(folder, now.name), `seed ${seed}`, `${how}: ${new TextDecoder().decode(stderr)}`);
  }
  left -= BATCH;
  seed++;
  await Deno.remove(folder, { recursive: true });
}
for (const [name, [n, good]] of [...kinds].filter(([, [n]]) => n > files / 50)) {
  console.log(`${name}: ${n} files, ${good} read`);
}
const seconds = (performance.now() - begin) / 1000;
console.log(
  `${files} files in ${seconds.toFixed(0)} s: ${accepted} read, ${
    files - accepted
  } refused, ${wrong} wrong answers`,
);
if (wrong > 0) Deno.exit(1);
