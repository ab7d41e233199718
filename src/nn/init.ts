/**
 * Values for parameters to begin with. Each function changes its tensor in place, unrecorded, and returns it.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { op } from "../op.ts";
import { mapOut } from "../ops/map.ts";
import * as random from "../ops/random.ts";
import { shapeText } from "../shape.ts";
import { fromElements, Tensor } from "../tensor.ts";
import { OP } from "../../ffi/opcodes.gen.ts";
import { normalQuantile, orthonormal } from "./init_values.ts";

/** The nonlinearity behind a layer, as `calculateGain` knows them. */
export type Nonlinearity =
  | "linear"
  | "conv1d"
  | "conv2d"
  | "conv3d"
  | "sigmoid"
  | "tanh"
  | "relu"
  | "leaky_relu"
  | "selu";

function checkTensor(name: string, tensor: unknown): void {
  if (tensor instanceof Tensor) return;
  throw new ArgumentError(`Cannot ${name} ${show(tensor)}: it must be a tensor`, { op: name });
}

function unrecorded(body: (tensor: Tensor) => void): (tensor: Tensor) => Tensor {
  return (tensor) => {
    inMode(false, () => body(tensor));
    return tensor;
  };
}

function fill(tensor: Tensor, value: number): Tensor {
  mapOut("fill_", OP.copy, tensor, value, null, tensor.info);
  tensor.storage.version++;
  return tensor;
}

/** Options of `uniform_`. */
export interface UniformOptions {
  /** Lower end; default 0. */
  a?: number;
  /** Upper end; default 1. */
  b?: number;
}

/** Uniform numbers from a to b. */
export const uniform_: (
  tensor: Tensor,
  a?: number | UniformOptions,
  b?: number | UniformOptions,
) => Tensor = op(
  "uniform_(tensor, a=0, b=1)",
  (tensor: Tensor, a: number, b: number) => {
    checkTensor("uniform_", tensor);
    return unrecorded((t) => random.uniform_(t, a, b))(tensor);
  },
);

/** Options of `normal_`. */
export interface NormalOptions {
  /** Default 0. */
  mean?: number;
  /** Standard deviation; default 1. */
  std?: number;
}

/** Normal numbers. */
export const normal_: (
  tensor: Tensor,
  mean?: number | NormalOptions,
  std?: number | NormalOptions,
) => Tensor = op(
  "normal_(tensor, mean=0, std=1)",
  (tensor: Tensor, mean: number, std: number) => {
    checkTensor("normal_", tensor);
    return unrecorded((t) => random.normal_(t, mean, std))(tensor);
  },
);

/** Options of `truncNormal_`. */
export interface TruncNormalOptions extends NormalOptions {
  /** Lower end; default -2. */
  a?: number;
  /** Upper end; default 2. */
  b?: number;
}

/** Normal numbers, drawn anew until they are from a to b. */
export const truncNormal_: (
  tensor: Tensor,
  mean?: number | TruncNormalOptions,
  std?: number | TruncNormalOptions,
  options?: TruncNormalOptions,
) => Tensor = op(
  "truncNormal_(tensor, mean=0, std=1, a=-2, b=2)",
  (tensor: Tensor, mean: number, std: number, a: number, b: number) => {
    checkTensor("truncNormal_", tensor);
    if (!(a < b)) {
      throw new ArgumentError(
        `Cannot truncNormal_ from a = ${show(a)} to b = ${show(b)}: a must be below b`,
        {
          op: "truncNormal_",
        },
      );
    }
    // Uniform numbers between the distribution function's values at the ends, sent through its inverse.
    const wide = inMode(
      false,
      () => random.rand([tensor.numel], { dtype: "float64" }).toTypedArray(),
    );
    const values = normalQuantile(wide as Float64Array, mean, std, a, b);
    return write(tensor, values);
  },
);

/** Fills with one number. */
export const constant_: (tensor: Tensor, val: number) => Tensor = op(
  "constant_(tensor, val)",
  (tensor: Tensor, val: number) => {
    checkTensor("constant_", tensor);
    return fill(tensor, val);
  },
);

/** Fills with ones. */
export const ones_: (tensor: Tensor) => Tensor = op(
  "ones_(tensor)",
  (tensor: Tensor) => constant_(tensor, 1),
);

/** Fills with zeros. */
export const zeros_: (tensor: Tensor) => Tensor = op(
  "zeros_(tensor)",
  (tensor: Tensor) => constant_(tensor, 0),
);

/** Ones on the diagonal of a matrix, zeros elsewhere. Errors: ShapeError unless it has two dims. */
export const eye_: (tensor: Tensor) => Tensor = op("eye_(tensor)", (tensor: Tensor) => {
  checkTensor("eye_", tensor);
  if (tensor.ndim !== 2) {
    throw new ShapeError(`Cannot eye_ a tensor ${shapeText(tensor.shape)}: it must have two dims`, {
      op: "eye_",
    });
  }
  fill(tensor, 0);
  const n = Math.min(...tensor.shape), stride = tensor.strides[0] + tensor.strides[1];
  fill(new Tensor(tensor.storage, tensor.info, [n], [stride], tensor.offset), 1);
  return tensor;
});

/**
 * The factor by which a nonlinearity shrinks: 1 for linear and sigmoid, 5/3 for tanh, √2 for relu,
 * `√(2 / (1 + slope²))` for leaky_relu with slope `param` (0.01), 3/4 for selu.
 */
export const calculateGain: (
  nonlinearity: Nonlinearity,
  param?: number | null | { param?: number | null },
) => number = op(
  "calculateGain(nonlinearity, param=null)",
  (nonlinearity: Nonlinearity, param: number | null) => {
    switch (nonlinearity) {
      case "linear":
      case "conv1d":
      case "conv2d":
      case "conv3d":
      case "sigmoid":
        return 1;
      case "tanh":
        return 5 / 3;
      case "relu":
        return Math.SQRT2;
      case "leaky_relu":
        return Math.sqrt(2 / (1 + (param ?? 0.01) ** 2));
      case "selu":
        return 3 / 4;
    }
    throw new ArgumentError(
      `Cannot calculateGain of ${
        show(nonlinearity)
      }: known are linear, conv1d, conv2d, conv3d, sigmoid, tanh, relu, leaky_relu, selu`,
      { op: "calculateGain" },
    );
  },
);

function fans(name: string, tensor: Tensor): [fanIn: number, fanOut: number] {
  checkTensor(name, tensor);
  if (tensor.ndim < 2) {
    throw new ShapeError(
      `Cannot ${name} a tensor ${shapeText(tensor.shape)}: fan in and fan out need two dims`,
      {
        op: name,
      },
    );
  }
  let field = 1;
  for (let d = 2; d < tensor.ndim; d++) field *= tensor.shape[d];
  return [tensor.shape[1] * field, tensor.shape[0] * field];
}

/** Options of `xavierUniform_` and `xavierNormal_`. */
export interface XavierOptions {
  /** A factor; see `calculateGain`. Default 1. */
  gain?: number;
}

/** Glorot's uniform numbers in `± gain · √(6 / (fanIn + fanOut))`. Source: Glorot and Bengio 2010. */
export const xavierUniform_: (tensor: Tensor, gain?: number | XavierOptions) => Tensor = op(
  "xavierUniform_(tensor, gain=1)",
  (tensor: Tensor, gain: number) => {
    const [fanIn, fanOut] = fans("xavierUniform_", tensor);
    const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
    return uniform_(tensor, -bound, bound);
  },
);

/** Glorot's normal numbers with deviation `gain · √(2 / (fanIn + fanOut))`. Source: Glorot and Bengio 2010. */
export const xavierNormal_: (tensor: Tensor, gain?: number | XavierOptions) => Tensor = op(
  "xavierNormal_(tensor, gain=1)",
  (tensor: Tensor, gain: number) => {
    const [fanIn, fanOut] = fans("xavierNormal_", tensor);
    return normal_(tensor, 0, gain * Math.sqrt(2 / (fanIn + fanOut)));
  },
);

/** Options of `kaimingUniform_` and `kaimingNormal_`. */
export interface KaimingOptions {
  /** Slope below zero of a leaky relu; default 0. */
  a?: number;
  /** Whether the forward (default) or the backward pass keeps its variance. */
  mode?: "fan_in" | "fan_out";
  /** Default `"leaky_relu"`. */
  nonlinearity?: Nonlinearity;
}

function kaimingStd(
  name: string,
  tensor: Tensor,
  a: number,
  mode: string,
  nonlinearity: Nonlinearity,
): number {
  const [fanIn, fanOut] = fans(name, tensor);
  if (mode !== "fan_in" && mode !== "fan_out") {
    throw new ArgumentError(
      `Cannot ${name}: mode must be "fan_in" or "fan_out", got ${show(mode)}`,
      { op: name },
    );
  }
  return calculateGain(nonlinearity, a) / Math.sqrt(mode === "fan_in" ? fanIn : fanOut);
}

/** He's uniform numbers in `± gain · √(3 / fan)`. Source: He and others 2015, arXiv 1502.01852. */
export const kaimingUniform_: (
  tensor: Tensor,
  a?: number | KaimingOptions,
  options?: KaimingOptions,
) => Tensor = op(
  "kaimingUniform_(tensor, a=0, mode='fan_in', nonlinearity='leaky_relu')",
  (tensor: Tensor, a: number, mode: string, nonlinearity: Nonlinearity) => {
    const bound = Math.sqrt(3) * kaimingStd("kaimingUniform_", tensor, a, mode, nonlinearity);
    return uniform_(tensor, -bound, bound);
  },
);

/** He's normal numbers with deviation `gain / √fan`. Source: He and others 2015, arXiv 1502.01852. */
export const kaimingNormal_: (
  tensor: Tensor,
  a?: number | KaimingOptions,
  options?: KaimingOptions,
) => Tensor = op(
  "kaimingNormal_(tensor, a=0, mode='fan_in', nonlinearity='leaky_relu')",
  (tensor: Tensor, a: number, mode: string, nonlinearity: Nonlinearity) =>
    normal_(tensor, 0, kaimingStd("kaimingNormal_", tensor, a, mode, nonlinearity)),
);

/**
 * Orthonormal rows or columns, whichever are fewer, times `gain`; dims after the first count as columns.
 * Source: Saxe and others 2013, arXiv 1312.6120.
 */
export const orthogonal_: (tensor: Tensor, gain?: number | XavierOptions) => Tensor = op(
  "orthogonal_(tensor, gain=1)",
  (tensor: Tensor, gain: number) => {
    fans("orthogonal_", tensor);
    if (tensor.numel === 0) return tensor;
    const rows = tensor.shape[0], cols = tensor.numel / rows;
    const drawn = inMode(
      false,
      () => random.randn([tensor.numel], { dtype: "float64" }).toTypedArray(),
    );
    return write(tensor, orthonormal(drawn as Float64Array, rows, cols, gain));
  },
);

/** Options of `dirac_`. */
export interface DiracOptions {
  /** Groups of channels that each begin anew; default 1. */
  groups?: number;
}

/**
 * Ones where a convolution passes its input on unchanged, zeros elsewhere. Shapes: (N, C, K), (N, C, K, K) or
 * (N, C, K, K, K). Errors: ShapeError for others, and where groups do not divide N.
 */
export const dirac_: (tensor: Tensor, groups?: number | DiracOptions) => Tensor = op(
  "dirac_(tensor, groups=1)",
  (tensor: Tensor, groups: number) => {
    checkTensor("dirac_", tensor);
    const [out, channels, ...field] = tensor.shape;
    const whole = Number.isInteger(groups) && groups > 0 && out % groups === 0;
    if (tensor.ndim < 3 || tensor.ndim > 5 || !whole) {
      throw new ShapeError(
        `Cannot dirac_ a tensor ${shapeText(tensor.shape)} in ${
          show(groups)
        } groups: it must have 3 to 5 dims, the first a multiple of the groups`,
        { op: "dirac_" },
      );
    }
    fill(tensor, 0);
    const per = out / groups, centre = field.map((k) => Math.floor(k / 2));
    const [first, second, ...rest] = tensor.strides;
    const middle = rest.reduce((at, stride, d) => at + stride * centre[d], tensor.offset);
    const n = Math.min(per, channels);
    if (tensor.numel === 0) return tensor;
    for (let g = 0; g < groups; g++) {
      const at = middle + g * per * first;
      fill(new Tensor(tensor.storage, tensor.info, [n], [first + second], at), 1);
    }
    return tensor;
  },
);

/** Options of `sparse_`. */
export interface SparseOptions {
  /** Standard deviation of what is not zero; default 0.01. */
  std?: number;
}

/**
 * Normal numbers of which in each column a share `sparsity`, rounded up, is zero. Shapes: (M, N).
 * Errors: ShapeError for others. Source: Martens 2010.
 */
export const sparse_: (
  tensor: Tensor,
  sparsity: number,
  std?: number | SparseOptions,
) => Tensor = op(
  "sparse_(tensor, sparsity, std=0.01)",
  (tensor: Tensor, sparsity: number, std: number) => {
    checkTensor("sparse_", tensor);
    if (tensor.ndim !== 2) {
      throw new ShapeError(
        `Cannot sparse_ a tensor ${shapeText(tensor.shape)}: it must have two dims`,
        { op: "sparse_" },
      );
    }
    if (!(sparsity >= 0 && sparsity <= 1)) {
      throw new ArgumentError(`Cannot sparse_ with sparsity ${show(sparsity)}: it is from 0 to 1`, {
        op: "sparse_",
      });
    }
    const [rows, columns] = tensor.shape;
    const zeros = Math.ceil(sparsity * rows);
    const [drawn, keys] = inMode(
      false,
      () =>
        [random.randn([rows, columns]), random.rand([columns, rows])].map((t) => t.toTypedArray()),
    ) as Float32Array[];
    const values = Float64Array.from(drawn, (x) => x * std);
    for (let c = 0; c < columns; c++) {
      const line = keys.subarray(c * rows, (c + 1) * rows);
      const order = Array.from(line.keys()).sort((a, b) => line[a] - line[b]);
      for (const r of order.slice(0, zeros)) values[r * columns + c] = 0;
    }
    return write(tensor, values);
  },
);

function write(tensor: Tensor, values: Float64Array): Tensor {
  mapOut(
    "copy_",
    OP.copy,
    tensor,
    fromElements(values, "float64", tensor.shape, tensor.storage.device),
    null,
    tensor.info,
  );
  tensor.storage.version++;
  return tensor;
}
