/**
 * Averages of weights along the way of training: stochastic weight averaging and exponential moving averages.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, show } from "../errors.ts";
import { evaluationCopy } from "../nn/copy.ts";
import { checkModule, Module } from "../nn/module.ts";
import { BatchNorm1d, BatchNorm2d, BatchNorm3d } from "../nn/norm.ts";
import { Buffer } from "../nn/parameter.ts";
import { bind, declare } from "../op.ts";
import { zeros } from "../ops/creation.ts";
import { add, div, mul, sub } from "../ops/pointwise.ts";
import { copy_, fill_ } from "../ops/filling.ts";
import { lerp_ } from "../ops/ternary.ts";
import { Tensor } from "../tensor.ts";
import type { Optimizer } from "./optimizer.ts";
import {
  bindScheduler,
  checkNumber,
  fail,
  LRScheduler,
  perGroup,
  type SchedulerOptions,
} from "./scheduler.ts";

/** The next average of one tensor, from the present one, the model's tensor and the count of models averaged so far. */
export type AvgFn = (averaged: Tensor, current: Tensor, numAveraged: Tensor) => Tensor;
/** The next averages of all tensors, written into the first list. */
export type MultiAvgFn = (
  averaged: readonly Tensor[],
  current: readonly Tensor[],
  numAveraged: Tensor,
) => void;

/** Options of `AveragedModel`. */
export interface AveragedModelOptions {
  /** Where the averages are; default: where the model is. */
  device?: string | null;
  /** How one tensor is averaged; default: the plain mean. */
  avgFn?: AvgFn | null;
  /** How all tensors are averaged at once, in the place of `avgFn`. */
  multiAvgFn?: MultiAvgFn | null;
  /** Whether buffers are averaged too; by default they are the model's last ones. */
  useBuffers?: boolean;
}

function checkDecay(name: string, decay: unknown): number {
  if (typeof decay === "number" && decay >= 0 && decay <= 1) return decay;
  throw new ArgumentError(`Cannot ${name} with decay ${show(decay)}: it must be from 0 to 1`, {
    op: name,
  });
}

/** The exponential moving average as an `avgFn`: `decay · averaged + (1 - decay) · current`. Default decay 0.999. */
export function getEmaAvgFn(decay: number = 0.999): AvgFn {
  const keep = checkDecay("getEmaAvgFn", decay);
  return (averaged, current) => add(mul(averaged, keep), mul(current, 1 - keep));
}

/** The exponential moving average as a `multiAvgFn`; see `getEmaAvgFn`. */
export function getEmaMultiAvgFn(decay: number = 0.999): MultiAvgFn {
  const keep = checkDecay("getEmaMultiAvgFn", decay);
  return (averaged, current) => {
    averaged.forEach((t, i) => {
      if (t.info.isFloat) lerp_(t, current[i], 1 - keep);
      else copy_(t, add(mul(t, keep), mul(current[i], 1 - keep)));
    });
  };
}

/** The plain mean as an `avgFn`: `averaged + (current - averaged) / (numAveraged + 1)`. */
export function getSwaAvgFn(): AvgFn {
  return (averaged, current, numAveraged) =>
    add(averaged, div(sub(current, averaged), add(numAveraged, 1)));
}

/** The plain mean as a `multiAvgFn`; see `getSwaAvgFn`. */
export function getSwaMultiAvgFn(): MultiAvgFn {
  return (averaged, current, numAveraged) => {
    const share = 1 / (numAveraged.item() + 1);
    averaged.forEach((t, i) => {
      if (t.info.isFloat) lerp_(t, current[i], share);
      else {copy_(
          t,
          add(t, div(sub(current[i], t), add(numAveraged, 1), { roundingMode: "trunc" })),
        );}
    });
  };
}

/**
 * A copy of a model whose parameters are averages of the model's over the calls of `updateParameters`: their plain mean
 * (stochastic weight averaging), or what `avgFn` or `multiAvgFn` makes of them, such as an exponential moving average. The
 * first call takes the model's values over.
 *
 * `forward` computes with the averages and is for evaluation: its results have no history. State keys: `n_averaged`, and
 * the model's behind `module.`, as in PyTorch. Errors: ArgumentError where both functions are given.
 * Source: Izmailov et al. 2018, arXiv 1803.05407.
 *
 * ```ts
 * import { nn, ones, optim } from "@toro/toro";
 * const { AveragedModel, getEmaMultiAvgFn } = optim.swaUtils;
 * const model = new nn.Linear(2, 1);
 * const ema = new AveragedModel(model, { multiAvgFn: getEmaMultiAvgFn(0.99) });
 * ema.updateParameters(model); // after each step of the optimiser
 * console.log(ema.forward(ones([3, 2])).shape); // [ 3, 1 ]
 * ```
 */
export class AveragedModel<M extends Module> extends Module {
  readonly #averagedModel = true;
  /** How many states of the model were averaged, int64. */
  nAveraged: Buffer;
  /** The model with averages in the place of its parameters. */
  module: M;
  readonly #avgFn: AvgFn | null;
  readonly #multiAvgFn: MultiAvgFn | null;
  readonly #useBuffers: boolean;

  /** Averages of a model, which begin with its present values. */
  constructor(model: M, options?: AveragedModelOptions) {
    super();
    const [given, device, avgFn, multiAvgFn, useBuffers] = bind(AVERAGED, [model, options]) as [
      M,
      string | null,
      AvgFn | null,
      MultiAvgFn | null,
      boolean,
    ];
    checkModule(given, "make AveragedModel");
    if (avgFn !== null && multiAvgFn !== null) {
      throw new ArgumentError("Cannot make AveragedModel: give either avgFn or multiAvgFn", {
        op: "AveragedModel",
      });
    }
    this.module = evaluationCopy(given);
    if (device !== null) this.module.to({ device });
    const place = device ?? given.parameters()[0]?.device ?? "cpu";
    this.nAveraged = new Buffer(zeros([], { dtype: "int64", device: place }));
    this.#avgFn = avgFn;
    this.#multiAvgFn = multiAvgFn;
    this.#useBuffers = useBuffers;
  }

  override forward(...args: Parameters<M["forward"]>): ReturnType<M["forward"]> {
    return this.module.forward(...args) as ReturnType<M["forward"]>;
  }

  /** Takes the model's present parameters into the averages. Errors: ArgumentError for a model of other parts. */
  updateParameters(model: Module): void {
    checkModule(model, "updateParameters");
    const tensorsOf = (m: Module) => [...m.parameters(), ...this.#useBuffers ? m.buffers() : []];
    const averaged = tensorsOf(this.module), current = tensorsOf(model).map((t) => t.detach());
    if (averaged.length !== current.length) {
      throw new ArgumentError(
        `Cannot updateParameters: the model has ${current.length} tensors, the average ${averaged.length}`,
        { op: "updateParameters" },
      );
    }
    inMode(false, () => {
      if (this.nAveraged.item() === 0) averaged.forEach((t, i) => copy_(t, current[i]));
      else if (this.#avgFn !== null) {
        const next = this.#avgFn;
        averaged.forEach((t, i) => copy_(t, next(t.detach(), current[i], this.nAveraged)));
      } else (this.#multiAvgFn ?? getSwaMultiAvgFn())(averaged, current, this.nAveraged);
      if (!this.#useBuffers) {
        const buffers = model.buffers();
        this.module.buffers().forEach((t, i) => copy_(t, buffers[i]));
      }
      fill_(this.nAveraged, this.nAveraged.item() + 1);
    });
  }
}

const AVERAGED = declare(
  AveragedModel,
  "AveragedModel(model, device=null, avgFn=null, multiAvgFn=null, useBuffers=false)",
);

/**
 * Sets the running statistics of all batch norms anew, to their means over a loader's batches: an average of weights has no
 * statistics of its own. A batch is a tensor, or an array or record whose first member is the input. The model is left in
 * the mode that it was in. Errors: ArgumentError for a batch without a tensor.
 */
export async function updateBn(
  loader: Iterable<unknown> | AsyncIterable<unknown>,
  model: Module,
  options?: { device?: string | null },
): Promise<void> {
  const [batches, m, device] = bind(UPDATE, [loader, model, options]) as [
    typeof loader,
    Module,
    string | null,
  ];
  checkModule(m, "updateBn");
  const source = Object(batches) as object;
  if (!(Symbol.iterator in source || Symbol.asyncIterator in source)) {
    throw new ArgumentError(`Cannot updateBn by ${show(batches)}: it gives no batches`, {
      op: "updateBn",
    });
  }
  const norms = m.modules().filter((part) =>
    part instanceof BatchNorm1d || part instanceof BatchNorm2d || part instanceof BatchNorm3d
  );
  if (norms.length === 0) return;
  const momenta = norms.map((norm) => norm.momentum), modes = m.modules().map((p) => p.training);
  for (const norm of norms) {
    norm.resetRunningStats();
    norm.momentum = null;
  }
  m.train();
  try {
    for await (const batch of batches) {
      const input = batch instanceof Tensor ? batch : Object.values(Object(batch))[0];
      if (!(input instanceof Tensor)) {
        throw new ArgumentError(
          `Cannot updateBn by a batch ${show(batch)}: it has no tensor first`,
          {
            op: "updateBn",
          },
        );
      }
      inMode(false, () => m.forward(device === null ? input : input.to(device)));
    }
  } finally {
    norms.forEach((norm, i) => norm.momentum = momenta[i]);
    m.modules().forEach((part, i) => part.training = modes[i]);
  }
}

const UPDATE = declare(updateBn, "updateBn(loader, model, device=null)");

/** Options of `SWALR`. */
export interface SWALROptions extends SchedulerOptions {
  /** Steps in which the rate goes over; default 10. */
  annealEpochs?: number;
  /** Along a cosine (`"cos"`, default) or a line. */
  annealStrategy?: "cos" | "linear";
}

/** The rate goes over from what it is to `swaLr` in some steps, and stays there. Source: as `AveragedModel`. */
export class SWALR extends LRScheduler {
  readonly #swaLr = true;
  /** The rates at the end, by group. */
  swaLrs: number[];
  /** Steps in which the rate goes over. */
  annealEpochs: number;
  /** `"cos"` or `"linear"`. */
  annealStrategy: "cos" | "linear";

  /** One last rate, or one for each group. */
  constructor(optimizer: Optimizer, swaLr: number | readonly number[], options?: SWALROptions) {
    const [o, rate, epochs, strategy, last] = bindScheduler(SWA_LR, [optimizer, swaLr, options]);
    const lrs = perGroup("SWALR", "swaLr", o as Optimizer, rate);
    checkNumber("SWALR", "annealEpochs", epochs, 0, true);
    if (strategy !== "cos" && strategy !== "linear") {
      fail("SWALR", `annealStrategy must be "cos" or "linear", got ${show(strategy)}`);
    }
    super("SWALR", o as Optimizer, last);
    this.swaLrs = lrs;
    this.annealEpochs = epochs as number;
    this.annealStrategy = strategy;
    this.start();
  }

  /** The share of the last rate after so many steps. */
  #share(step: number): number {
    const t = Math.max(0, Math.min(1, step / Math.max(1, this.annealEpochs)));
    return this.annealStrategy === "cos" ? (1 - Math.cos(Math.PI * t)) / 2 : t;
  }

  protected override rates(): number[] {
    // Without steps between, the first one arrives.
    const step = Math.max(this._stepCount - 1, this.annealEpochs === 0 ? 1 : 0);
    const before = this.#share(step - 1), now = this.#share(step);
    return this.each((lr, _, i) => {
      const last = this.swaLrs[i];
      const first = before === 1 ? last : (lr - before * last) / (1 - before);
      return last * now + first * (1 - now);
    });
  }
}

const SWA_LR = declare(
  SWALR,
  "SWALR(optimizer, swaLr, annealEpochs=10, annealStrategy='cos', lastEpoch=-1)",
);
