/**
 * Weight norm and spectral norm by hooks, which compute the weight before each `forward`; PyTorch's older form. For the
 * newer one see parametrizations.ts.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, show } from "../errors.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { mapOut } from "../ops/map.ts";
import { bind, declare } from "../op.ts";
import { dot, mv } from "../ops/matmul.ts";
import { norm } from "../ops/moments.ts";
import { clampMin } from "../ops/bounds.ts";
import { div, mul } from "../ops/pointwise.ts";
import { randn } from "../ops/random.ts";
import { permute, reshape, transpose } from "../ops/view.ts";
import { wrapDim } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { addPreHook } from "./hooks.ts";
import { checkModule, checkTensorName, type Module } from "./module.ts";
import { Buffer, Parameter } from "./parameter.ts";

type Fields = Record<string, unknown>;

/** The norm of everything but a dim, which keeps its place; of all where dim is null or -1. */
export function normExceptDim(v: Tensor, dim: number | null): Tensor {
  if (dim === null || dim === -1) return norm(v);
  const d = wrapDim(dim, v.ndim, "weightNorm");
  const others = v.shape.map((_, i) => i).filter((i) => i !== d);
  return others.length === 0 ? v.abs() : norm(v, 2, others, { keepdim: true });
}

/** `g · v / ‖v‖`. */
export function weightOf(g: Tensor, v: Tensor, dim: number | null): Tensor {
  return mul(v, div(g, normExceptDim(v, dim)));
}

/** The parameter of a module that a norm is put on. */
export function checkNorm(module: Module, name: string, op: string): Parameter {
  checkModule(module, op);
  checkTensorName(name, op);
  const weight = (module as unknown as Fields)[name];
  if (weight instanceof Parameter) return weight;
  throw new ArgumentError(
    `Cannot ${op} of ${module.constructor.name}.${name}: it is ${show(weight)}, no parameter`,
    { op },
  );
}

/** Options of `weightNorm`. */
export interface WeightNormOptions {
  /** The parameter; default `"weight"`. */
  name?: string;
  /** The dim along which each slice has a length of its own; default 0; null is one length for all. */
  dim?: number | null;
}

/** How each module's norms are undone, by kind and name. */
const undone = new WeakMap<Module, Map<string, () => void>>();

function remember(module: Module, key: string, undo: () => void, op: string): void {
  const known = undone.get(module) ?? new Map<string, () => void>();
  if (known.has(key)) {
    throw new ArgumentError(`Cannot ${op} of ${module.constructor.name} twice on one parameter`, {
      op,
    });
  }
  known.set(key, undo);
  undone.set(module, known);
}

function remove(module: Module, kind: string, name: string, op: string): void {
  checkModule(module, op);
  checkTensorName(name, op);
  const key = `${kind} ${name}`, undo = undone.get(module)?.get(key);
  if (undo === undefined) {
    throw new ArgumentError(
      `Cannot ${op} of ${module.constructor.name}: its ${name} has no such norm`,
      { op },
    );
  }
  undone.get(module)!.delete(key);
  undo();
}

/** Puts a computed tensor where the parameter was; it is neither parameter nor buffer. */
export function compute(module: Module, name: string, value: () => Tensor): void {
  Object.defineProperty(module, name, {
    value: value(),
    configurable: true,
    writable: true,
    enumerable: false,
  });
}

/**
 * Weight norm: `weight = g · v / ‖v‖` with the length g and the direction v of each slice along `dim` (null: of the whole),
 * computed before each `forward`. State keys: `weight_g`, `weight_v`. Gives the module.
 * Source: Salimans and Kingma 2016, arXiv 1602.07868.
 */
export function weightNorm<M extends Module>(module: M, options?: WeightNormOptions): M {
  const [, name, dim] = bind(WEIGHT_NORM, [module, options]) as [M, string, number | null];
  const weight = checkNorm(module, name, "weightNorm");
  const fields = module as unknown as Fields;
  const [g, v] = [`${name}G`, `${name}V`];
  const value = () => weightOf(fields[g] as Tensor, fields[v] as Tensor, dim);
  let stop = () => {};
  remember(module, `weightNorm ${name}`, () => {
    stop();
    const last = inMode(false, value);
    for (const field of [name, g, v]) delete fields[field];
    fields[name] = new Parameter(last);
  }, "weightNorm");
  delete fields[name];
  fields[g] = new Parameter(inMode(false, () => normExceptDim(weight, dim)));
  fields[v] = weight;
  compute(module, name, value);
  stop = addPreHook(module, () => compute(module, name, value));
  return module;
}

const WEIGHT_NORM = declare(weightNorm, "weightNorm(module, name='weight', dim=0)");

/** Makes the weight an ordinary parameter again, with its present value. */
export function removeWeightNorm<M extends Module>(module: M, options?: { name?: string }): M {
  const [, name] = bind(REMOVE_WEIGHT_NORM, [module, options]) as [M, string];
  remove(module, "weightNorm", name, "removeWeightNorm");
  return module;
}

const REMOVE_WEIGHT_NORM = declare(removeWeightNorm, "removeWeightNorm(module, name='weight')");

/** Power iterations beyond which the number is a mistake: a few are enough. */
const MOST = 1_000_000;

/** Options of `spectralNorm`. */
export interface SpectralNormOptions {
  /** The parameter; default `"weight"`. */
  name?: string;
  /** Iterations before each forward in training; default 1. */
  nPowerIterations?: number;
  /** The least length that is divided by; default 1e-12. */
  eps?: number;
  /** The dim along which the matrix has its rows; default 0, of transposed convolutions 1. */
  dim?: number | null;
}

/** A weight as a matrix whose rows are along a dim. */
export function matrixOf(weight: Tensor, dim: number): Tensor {
  const order = [dim, ...weight.shape.map((_, d) => d).filter((d) => d !== dim)];
  const moved = dim === 0 ? weight : permute(weight, order);
  return reshape(moved, [moved.shape[0], -1]);
}

/** The bound arguments of spectral norm, checked. The rows' dim, where none is given, is that of the outputs. */
export function spectralArguments(bound: readonly unknown[]): {
  weight: Parameter;
  name: string;
  nPowerIterations: number;
  eps: number;
  dim: number;
} {
  const [module, name, nPowerIterations, eps, dim] = bound as [
    Module,
    string,
    number,
    number,
    number,
  ];
  const op = "spectralNorm", weight = checkNorm(module, name, op);
  if (!Number.isInteger(nPowerIterations) || nPowerIterations < 1 || nPowerIterations > MOST) {
    const rule = nPowerIterations > MOST ? `at most ${MOST} are made` : "at least 1 is needed";
    throw new ArgumentError(
      `Cannot spectralNorm with nPowerIterations ${show(nPowerIterations)}: ${rule}`,
      { op },
    );
  }
  if (typeof eps !== "number") {
    throw new ArgumentError(`Cannot spectralNorm with eps ${show(eps)}: it must be a number`, {
      op,
    });
  }
  const rows = dim ?? (module.constructor.name.startsWith("ConvTranspose") ? 1 : 0);
  return { weight, name, nPowerIterations, eps, dim: wrapDim(rows, weight.ndim, op) };
}

function unit(x: Tensor, eps: number): Tensor {
  return div(x, clampMin(norm(x), eps));
}

/** Two random unit vectors for a matrix. */
export function directions(matrix: Tensor, eps: number): [Tensor, Tensor] {
  const { dtype } = matrix;
  return inMode(false, () => {
    const [h, w] = matrix.shape;
    return [unit(randn([h], { dtype }), eps), unit(randn([w], { dtype }), eps)];
  });
}

/** Brings two vectors closer to the singular vectors of the largest singular value. */
export function iterate(matrix: Tensor, u: Tensor, v: Tensor, count: number, eps: number): void {
  inMode(false, () => {
    for (let i = 0; i < count; i++) {
      write(v, unit(mv(transpose(matrix, 0, 1), u), eps));
      write(u, unit(mv(matrix, v), eps));
    }
  });
}

function write(target: Tensor, value: Tensor): void {
  mapOut("spectralNorm", OP.copy, target, value, null, target.info);
  target.storage.version++;
}

/** The largest singular value, `uᵀ W v`; gradients flow to W alone. */
export function sigmaOf(matrix: Tensor, u: Tensor, v: Tensor): Tensor {
  // Copies, so that backward finds the vectors that were used.
  const [left, right] = inMode(false, () => [u.clone(), v.clone()]);
  return dot(left, mv(matrix, right));
}

/**
 * Spectral norm: before each `forward` the weight, as a matrix whose rows are along `dim`, is divided by its largest
 * singular value, which power iterations follow in training. State keys: `weight_orig`, and the buffers `weight_u` and
 * `weight_v`. Gives the module. Source: Miyato et al. 2018, arXiv 1802.05957.
 */
export function spectralNorm<M extends Module>(module: M, options?: SpectralNormOptions): M {
  const { weight, name, nPowerIterations, eps, dim } = spectralArguments(
    bind(SPECTRAL_NORM, [module, options]),
  );
  const fields = module as unknown as Fields;
  const [u, v] = directions(inMode(false, () => matrixOf(weight, dim)), eps).map((t) =>
    new Buffer(t)
  );
  const value = () => {
    const matrix = matrixOf(weight, dim);
    if (module.training) iterate(matrix, u, v, nPowerIterations, eps);
    return div(weight, sigmaOf(matrix, u, v));
  };
  const parts = { [`${name}Orig`]: weight, [`${name}U`]: u, [`${name}V`]: v };
  let stop = () => {};
  remember(module, `spectralNorm ${name}`, () => {
    stop();
    const last = inMode(false, () => div(weight, sigmaOf(matrixOf(weight, dim), u, v)));
    for (const field of [name, ...Object.keys(parts)]) delete fields[field];
    fields[name] = new Parameter(last);
  }, "spectralNorm");
  delete fields[name];
  Object.assign(fields, parts);
  compute(module, name, () => weight.detach());
  stop = addPreHook(module, () => compute(module, name, value));
  return module;
}

const SPECTRAL_NORM = declare(
  spectralNorm,
  "spectralNorm(module, name='weight', nPowerIterations=1, eps=1e-12, dim=null)",
);

/** Makes the weight an ordinary parameter again, with its present value. */
export function removeSpectralNorm<M extends Module>(module: M, options?: { name?: string }): M {
  const [, name] = bind(REMOVE_SPECTRAL_NORM, [module, options]) as [M, string];
  remove(module, "spectralNorm", name, "removeSpectralNorm");
  return module;
}

const REMOVE_SPECTRAL_NORM = declare(
  removeSpectralNorm,
  "removeSpectralNorm(module, name='weight')",
);
