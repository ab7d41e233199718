/**
 * Results are the same bits for one thread and for two: the op case table with its tensors made so large that kernels
 * share them out. A case that cannot be made larger (fixed values, sizes among its arguments) runs as it is.
 */
import { assert, assertEquals } from "@std/assert";
import { flatten } from "../../scripts/oracle/values.ts";
import { option } from "../../ffi/library.ts";
import { memory, setMemoryLimit } from "../../src/memory.ts";
import { manualSeed } from "../../src/random.ts";
import { Tensor } from "../../src/tensor.ts";
import { cases } from "./case_table.ts";
import { dtypesOf, isInplace, opOf } from "./check.ts";
import { build } from "./forms.ts";
import { type Case, TensorSpec } from "./spec.ts";

/** Elements that make two pieces of most kernels. */
const ENOUGH = 40_000;
/** Ops whose work rises faster than their elements: so many are enough for them. */
const HEAVY =
  /^linalg|conv|matrix|cdist|pca|svd|lobpcg|attention|inverse|cholesky|multiDot|kron|rnn|lstm|gru/i;

/** The specs of a case's arguments. */
function specs(x: unknown): TensorSpec[] {
  if (x instanceof TensorSpec) return [x];
  if (Array.isArray(x)) return x.flatMap(specs);
  return x !== null && typeof x === "object" ? Object.values(x).flatMap(specs) : [];
}

/** An argument with the dims of its specs that are not 1 a number of times as large. */
function enlarged(x: unknown, times: number): unknown {
  if (x instanceof TensorSpec) {
    return new TensorSpec(x.shape.map((n) => n === 1 ? 1 : n * times), x.options);
  }
  if (Array.isArray(x)) return x.map((y) => enlarged(y, times));
  if (x === null || typeof x !== "object" || Object.getPrototypeOf(x) !== Object.prototype) {
    return x;
  }
  return Object.fromEntries(Object.entries(x).map(([key, y]) => [key, enlarged(y, times)]));
}

/** Elements of a spec. */
function size(s: TensorSpec): number {
  return s.shape.reduce((a, b) => a * b, 1);
}

/** How often the largest tensor's dims must be as large. */
function timesOf(name: string, c: Case): number {
  const all = specs(c.args);
  if (all.length === 0 || all.some((s) => s.options.values !== undefined)) return 1;
  const largest = all.reduce((a, s) => s.shape.length > 0 && size(s) > size(a) ? s : a);
  const dims = largest.shape.filter((n) => n > 1).length;
  if (dims === 0 || size(largest) === 0) return 1;
  const wanted = HEAVY.test(name) ? ENOUGH / 20 : ENOUGH;
  const times = Math.max(1, Math.ceil((wanted / size(largest)) ** (1 / dims)));
  // A tensor of more dims than the largest may not become a monster.
  return all.every((s) => size(enlarged(s, times) as TensorSpec) <= 8 * wanted) ? times : 1;
}

/** The bits of what an op gives. */
function bits(name: string, args: unknown[], threads: number): unknown[] {
  option("threads", threads);
  manualSeed(5);
  return flatten(opOf(name)(...args)).map((r) => {
    if (!(r instanceof Tensor)) return r;
    const { buffer, byteOffset, byteLength } = r.toTypedArray();
    return new Uint8Array(buffer, byteOffset, byteLength).slice();
  });
}

/** Whether two lists of results are the same bits. */
function equal(a: unknown[], b: unknown[]): boolean {
  return a.length === b.length && a.every((x, i) => {
    const y = b[i];
    if (!(x instanceof Uint8Array && y instanceof Uint8Array)) return Object.is(x, y);
    return x.length === y.length && x.every((v, j) => v === y[j]);
  });
}

Deno.test("one thread and two give the same bits", () => {
  const before = option("threads");
  const { budgetBytes } = memory();
  const differing: string[] = [];
  let enlargedOps = 0;
  try {
    // What grows faster than its operands runs as it is.
    setMemoryLimit(memory().liveBytes + 512 * 2 ** 20);
    for (const [name, entry] of Object.entries(cases)) {
      if (entry.random === "its elements are undefined") continue;
      let isLarge = false;
      // Two cases show the kernel; more would take minutes.
      for (const given of entry.cases.slice(0, 2)) {
        const types = dtypesOf(entry, given);
        const dtype = types.includes("float32") ? "float32" : types[0];
        const made = (times: number) => {
          const c = { ...given, args: given.args.map((x) => enlarged(x, times)) };
          return build(c, { dtype, layout: "contiguous" }, name, isInplace(name)).args;
        };
        let times = timesOf(name, given), args = made(times), alone: unknown[];
        try {
          alone = bits(name, args, 1);
        } catch (error) {
          if (times === 1) throw error;
          // Sizes among the arguments do not fit, or memory: the case as it is.
          times = 1;
          args = made(1);
          alone = bits(name, args, 1);
        }
        isLarge ||= times > 1;
        const together = bits(name, isInplace(name) ? made(times) : args, 2);
        if (!equal(together, alone)) differing.push(`${name} of ${JSON.stringify(given.args)}`);
      }
      if (isLarge) enlargedOps++;
    }
  } finally {
    option("threads", before);
    setMemoryLimit(budgetBytes);
  }
  assertEquals(differing, []);
  assert(enlargedOps > 0.6 * Object.keys(cases).length, `only ${enlargedOps} ops were enlarged`);
});
