/**
 * What is called: every function and class that the public module exports, and every method of a tensor. Nothing is
 * listed here but what must not be called at random, and the parameters of the few that declare no signature.
 */
import * as toro from "../../mod.ts";
import { signatureOf } from "../../src/op.ts";
import { cases } from "../../tests/ops/case_table.ts";
import { dtypesOf, opOf } from "../../tests/ops/check.ts";
import { KNOWN } from "./known.ts";
import { type Arg, toArg } from "./values.ts";

/** Something that can be called. */
export interface Callee {
  readonly name: string;
  /** Names of its parameters, and of those of a module's forward. */
  readonly params: readonly string[];
  readonly forward?: readonly string[];
  /** Calls that are known to be valid. */
  readonly known: Call[];
  /** Calls it with values: arguments, and those of a module's forward. */
  invoke(args: unknown[], forward: unknown[]): unknown;
}

/** One call, as data. */
export interface Call {
  readonly callee: string;
  readonly args: Arg[];
  readonly forward: Arg[];
  /** What is done with the result. */
  readonly then: string[];
}

/** Exports that are left out, and why. */
const LEFT_OUT: Record<string, RegExp> = {
  "they set what all calls after them depend on": /^(setDefaultDtype|setMemoryLimit|seed)$/,
  "they work on files, and have tests of their own for broken ones":
    /^(checkpoint|deploy|monitor)\.|^data\.read/,
  "they are for deriving from, or only thrown":
    /Error$|^Tensor$|(^|\.)(Module|Optimizer|LRScheduler|ParamGroup|Dataset|IterableDataset|Sampler|Function|Slice|RNNBase|RNNCellBase)$/,
  "they only hand back a guard, or run the caller's own function":
    /^(autograd\.onceDifferentiable|show|scope|noGrad|inferenceMode|enableGrad|setGradEnabled|autograd\.detectAnomaly)$/,
};

/** Parameters of what declares no signature. */
const UNDECLARED: Record<string, string[]> = {
  float: ["alpha"],
  slice: ["start", "end", "step"],
  manualSeed: ["n"],
  setRngState: ["state"],
  "data.defaultCollate": ["tensors"],
  "data.randomSplit": ["dataset", "sizes"],
  "data.TensorDataset": ["tensors"],
  "data.Subset": ["dataset", "sizes"],
  "data.RandomSampler": ["dataset"],
  "data.SequentialSampler": ["dataset"],
  "data.WeightedRandomSampler": ["sizes", "n"],
  "autograd.grad": ["input", "tensors"],
  "autograd.functional.jacobian": ["func", "input"],
  "autograd.functional.hessian": ["func", "input"],
  "autograd.functional.vjp": ["func", "input"],
  "autograd.functional.jvp": ["func", "input", "input"],
  "autograd.functional.vhp": ["func", "input", "input"],
  "autograd.functional.hvp": ["func", "input", "input"],
  "utils.checkpoint.checkpoint": ["func", "input"],
  "utils.checkpoint.checkpointSequential": ["functions", "n", "input"],
  "nn.Sequential": ["module", "module"],
  "nn.ModuleList": ["modules"],
  "nn.utils.parametrize.isParametrized": ["module", "tensorName"],
  "nn.utils.parametrize.cached": ["func"],
  autocast: ["options", "func"],
};

type AnyFunction = (...args: unknown[]) => unknown;
type AnyClass = new (...args: unknown[]) => unknown;

/** Everything that can be called. */
export function surface(): Callee[] {
  const out: Callee[] = [];
  const seen = new Map<unknown, string>();
  const isLeftOut = (name: string) => Object.values(LEFT_OUT).some((r) => r.test(name));
  const visit = (space: Record<string, unknown>, prefix: string) => {
    for (const [key, value] of Object.entries(space)) {
      const name = prefix + key;
      if (typeof value === "object" && value !== null && Symbol.toStringTag in value) {
        visit(value as Record<string, unknown>, `${name}.`);
      } else if (typeof value === "function" && !isLeftOut(name) && !seen.has(value)) {
        seen.set(value, name);
        out.push(
          isClass(value)
            ? ofClass(name, value as AnyClass)
            : ofFunction(name, value as AnyFunction),
        );
      }
    }
  };
  visit(toro, "");
  for (const name of Object.getOwnPropertyNames(toro.Tensor.prototype)) {
    const property = Object.getOwnPropertyDescriptor(toro.Tensor.prototype, name)!;
    if (name === "constructor" || typeof property.value !== "function") continue;
    out.push(ofMethod(name));
  }
  return out;
}

function isClass(f: unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(f));
}

function paramsOf(name: string, f: unknown): string[] {
  return signatureOf(f)?.params.map((p) => p.name) ?? UNDECLARED[name] ?? [];
}

/** How many of the parameters a call without options passes. */
export function requiredOf(callee: Callee): number {
  const required = requiredCounts.get(callee);
  return required ?? callee.params.length;
}

const requiredCounts = new WeakMap<Callee, number>();

function ofFunction(name: string, f: AnyFunction): Callee {
  const callee: Callee = {
    name,
    params: paramsOf(name, f),
    known: [...knownCalls(name, f), ...knownOf(name)],
    invoke: (args) => f(...args),
  };
  const signature = signatureOf(f);
  if (signature !== undefined) requiredCounts.set(callee, signature.required);
  return callee;
}

function ofClass(name: string, made: AnyClass): Callee {
  // Containers say only that they have none.
  const forward = /(List|Dict)$/.test(name)
    ? undefined
    : (made.prototype as { forward?: AnyFunction }).forward;
  const callee: Callee = {
    name,
    params: paramsOf(name, made),
    forward: forward === undefined
      ? undefined
      : Array.from({ length: Math.max(forward.length, 1) }, (_, i) => i === 0 ? "input" : "target"),
    known: knownOf(name),
    invoke: (args, forwardArgs) => {
      const it = new made(...args) as { forward?: AnyFunction; step?: AnyFunction };
      if (forward !== undefined && typeof it.forward === "function") {
        return it.forward(...forwardArgs);
      }
      // An optimiser without gradients has nothing to do, but must say so or not, not crash.
      if (name.startsWith("optim.") && !name.endsWith("LBFGS")) it.step?.();
      return it;
    },
  };
  const signature = signatureOf(made);
  if (signature !== undefined) requiredCounts.set(callee, signature.required);
  return callee;
}

/** A method: its first argument is the tensor that it is called on. */
function ofMethod(name: string): Callee {
  // An op in place has the parameters of the one that makes a new tensor.
  const op = opOf(name) ?? opOf(name.replace(/_$/, ""));
  const signature = op === undefined ? undefined : signatureOf(op);
  const params = signature?.params.map((p) => p.name) ?? ["input", ...METHODS.get(name) ?? []];
  const callee: Callee = {
    name: `Tensor.${name}`,
    params,
    known: [
      ...op === undefined ? [] : knownCalls(`Tensor.${name}`, op),
      ...knownOf(`Tensor.${name}`),
    ],
    invoke: ([self, ...args]) => {
      if (!(self instanceof toro.Tensor)) return undefined;
      return (self as unknown as Record<string, AnyFunction>)[name](...args);
    },
  };
  requiredCounts.set(callee, signature?.required ?? params.length);
  return callee;
}

/** Parameters of methods that are no ops. */
const METHODS = new Map<string, string[]>([
  ["at", ["index", "dim"]],
  ["set", ["index", "value"]],
  ["size", ["dim"]],
  ["to", ["dtype"]],
  ["registerHook", ["fn"]],
]);

/** The calls that known.ts has of a name. */
function knownOf(callee: string): Call[] {
  return (KNOWN[callee] ?? []).map(({ args, forward = [] }) => ({
    callee,
    args: args.map((a) => toArg(a, "float32")),
    forward: forward.map((a) => toArg(a, "float32")),
    then: [],
  }));
}

/** The cases of an op in the table, one for each of two dtypes. */
function knownCalls(callee: string, f: unknown): Call[] {
  const found = Object.entries(cases).find(([name]) => opOf(name) === f);
  if (found === undefined) return [];
  const [, entry] = found;
  return entry.cases.flatMap((c) =>
    dtypesOf(entry, c).slice(0, 2).map((dtype) => ({
      callee,
      args: c.args.map((a) => toArg(a, dtype)),
      forward: [],
      then: [],
    }))
  );
}
