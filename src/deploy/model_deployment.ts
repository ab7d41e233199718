/**
 * A trained model in use: predictions without gradients, one batch or many.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { loadNow } from "../checkpoint/file.ts";
import { type DType, dtypeInfo, type TypedArray } from "../dtype.ts";
import { ArgumentError, CheckpointError, ShapeError, show } from "../errors.ts";
import type { Module, StateDict } from "../nn/module.ts";
import { isOptions, optionsOf } from "../options.ts";
import { deviceNumber, type NestedValues } from "../ops/creation.ts";
import { cat, narrow, tensor } from "../ops/mod.ts";
import { cast } from "../ops/map.ts";
import { turn } from "../signals.ts";
import { Tensor } from "../tensor.ts";
import { quantizeDynamic } from "./quantize.ts";

/** One input of a model: a tensor, a typed array, or nested numbers. */
export type Input = Tensor | TypedArray | NestedValues;

/** Options of `ModelDeployment`. */
export interface ModelDeploymentOptions {
  /** A file with the model's weights: of a `ModelCheckpoint`, of `checkpoint.save`, or any safetensors file. */
  checkpoint?: string | URL;
  /** Where the model shall run. */
  device?: string;
  /** The type that each input is made into; `"int64"` for numbers of users or items. Default: as `tensor` makes it. */
  dtypes?: readonly (DType | null)[];
  /** `"int8"` predicts by `quantizeDynamic` of the model; the given one keeps its float weights. */
  quantize?: "int8";
}

/** Options of `batchPredict`. */
export interface BatchPredictOptions<T> {
  /** Examples at a time; default 1000. */
  batchSize?: number;
  /** Picks the model's inputs out of what a loader yields; needed where that is a record. */
  inputs?: (batch: T) => readonly Input[];
}

/** What the model's `forward` returns. */
export type Output<M extends Module> = ReturnType<M["forward"]>;

/**
 * A model for predictions.
 *
 * Inputs may be tensors, typed arrays or nested numbers. Each call runs in evaluation mode and without gradients, and
 * puts the modes of all submodules back as they were.
 *
 * ```ts
 * import { deploy, nn } from "@toro/toro";
 *
 * const deployed = new deploy.ModelDeployment(new nn.Sequential(new nn.Linear(3, 1), new nn.Sigmoid()));
 * console.log(deployed.predict([[1, 2, 3], [4, 5, 6]]).shape); // [ 2, 1 ]
 * const many = await deployed.batchPredict(Array.from({ length: 5000 }, () => [1, 2, 3]), { batchSize: 1024 });
 * console.log(many.shape); // [ 5000, 1 ]
 * ```
 *
 * Errors: CheckpointError when the file does not fit the model.
 */
export class ModelDeployment<M extends Module> {
  /** The model that predicts: the given one, or its quantised copy. */
  readonly model: M;
  readonly #dtypes: readonly (DType | null)[];

  /** Takes a model, and its weights from a file if one is given. */
  constructor(
    model: M,
    options: ModelDeploymentOptions = {},
  ) {
    const { checkpoint, device, dtypes = [], quantize } = optionsOf(
      "make ModelDeployment",
      options,
      ["checkpoint", "device", "dtypes", "quantize"],
    );
    for (const dtype of dtypes) if (dtype !== null) dtypeInfo(dtype, "make ModelDeployment");
    this.#dtypes = dtypes;
    deviceNumber(device, "make ModelDeployment");
    if (checkpoint !== undefined) model.loadStateDict(weightsIn(checkpoint));
    if (device !== undefined) model.to(device);
    this.model = quantize === undefined ? model : quantizeDynamic(model, { dtype: quantize });
  }

  /** The model's output for one batch of inputs. */
  predict(...inputs: Input[]): Output<M> {
    const restore = evaluation(this.model);
    try {
      return this.#forward(inputs);
    } finally {
      restore();
    }
  }

  #forward(inputs: readonly Input[]): Output<M> {
    const tensors = inputs.map((input, i) => this.#tensor(input, i));
    return inMode(false, () => this.model.forward(...tensors)) as Output<M>;
  }

  #tensor(input: Input, i: number): Tensor {
    const dtype = this.#dtypes[i] ?? null;
    if (input instanceof Tensor) return dtype === null ? input : cast(input, dtype);
    return tensor(input, { dtype });
  }

  /**
   * The model's outputs for many examples, joined along dim 0.
   *
   * `inputs` is one input, whose dim 0 counts the examples; an array of tensors or typed arrays, one for each of the
   * model's inputs; or a loader, whose batches go to the model: a tensor as its one input, a tuple as its inputs in order,
   * a record through the option `inputs`.
   *
   * Errors: ShapeError when the inputs differ in how many examples they have; ArgumentError for no examples at all.
   */
  async batchPredict<T = unknown>(
    inputs: Input | readonly (Tensor | TypedArray)[] | AsyncIterable<T> | Iterable<T>,
    { batchSize = 1000, inputs: pick }: BatchPredictOptions<T> = {},
  ): Promise<Output<M>> {
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new ArgumentError(
        `Cannot batchPredict with batchSize ${show(batchSize)}: it must be a whole number above 0`,
        {
          op: "batchPredict",
        },
      );
    }
    const outputs: unknown[] = [];
    const restore = evaluation(this.model);
    try {
      for await (
        const batch of this.#batches(
          inputs,
          batchSize,
          pick as (batch: unknown) => readonly Input[],
        )
      ) {
        outputs.push(this.#forward(batch));
        const waiting = turn();
        if (waiting !== null) await waiting;
      }
    } finally {
      restore();
    }
    if (outputs.length === 0) {
      throw new ArgumentError("Cannot batchPredict: there are no examples", { op: "batchPredict" });
    }
    return inMode(false, () => joined(outputs)) as Output<M>;
  }

  async *#batches(
    inputs: unknown,
    batchSize: number,
    pick: ((batch: unknown) => readonly Input[]) | undefined,
  ): AsyncGenerator<readonly Input[]> {
    const isData = inputs instanceof Tensor || ArrayBuffer.isView(inputs) || Array.isArray(inputs);
    if (!isData) {
      if (
        typeof inputs !== "object" || inputs === null ||
        !(Symbol.asyncIterator in inputs || Symbol.iterator in inputs)
      ) {
        throw new ArgumentError(
          `Cannot batchPredict ${show(inputs)}: it is no input and no loader`,
          { op: "batchPredict" },
        );
      }
      for await (const batch of inputs as AsyncIterable<unknown>) yield inputsOf(batch, pick);
      return;
    }
    const several = Array.isArray(inputs) && inputs.length > 0 &&
      inputs.every((input) => input instanceof Tensor || ArrayBuffer.isView(input));
    const tensors = (several ? inputs as Input[] : [inputs as Input]).map((input, i) =>
      this.#tensor(input, i)
    );
    const counts = tensors.map((t) => t.shape[0] ?? 0);
    if (counts.some((n) => n !== counts[0])) {
      throw new ShapeError(
        `Cannot batchPredict inputs of ${counts.join(" and ")} examples: they must have as many`,
        {
          op: "batchPredict",
        },
      );
    }
    for (let from = 0; from < counts[0]; from += batchSize) {
      const size = Math.min(batchSize, counts[0] - from);
      yield tensors.map((t) => narrow(t, 0, from, size));
    }
  }
}

function weightsIn(path: string | URL): StateDict {
  let { isCheckpoint, state } = loadNow(path, { only: ["model"] });
  if (!isCheckpoint || !isOptions(state.model)) ({ state } = loadNow(path));
  const weights = isCheckpoint && isOptions(state.model) ? state.model : state;
  const wrong = Object.entries(weights).find(([, value]) => !(value instanceof Tensor));
  if (wrong === undefined) return weights as StateDict;
  throw new CheckpointError(
    `Cannot load weights from ${path}: ${wrong[0]} is ${
      show(wrong[1])
    }, no tensor, and there is no part named model`,
  );
}

/** Puts a model into evaluation mode; returns what puts every module back into its own. */
function evaluation(model: Module): () => void {
  const before = model.modules().map((module) => [module, module.training] as const);
  model.eval();
  return () => {
    for (const [module, training] of before) module.training = training;
  };
}

function inputsOf(
  batch: unknown,
  pick: ((batch: unknown) => readonly Input[]) | undefined,
): readonly Input[] {
  if (pick !== undefined) return pick(batch);
  if (batch instanceof Tensor) return [batch];
  if (Array.isArray(batch)) return batch;
  throw new ArgumentError(
    `Cannot batchPredict a batch ${show(batch)}: the model's inputs must be told out of it`,
    {
      op: "batchPredict",
      hint: "batchPredict(loader, { inputs: (batch) => [batch.user, batch.item] })",
    },
  );
}

/** Outputs joined along dim 0; of tuples and records each part. */
function joined(outputs: readonly unknown[]): unknown {
  const [first] = outputs;
  if (first instanceof Tensor) return outputs.length === 1 ? first : cat(outputs as Tensor[], 0);
  if (Array.isArray(first)) {
    return first.map((_, i) => joined(outputs.map((output) => (output as unknown[])[i])));
  }
  if (isOptions(first)) {
    return Object.fromEntries(
      Object.keys(first).map((
        key,
      ) => [key, joined(outputs.map((output) => (output as Record<string, unknown>)[key]))]),
    );
  }
  throw new ArgumentError(
    `Cannot batchPredict: the model returns ${show(first)}, which cannot be joined`,
    { op: "batchPredict" },
  );
}
