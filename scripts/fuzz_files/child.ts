/**
 * Damages good files at random and inspects them: FOLDER COUNT SEED [ONLY]. The file that is being looked at lies in the
 * folder; at the end a line of JSON says what came of them. See ../fuzz_files.ts.
 */
import { checkpoint } from "@toro/toro";
import { corpus, finds } from "../../tests/checkpoint/hostile/corpus.ts";
import { attempt, isOurs, resident } from "../../tests/checkpoint/hostile/examine.ts";
import { mutate, Random } from "../../tests/checkpoint/hostile/mutate.ts";
import { isSame, type Seed, seeds } from "../../tests/checkpoint/hostile/seeds.ts";

/** A file that got a wrong answer. */
export interface Find {
  seed: string;
  ending: string;
  what: string;
  /** Where it was kept for the parent. */
  path: string;
}

/** What the child tells at the end. */
export interface Told {
  files: number;
  accepted: number;
  /** By the kind of file. */
  kinds: Record<string, [files: number, accepted: number]>;
  /** How many different reasons there were. */
  reasons: number;
  finds: Find[];
}

const MIB = 2 ** 20;
const LIMIT_MS = 1000;
const LIMIT_BYTES = 64 * MIB;

const [folder, count, seed, only = ""] = Deno.args;
const random = new Random(Number(seed));
const good = (await seeds(folder)).filter(({ name }) => name.includes(only));
// Hostile files and earlier finds are damaged further; large ones would only take time.
const bad: Seed[] = corpus().filter(({ name }) => name.includes(only)).map((file) => ({
  ...file,
  inner: new Uint8Array(file.bytes()),
  wrap: (inner: Uint8Array<ArrayBuffer>) => inner,
  isSealed: false,
})).filter(({ inner }) => inner.length < 20_000);
for (const { name, bytes } of finds()) {
  if (only !== "") break;
  bad.push({
    name,
    ending: name.slice(name.lastIndexOf(".")),
    inner: bytes,
    wrap: (inner) => inner,
    isSealed: false,
  });
}
const original = new Map<string, unknown>();
for (const { name, isSealed, ending, inner, wrap } of good) {
  if (!isSealed) continue;
  const path = `${folder}/original${ending}`;
  await Deno.writeFile(path, wrap(inner));
  original.set(name, await checkpoint.load(path));
}
const told: Told = { files: 0, accepted: 0, kinds: {}, reasons: 0, finds: [] };
const reasons = new Set<string>();
let base = resident("VmRSS");

for (let i = 0; i < Number(count); i++) {
  const from = bad.length > 0 && random.below(4) === 0 ? random.pick(bad) : random.pick(good);
  const other = random.pick(random.below(3) === 0 && bad.length > 0 ? bad : good).inner;
  const path = `${folder}/now${from.ending}`;
  Deno.writeFileSync(path, from.wrap(mutate(from.inner, other, random)));
  const { error, ms } = await attempt(path);
  const kind = told.kinds[from.name] ??= [0, 0];
  told.files++;
  kind[0]++;
  const wrong = async (): Promise<string | null> => {
    if (!isOurs(error)) {
      return `an error that is not Toro's: ${(error as Error).stack}`;
    }
    if (ms > LIMIT_MS) return `it took ${ms.toFixed(0)} ms`;
    const most = resident("VmHWM");
    if (most > base + LIMIT_BYTES) {
      // Starts the highest mark anew.
      Deno.writeTextFileSync("/proc/self/clear_refs", "5");
      base = Math.max(base, resident("VmRSS"));
      return `it took ${((most - base) / MIB).toFixed(0)} MiB`;
    }
    if (error === null && from.isSealed && good.includes(from)) {
      const read = await checkpoint.load(path);
      if (!isSame(read, original.get(from.name))) return "it is damaged and was read";
    }
    return null;
  };
  if (error === null) {
    told.accepted++;
    kind[1]++;
  } else reasons.add((error as Error).message.replace(/\d+/g, "0").slice(0, 200));
  const what = await wrong();
  if (what !== null && told.finds.length < 100) {
    const kept = `${folder}/find-${told.finds.length}${from.ending}`;
    Deno.copyFileSync(path, kept);
    told.finds.push({ seed: from.name, ending: from.ending, what, path: kept });
  }
}
told.reasons = reasons.size;
console.log(JSON.stringify(told));
