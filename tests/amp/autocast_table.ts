/**
 * The case table's calls under autocast: of float32 tensors, of the low precision, and of the first one in it beside
 * float32. tests/golden/autocast.json has the types that PyTorch gives, which `deno task golden` asks for.
 */
import { assertEquals, equal } from "@std/assert";
import { flatten } from "../../scripts/oracle/values.ts";
import { autocast } from "../../src/autocast.ts";
import type { DType } from "../../src/dtype.ts";
import { ToroError } from "../../src/errors.ts";
import { Tensor } from "../../src/tensor.ts";
import { cases } from "../ops/case_table.ts";
import { dtypesOf, isInplace, opOf } from "../ops/check.ts";
import { build, replaced } from "../ops/forms.ts";
import { describeCall, keyOf } from "../ops/golden.ts";
import type { Case, Entry } from "../ops/spec.ts";

/** A kind of devices. */
export type Kind = "cpu" | "cuda";

/** PyTorch's low precision. */
export const LOW: Readonly<Record<Kind, "bfloat16" | "float16">> = {
  cpu: "bfloat16",
  cuda: "float16",
};

/** What PyTorch rounds back to the low precision, which Toro refuses to begin with. */
const REFUSED = ["linalg.polar"];

/** Types of results without and with autocast by kind, op and call; null where PyTorch refuses it without. */
export type AutocastGoldens = Record<
  Kind,
  Record<string, Record<string, [plain: string[] | null, cast: string[]]>>
>;

/** One call of an op under autocast. */
export interface AutocastCall {
  readonly name: string;
  /** By what its golden is found. */
  readonly key: string;
  /** What PyTorch is asked. */
  readonly description: string;
  /** The types that Toro gives, with autocast or without. */
  run(enabled: boolean): string[];
}

/** All calls of an op on a kind of devices. In-place ops and those of no float tensor are left alone by autocast. */
export function* autocastCalls(name: string, entry: Entry, kind: Kind): Generator<AutocastCall> {
  if (isInplace(name) || REFUSED.includes(name)) return;
  for (const c of entry.cases) {
    if (c.withoutPytorch !== undefined) continue;
    if (!dtypesOf(entry, c).includes("float32")) continue;
    // Also where the table has no results of the low precision: types are all that is asked for.
    for (const dtype of ["float32", LOW[kind]] as const) {
      const description = describeCall(name, entry, c, dtype), tensor = `"tensor":"${dtype}"`;
      const count = description.split(tensor).length - 1;
      if (count > 0) yield callOf(name, c, dtype, kind, description);
      if (count < 2 || dtype !== "float32") continue;
      yield callOf(name, c, "mixed", kind, description.replace(tensor, `"tensor":"${LOW[kind]}"`));
    }
  }
}

function callOf(
  name: string,
  c: Case,
  form: DType | "mixed",
  kind: Kind,
  description: string,
): AutocastCall {
  const dtype = form === "mixed" ? "float32" : form;
  const run = (enabled: boolean) => {
    const device = kind === "cpu" ? 0 : 1;
    const call = build(c, { dtype, layout: "contiguous", device }, name, false);
    let args = call.args;
    if (form === "mixed") {
      const first = call.tensors.findIndex((t) => t.dtype === "float32");
      args = replaced(call, call.tensors.map((t, i) => i === first ? t.to(LOW[kind]) : t));
    }
    const results = flatten(autocast({ device: kind, enabled }, () => opOf(name)(...args)));
    return results.map((r) => r instanceof Tensor ? r.dtype : typeof r);
  };
  return { name, key: keyOf(dtype, description), description, run };
}

/** Defines a test for each op that PyTorch has said something of. */
export function testAutocast(kind: Kind): void {
  const goldens: AutocastGoldens = JSON.parse(
    Deno.readTextFileSync(new URL("../golden/autocast.json", import.meta.url)),
  );
  for (const [name, wanted] of Object.entries(goldens[kind])) {
    Deno.test(`${name} under autocast on ${kind}: PyTorch's types`, () => {
      for (const { key, run } of autocastCalls(name, cases[name], kind)) {
        const [plain, cast] = wanted[key] ?? [];
        // Where the op gives other types anyway, or refuses what PyTorch takes, that is not autocast's doing.
        if (cast === undefined) continue;
        const own = attempt(() => run(false));
        if (plain !== null && !equal(own, own === null && !equal(plain, cast) ? null : plain)) {
          continue;
        }
        assertEquals(run(true), cast);
      }
    });
  }
}

function attempt<T>(f: () => T): T | null {
  try {
    return f();
  } catch (error) {
    if (error instanceof ToroError) return null;
    throw error;
  }
}
