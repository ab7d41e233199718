/**
 * Softmax over very many classes, most of them seldom.
 *
 * @module
 */
import type { DType } from "../dtype.ts";
import { ArgumentError, IndexError, ShapeError, show } from "../errors.ts";
import { bind, declare } from "../op.ts";
import { argmax } from "../ops/extreme.ts";
import { indexCopy, indexSelect } from "../ops/index_ops.ts";
import { cat } from "../ops/joining.ts";
import { ge, logicalAnd, lt, where } from "../ops/logic.ts";
import { checkTensor } from "../ops/map.ts";
import { neg } from "../ops/math.ts";
import { nonzero } from "../ops/masking.ts";
import { any, mean } from "../ops/reduction.ts";
import { type Named, named } from "../ops/named.ts";
import { add, sub } from "../ops/pointwise.ts";
import { gather, scatterAdd } from "../ops/scattering.ts";
import { logSoftmax } from "../ops/softmax.ts";
import { reshape, unsqueeze } from "../ops/view.ts";
import { narrow } from "../ops/window.ts";
import { shapeText } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { ModuleList, Sequential } from "./containers.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import { checkCount, checkNumber, type FactoryOptions } from "./options.ts";

/** Options of `AdaptiveLogSoftmaxWithLoss`. */
export interface AdaptiveLogSoftmaxOptions extends FactoryOptions {
  /** By how much each cluster's features are fewer than those of the one before; default 4. */
  divValue?: number;
  /** Whether the head has a bias; default false. */
  headBias?: boolean;
}

/**
 * Log-softmax over nClasses classes sorted by frequency, the most frequent first, and the loss of the targets. The first
 * `cutoffs[0]` classes are scored by the head, together with one score for each cluster of seldom ones; the classes
 * `cutoffs[i]` … `cutoffs[i + 1] - 1` of a cluster are scored only where one of them is the target, from features that are
 * `divValue` times fewer for each cluster.
 *
 * Shapes: input (N, inFeatures) or (inFeatures), target (N) or () → `{ output, loss }`, the targets' log-probabilities (N)
 * or (), and minus their mean. Errors: ArgumentError for cutoffs that do not rise between 1 and nClasses - 1, IndexError for
 * a target outside 0 … nClasses - 1. Source: Grave et al. 2016, arXiv 1609.04309.
 *
 * ```ts
 * import { nn, randn, tensor } from "@toro/toro";
 * const criterion = new nn.AdaptiveLogSoftmaxWithLoss(16, 1000, [50, 200]);
 * const target = tensor([3, 70, 999], { dtype: "int64" });
 * const { output, loss } = criterion.forward(randn([3, 16]), target);
 * console.log(output.shape, loss.shape); // [ 3 ] []
 * ```
 */
export class AdaptiveLogSoftmaxWithLoss extends Module {
  readonly #adaptiveLogSoftmax = true;
  /** Size of the input's last dim. */
  readonly inFeatures: number;
  /** How many classes there are. */
  readonly nClasses: number;
  /** The first class of each cluster, and nClasses. */
  readonly cutoffs: readonly number[];
  /** By how much each cluster's features are fewer. */
  readonly divValue: number;
  /** Whether the head has a bias. */
  readonly headBias: boolean;
  /** The scores of frequent classes and of clusters. */
  head: Linear;
  /** For each cluster a layer to fewer features and one to its classes' scores. */
  tail: ModuleList<Sequential>;

  /** A softmax over classes whose clusters begin at the cutoffs. */
  constructor(
    inFeatures: number,
    nClasses: number,
    cutoffs: readonly number[],
    divValue?: number | AdaptiveLogSoftmaxOptions,
    options?: AdaptiveLogSoftmaxOptions,
  ) {
    super();
    const name = "AdaptiveLogSoftmaxWithLoss";
    const [fanIn, classes, cuts, div, headBias, device, dtype] = bind(SIGNATURE, [
      inFeatures,
      nClasses,
      cutoffs,
      divValue,
      options,
    ]) as [number, number, number[], number, boolean, string | null, DType | null];
    checkCount(fanIn, name, "inFeatures");
    checkCount(classes, name, "nClasses");
    checkNumber(div, name, "divValue");
    const rising = Array.isArray(cuts) && cuts.length > 0 &&
      cuts.every((c, i) => Number.isInteger(c) && c > (i > 0 ? cuts[i - 1] : 0) && c < classes);
    if (!rising) {
      throw new ArgumentError(
        `Cannot make ${name} with cutoffs ${
          show(cuts)
        }: whole numbers that rise from 1 to at most ${classes - 1}`,
        { op: name },
      );
    }
    this.inFeatures = fanIn;
    this.nClasses = classes;
    this.cutoffs = [...cuts, classes];
    this.divValue = div;
    this.headBias = headBias;
    const factory = { device, dtype };
    this.head = new Linear(fanIn, cuts[0] + cuts.length, { bias: headBias, ...factory });
    this.tail = new ModuleList(cuts.map((_, i) => {
      const width = Math.floor(fanIn / div ** (i + 1));
      const size = this.cutoffs[i + 1] - this.cutoffs[i];
      return new Sequential(
        new Linear(fanIn, width, { bias: false, ...factory }),
        new Linear(width, size, { bias: false, ...factory }),
      );
    }));
  }

  /** Sets the parameters to new values. */
  resetParameters(): void {
    for (const m of this.modules()) if (m instanceof Linear) m.resetParameters();
  }

  override forward(input: Tensor, target: Tensor): Named<"output" | "loss"> {
    const x = this.#rows(input, "forward");
    checkTensor("forward AdaptiveLogSoftmaxWithLoss", target, "target");
    const fits = target.ndim === input.ndim - 1 &&
      (target.ndim === 0 || target.numel === x.shape[0]);
    if (!fits) {
      throw new ShapeError(
        `Cannot forward AdaptiveLogSoftmaxWithLoss of input ${shapeText(input.shape)} with target ${
          shapeText(target.shape)
        }: a class for each row is needed`,
        { op: "AdaptiveLogSoftmaxWithLoss" },
      );
    }
    const t = reshape(target, [-1]).to("int64");
    const outside = any(lt(t, 0).logicalOr(ge(t, this.nClasses)));
    if (outside.item() !== 0) {
      throw new IndexError(
        `Cannot forward AdaptiveLogSoftmaxWithLoss with target ${show(target)}: classes are 0 to ${
          this.nClasses - 1
        }`,
        { op: "AdaptiveLogSoftmaxWithLoss" },
      );
    }
    const [frequent] = this.cutoffs;
    // What the head scores for each row: the class itself, or its cluster.
    let place = t;
    const parts: { rows: Tensor; logProb: Tensor }[] = [];
    this.#clusters().forEach(({ from, to }, i) => {
      const inside = logicalAnd(ge(t, from), lt(t, to));
      place = where(inside, frequent + i, place);
      const rows = reshape(nonzero(inside) as Tensor, [-1]);
      if (rows.numel === 0) return;
      const scores = logSoftmax(this.tail[i].forward(indexSelect(x, 0, rows)), 1);
      const at = unsqueeze(sub(indexSelect(t, 0, rows), from), 1);
      parts.push({ rows, logProb: reshape(gather(scores, 1, at), [-1]) });
    });
    const head = logSoftmax(this.head.forward(x), 1);
    let output = reshape(gather(head, 1, unsqueeze(place, 1)), [-1]);
    for (const { rows, logProb } of parts) output = scatterAdd(output, 0, rows, logProb);
    const loss = neg(mean(output));
    return named({ output: input.ndim === 1 ? reshape(output, []) : output, loss });
  }

  /** The log-probabilities of all classes. Shapes: (N, inFeatures) → (N, nClasses). */
  logProb(input: Tensor): Tensor {
    const x = this.#rows(input, "logProb");
    const head = logSoftmax(this.head.forward(x), 1), [frequent] = this.cutoffs;
    const clusters = this.#clusters().map((_, i) =>
      add(logSoftmax(this.tail[i].forward(x), 1), narrow(head, 1, frequent + i, 1))
    );
    return cat([narrow(head, 1, 0, frequent), ...clusters], 1);
  }

  /**
   * The likeliest class of each row, as `argmax` of `logProb`; clusters are scored only where one of them wins.
   * Shapes: (N, inFeatures) → (N).
   */
  predict(input: Tensor): Tensor {
    const x = this.#rows(input, "predict");
    const first = argmax(this.head.forward(x), 1);
    const rows = reshape(nonzero(ge(first, this.cutoffs[0])) as Tensor, [-1]);
    if (rows.numel === 0) return first;
    return indexCopy(first, 0, rows, argmax(this.logProb(indexSelect(x, 0, rows)), 1));
  }

  override extraRepr(): string {
    const { inFeatures, nClasses, cutoffs, divValue, headBias } = this;
    return `inFeatures=${inFeatures}, nClasses=${nClasses}, cutoffs=[${
      cutoffs.slice(0, -1).join(", ")
    }], divValue=${divValue}, headBias=${headBias}`;
  }

  /** The input as rows, (N, inFeatures). */
  #rows(input: unknown, method: string): Tensor {
    const op = `${method} AdaptiveLogSoftmaxWithLoss`;
    checkTensor(op, input, "input");
    const dims = method === "forward" ? [1, 2] : [2];
    if (!dims.includes(input.ndim) || input.shape[input.ndim - 1] !== this.inFeatures) {
      throw new ShapeError(
        `Cannot ${op} of input ${shapeText(input.shape)}: it takes rows of ${this.inFeatures}`,
        { op: "AdaptiveLogSoftmaxWithLoss" },
      );
    }
    return reshape(input, [-1, this.inFeatures]);
  }

  /** From which class to before which each cluster goes. */
  #clusters(): { from: number; to: number }[] {
    return this.cutoffs.slice(1).map((to, i) => ({ from: this.cutoffs[i], to }));
  }
}

const SIGNATURE = declare(
  AdaptiveLogSoftmaxWithLoss,
  "AdaptiveLogSoftmaxWithLoss(inFeatures, nClasses, cutoffs, divValue=4, headBias=false, device=null, dtype=null)",
);
