/**
 * Pools of windows as layers. What each computes is said at its function in `nn.functional`.
 *
 * @module
 */
import { bind, declare, type Signature } from "../op.ts";
import type {
  AvgPool,
  AvgPoolNdOptions,
  AvgPoolOptions,
  LpPool,
  LpPoolOptions,
  Maxima,
  MaxPool,
  MaxPoolOptions,
  MaxUnpool,
} from "../ops/pooling.ts";
import type { PerDim } from "../ops/spatial.ts";
import type { Tensor } from "../tensor.ts";
import {
  avgPool1d,
  avgPool2d,
  avgPool3d,
  lpPool1d,
  lpPool2d,
  lpPool3d,
  maxPool1d,
  maxPool2d,
  maxPool3d,
  maxUnpool1d,
  maxUnpool2d,
  maxUnpool3d,
} from "./functional.ts";
import { Module } from "./module.ts";
import { text } from "./options.ts";

// ---- maxima -------------------------------------------------------------------------------------

/** Options of max pools as layers. */
export interface MaxPoolModuleOptions<R extends boolean> extends MaxPoolOptions {
  /** Whether the places of the maxima come along; default false. */
  returnIndices?: R;
}

/** What the three max pools share. */
abstract class MaxPoolNd<R extends boolean> extends Module {
  /** Size of a window. */
  readonly kernelSize: PerDim;
  /** Step between windows. */
  readonly stride: PerDim;
  /** Elements around each dim. */
  readonly padding: PerDim;
  /** Step between the elements of a window. */
  readonly dilation: PerDim;
  /** Whether the places of the maxima come along. */
  readonly returnIndices: R;
  /** Whether windows that end outside count. */
  readonly ceilMode: boolean;
  readonly #pool: MaxPool;

  protected constructor(signature: Signature, pool: MaxPool, args: readonly unknown[]) {
    super();
    this.#pool = pool;
    const [kernelSize, stride, padding, dilation, returnIndices, ceilMode] = bind(
      signature,
      args,
    ) as [PerDim, PerDim | null, PerDim, PerDim, R, boolean];
    this.kernelSize = kernelSize;
    this.stride = stride ?? kernelSize;
    this.padding = padding;
    this.dilation = dilation;
    this.returnIndices = returnIndices;
    this.ceilMode = ceilMode;
  }

  /** Maxima, or maxima and their places. */
  override forward(x: Tensor): R extends true ? Maxima : Tensor {
    const { stride, padding, dilation, ceilMode } = this;
    const options = { stride, padding, dilation, ceilMode, returnIndices: true } as const;
    const found = this.#pool(x, this.kernelSize, options);
    return (this.returnIndices ? found : found[0]) as R extends true ? Maxima : Tensor;
  }

  override extraRepr(): string {
    return `kernelSize=${text(this.kernelSize)}, stride=${text(this.stride)}, ` +
      `padding=${text(this.padding)}, dilation=${text(this.dilation)}, ceilMode=${this.ceilMode}`;
  }
}

/** The maximum of each window of one dim. Shapes: x (N, C, L) or (C, L) → (N, C, L′). */
export class MaxPool1d<R extends boolean = false> extends MaxPoolNd<R> {
  readonly #maxPool1d = true;

  /** Over windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | MaxPoolModuleOptions<R>,
    padding?: PerDim | MaxPoolModuleOptions<R>,
    options?: MaxPoolModuleOptions<R>,
  ) {
    super(MAX_POOL1D, maxPool1d, [kernelSize, stride, padding, options]);
  }
}

/** `MaxPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export class MaxPool2d<R extends boolean = false> extends MaxPoolNd<R> {
  readonly #maxPool2d = true;

  /** Over windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | MaxPoolModuleOptions<R>,
    padding?: PerDim | MaxPoolModuleOptions<R>,
    options?: MaxPoolModuleOptions<R>,
  ) {
    super(MAX_POOL2D, maxPool2d, [kernelSize, stride, padding, options]);
  }
}

/** `MaxPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class MaxPool3d<R extends boolean = false> extends MaxPoolNd<R> {
  readonly #maxPool3d = true;

  /** Over windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | MaxPoolModuleOptions<R>,
    padding?: PerDim | MaxPoolModuleOptions<R>,
    options?: MaxPoolModuleOptions<R>,
  ) {
    super(MAX_POOL3D, maxPool3d, [kernelSize, stride, padding, options]);
  }
}

const MAX_POOL = (name: string) =>
  `${name}(kernelSize, stride=null, padding=0, dilation=1, returnIndices=false, ceilMode=false)`;
const MAX_POOL1D = declare(MaxPool1d, MAX_POOL("MaxPool1d"));
const MAX_POOL2D = declare(MaxPool2d, MAX_POOL("MaxPool2d"));
const MAX_POOL3D = declare(MaxPool3d, MAX_POOL("MaxPool3d"));

/** What the three layers that undo max pools share. */
abstract class MaxUnpoolNd extends Module {
  /** Size of a window. */
  readonly kernelSize: PerDim;
  /** Step between windows. */
  readonly stride: PerDim;
  /** Elements around each dim. */
  readonly padding: PerDim;
  readonly #unpool: MaxUnpool;

  protected constructor(signature: Signature, unpool: MaxUnpool, args: readonly unknown[]) {
    super();
    this.#unpool = unpool;
    const [kernelSize, stride, padding] = bind(signature, args) as [PerDim, PerDim | null, PerDim];
    this.kernelSize = kernelSize;
    this.stride = stride ?? kernelSize;
    this.padding = padding;
  }

  /** The sizes are those that the pool would need, or `outputSize`. */
  override forward(
    x: Tensor,
    indices: Tensor,
    outputSize: readonly number[] | null = null,
  ): Tensor {
    const { stride, padding } = this;
    return this.#unpool(x, indices, this.kernelSize, { stride, padding, outputSize });
  }

  override extraRepr(): string {
    return `kernelSize=${text(this.kernelSize)}, stride=${text(this.stride)}, padding=${
      text(this.padding)
    }`;
  }
}

/** Options of the layers that undo max pools. */
export interface MaxUnpoolModuleOptions {
  /** Step between windows; default their size. */
  stride?: PerDim | null;
  /** As it was in the pool. */
  padding?: PerDim;
}

/** Puts maxima back in their places, zero elsewhere. Shapes: x and indices (N, C, L) or (C, L) → (N, C, L′). */
export class MaxUnpool1d extends MaxUnpoolNd {
  readonly #maxUnpool1d = true;

  /** The way back from windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | MaxUnpoolModuleOptions,
    padding?: PerDim | MaxUnpoolModuleOptions,
  ) {
    super(MAX_UNPOOL1D, maxUnpool1d, [kernelSize, stride, padding]);
  }
}

/** `MaxUnpool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export class MaxUnpool2d extends MaxUnpoolNd {
  readonly #maxUnpool2d = true;

  /** The way back from windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | MaxUnpoolModuleOptions,
    padding?: PerDim | MaxUnpoolModuleOptions,
  ) {
    super(MAX_UNPOOL2D, maxUnpool2d, [kernelSize, stride, padding]);
  }
}

/** `MaxUnpool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class MaxUnpool3d extends MaxUnpoolNd {
  readonly #maxUnpool3d = true;

  /** The way back from windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | MaxUnpoolModuleOptions,
    padding?: PerDim | MaxUnpoolModuleOptions,
  ) {
    super(MAX_UNPOOL3D, maxUnpool3d, [kernelSize, stride, padding]);
  }
}

const MAX_UNPOOL1D = declare(MaxUnpool1d, "MaxUnpool1d(kernelSize, stride=null, padding=0)");
const MAX_UNPOOL2D = declare(MaxUnpool2d, "MaxUnpool2d(kernelSize, stride=null, padding=0)");
const MAX_UNPOOL3D = declare(MaxUnpool3d, "MaxUnpool3d(kernelSize, stride=null, padding=0)");

// ---- means --------------------------------------------------------------------------------------

/** What the mean pools share. */
abstract class AvgPoolNd extends Module {
  /** Size of a window. */
  readonly kernelSize: PerDim;
  /** Step between windows. */
  readonly stride: PerDim;
  /** Zeros around each dim. */
  readonly padding: PerDim;
  /** Whether windows that end outside count. */
  readonly ceilMode: boolean;
  /** Whether zeros of the padding count in the mean. */
  readonly countIncludePad: boolean;
  /** What sums are divided by instead of the number of elements, or null. */
  readonly divisorOverride: number | null;
  readonly #pool: AvgPool;

  protected constructor(signature: Signature, pool: AvgPool, args: readonly unknown[]) {
    super();
    this.#pool = pool;
    const [kernelSize, stride, padding, ceilMode, countIncludePad, divisor] = bind(
      signature,
      args,
    ) as [PerDim, PerDim | null, PerDim, boolean, boolean, number | null | undefined];
    this.kernelSize = kernelSize;
    this.stride = stride ?? kernelSize;
    this.padding = padding;
    this.ceilMode = ceilMode;
    this.countIncludePad = countIncludePad;
    this.divisorOverride = divisor ?? null;
  }

  override forward(x: Tensor): Tensor {
    const { stride, padding, ceilMode, countIncludePad, divisorOverride } = this;
    const options = { stride, padding, ceilMode, countIncludePad };
    // One dim knows no divisor.
    return this.#pool(
      x,
      this.kernelSize,
      divisorOverride === null ? options : { ...options, divisorOverride },
    );
  }

  override extraRepr(): string {
    return `kernelSize=${text(this.kernelSize)}, stride=${text(this.stride)}, padding=${
      text(this.padding)
    }`;
  }
}

/** The mean of each window of one dim. Shapes: x (N, C, L) or (C, L) → (N, C, L′). */
export class AvgPool1d extends AvgPoolNd {
  readonly #avgPool1d = true;

  /** Over windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | AvgPoolOptions,
    padding?: PerDim | AvgPoolOptions,
    options?: AvgPoolOptions,
  ) {
    super(AVG_POOL1D, avgPool1d, [kernelSize, stride, padding, options]);
  }
}

/** `AvgPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export class AvgPool2d extends AvgPoolNd {
  readonly #avgPool2d = true;

  /** Over windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | AvgPoolNdOptions,
    padding?: PerDim | AvgPoolNdOptions,
    options?: AvgPoolNdOptions,
  ) {
    super(AVG_POOL2D, avgPool2d, [kernelSize, stride, padding, options]);
  }
}

/** `AvgPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class AvgPool3d extends AvgPoolNd {
  readonly #avgPool3d = true;

  /** Over windows of a size. */
  constructor(
    kernelSize: PerDim,
    stride?: PerDim | null | AvgPoolNdOptions,
    padding?: PerDim | AvgPoolNdOptions,
    options?: AvgPoolNdOptions,
  ) {
    super(AVG_POOL3D, avgPool3d, [kernelSize, stride, padding, options]);
  }
}

const AVG_POOL = "kernelSize, stride=null, padding=0, ceilMode=false, countIncludePad=true";
const AVG_POOL1D = declare(AvgPool1d, `AvgPool1d(${AVG_POOL})`);
const AVG_POOL2D = declare(AvgPool2d, `AvgPool2d(${AVG_POOL}, divisorOverride=null)`);
const AVG_POOL3D = declare(AvgPool3d, `AvgPool3d(${AVG_POOL}, divisorOverride=null)`);

// ---- norms --------------------------------------------------------------------------------------

/** What the norm pools share. */
abstract class LpPoolNd extends Module {
  /** Exponent of the norm. */
  readonly normType: number;
  /** Size of a window. */
  readonly kernelSize: PerDim;
  /** Step between windows. */
  readonly stride: PerDim | null;
  /** Whether windows that end outside count. */
  readonly ceilMode: boolean;
  readonly #pool: LpPool;

  protected constructor(signature: Signature, pool: LpPool, args: readonly unknown[]) {
    super();
    this.#pool = pool;
    [this.normType, this.kernelSize, this.stride, this.ceilMode] = bind(signature, args) as [
      number,
      PerDim,
      PerDim | null,
      boolean,
    ];
  }

  override forward(x: Tensor): Tensor {
    const { stride, ceilMode } = this;
    return this.#pool(x, this.normType, this.kernelSize, { stride, ceilMode });
  }

  override extraRepr(): string {
    return `normType=${this.normType}, kernelSize=${text(this.kernelSize)}, stride=${
      text(this.stride)
    }, ceilMode=${this.ceilMode}`;
  }
}

/** The norm of each window of one dim. Shapes: x (N, C, L) or (C, L) → (N, C, L′). */
export class LPPool1d extends LpPoolNd {
  readonly #lpPool1d = true;

  /** Norms with an exponent over windows of a size. */
  constructor(
    normType: number,
    kernelSize: PerDim,
    stride?: PerDim | null | LpPoolOptions,
    options?: LpPoolOptions,
  ) {
    super(LP_POOL1D, lpPool1d, [normType, kernelSize, stride, options]);
  }
}

/** `LPPool1d` over two dims: x (N, C, H, W) or (C, H, W). */
export class LPPool2d extends LpPoolNd {
  readonly #lpPool2d = true;

  /** Norms with an exponent over windows of a size. */
  constructor(
    normType: number,
    kernelSize: PerDim,
    stride?: PerDim | null | LpPoolOptions,
    options?: LpPoolOptions,
  ) {
    super(LP_POOL2D, lpPool2d, [normType, kernelSize, stride, options]);
  }
}

/** `LPPool1d` over three dims: x (N, C, D, H, W) or (C, D, H, W). */
export class LPPool3d extends LpPoolNd {
  readonly #lpPool3d = true;

  /** Norms with an exponent over windows of a size. */
  constructor(
    normType: number,
    kernelSize: PerDim,
    stride?: PerDim | null | LpPoolOptions,
    options?: LpPoolOptions,
  ) {
    super(LP_POOL3D, lpPool3d, [normType, kernelSize, stride, options]);
  }
}

const LP_POOL = "normType, kernelSize, stride=null, ceilMode=false";
const LP_POOL1D = declare(LPPool1d, `LPPool1d(${LP_POOL})`);
const LP_POOL2D = declare(LPPool2d, `LPPool2d(${LP_POOL})`);
const LP_POOL3D = declare(LPPool3d, `LPPool3d(${LP_POOL})`);
