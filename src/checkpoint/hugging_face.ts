/**
 * Weights of Hugging Face's GPT-2 and BERT onto modules: the keys that `transformers` writes, and which of a module's
 * each one is. Sources: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; Devlin et al. 2018,
 * arXiv 1810.04805.
 *
 * @module
 */
import { inMode } from "../autograd.ts";
import { ArgumentError, CheckpointError, show } from "../errors.ts";
import { MultiheadAttention } from "../nn/attention.ts";
import { Linear } from "../nn/linear.ts";
import {
  checkModule,
  type LoadReport,
  type LoadStateOptions,
  type Module,
  type StateDict,
} from "../nn/module.ts";
import { TransformerEncoderLayer } from "../nn/transformer_layer.ts";
import { isOptions, optionsOf } from "../options.ts";
import { cat } from "../ops/joining.ts";
import { equal } from "../ops/logic.ts";
import { transpose } from "../ops/view.ts";
import { sameShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { load } from "./file.ts";
import { loadTorch } from "./torch.ts";

/** The architectures whose keys are known. */
export type HuggingFaceArchitecture = "gpt2" | "bert";

interface Architecture {
  /** Stands before every key in files of models with a head, and is missing in those without. */
  readonly prefix: string;
  /** Buffers that hold no weights. */
  readonly skipped: RegExp;
  /** Weights that lie as (inputs, outputs), the other way round than in `nn.Linear`. */
  readonly transposed: RegExp;
  /** Where block `i` begins. */
  block(i: number): string;
  /** Parts of an `nn.TransformerEncoderLayer`, and the parts of a block that each is made of. */
  readonly layer: readonly (readonly [part: string, sources: readonly string[]])[];
  /** Whether norms stand before attention and linear maps. */
  readonly normFirst: boolean;
  /** Keys of one and the same weight, of which a file or a module may have one only. */
  readonly tied: readonly (readonly [string, string])[];
}

const ARCHITECTURES: Readonly<Record<HuggingFaceArchitecture, Architecture>> = {
  gpt2: {
    prefix: "transformer.",
    skipped: /\.attn\.(bias|masked_bias)$/,
    transposed: /\.(c_attn|c_proj|c_fc)\.weight$/,
    block: (i) => `h.${i}.`,
    layer: [
      ["self_attn.in_proj_", ["attn.c_attn."]],
      ["self_attn.out_proj.", ["attn.c_proj."]],
      ["linear1.", ["mlp.c_fc."]],
      ["linear2.", ["mlp.c_proj."]],
      ["norm1.", ["ln_1."]],
      ["norm2.", ["ln_2."]],
    ],
    normFirst: true,
    tied: [["lm_head.weight", "wte.weight"]],
  },
  bert: {
    prefix: "bert.",
    skipped: /(^|\.)embeddings\.position_ids$/,
    transposed: /^$/,
    block: (i) => `encoder.layer.${i}.`,
    layer: [
      ["self_attn.in_proj_", [
        "attention.self.query.",
        "attention.self.key.",
        "attention.self.value.",
      ]],
      ["self_attn.out_proj.", ["attention.output.dense."]],
      ["linear1.", ["intermediate.dense."]],
      ["linear2.", ["output.dense."]],
      ["norm1.", ["attention.output.LayerNorm."]],
      ["norm2.", ["output.LayerNorm."]],
    ],
    normFirst: false,
    tied: [
      ["cls.predictions.decoder.weight", "embeddings.word_embeddings.weight"],
      ["cls.predictions.decoder.bias", "cls.predictions.bias"],
    ],
  },
};

/** A key without the architecture's prefix, with today's names of a norm's weights. */
function plainKey(key: string, { prefix }: Architecture): string {
  const bare = key.startsWith(prefix) ? key.slice(prefix.length) : key;
  return bare.replace(/(LayerNorm)\.gamma$/, "$1.weight").replace(/(LayerNorm)\.beta$/, "$1.bias");
}

/** Hugging Face's weights by their plain keys, each taken once. */
class Weights {
  readonly #left: Map<string, Tensor> = new Map();
  readonly #all: Map<string, Tensor> = new Map();
  readonly #architecture: Architecture;

  constructor(state: Readonly<Record<string, unknown>>, architecture: Architecture) {
    this.#architecture = architecture;
    for (const [key, value] of Object.entries(state)) {
      if (!(value instanceof Tensor)) {
        throw new CheckpointError(
          `Cannot load weights of Hugging Face: ${key} is ${show(value)}, not a tensor`,
          { hint: "a file that holds more than weights is read by load or loadTorch" },
        );
      }
      const plain = plainKey(key, architecture);
      if (architecture.skipped.test(plain)) continue;
      if (this.#all.has(plain)) {
        throw new CheckpointError(
          `Cannot load weights of Hugging Face: two of their keys stand for ${plain}`,
        );
      }
      this.#all.set(plain, value);
      this.#left.set(plain, value);
    }
  }

  /** A weight as `nn.Linear` and its like want it, or as it lies. */
  take(key: string, isLinear: boolean): Tensor | null {
    const found = this.#all.get(key);
    if (found === undefined) return null;
    this.#left.delete(key);
    const isTurned = isLinear && this.#architecture.transposed.test(key) && found.ndim === 2;
    return isTurned ? inMode(false, () => transpose(found, 0, 1)) : found;
  }

  /** What nobody took. */
  rest(): string[] {
    return [...this.#left.keys()];
  }

  /** Whether a key that is left is only another name of a weight that was taken. */
  isTied(key: string): boolean {
    return this.#architecture.tied.some((pair) => {
      if (!pair.includes(key)) return false;
      const [a, b] = pair.map((name) => this.#all.get(name));
      const other = pair[0] === key ? pair[1] : pair[0];
      return a !== undefined && b !== undefined && !this.#left.has(other) &&
        sameShape(a.shape, b.shape) && equal(a, b);
    });
  }
}

/**
 * How `loadHuggingFace` takes weights: as `loadStateDict`, renaming keys without `transformer.` or `bert.` before them.
 */
export type HuggingFaceOptions = LoadStateOptions;

/**
 * Loads weights of Hugging Face's GPT-2 or BERT into a module that you wrote. `source` is a file (`model.safetensors`,
 * its index where it is in shards, or `pytorch_model.bin`), or tensors by key.
 *
 * What the module has under Hugging Face's own keys is found, with `transformer.` or `bert.` before them or without.
 * GPT-2's linear maps lie as (inputs, outputs); they are turned where the module has an `nn.Linear`. The n-th
 * `nn.TransformerEncoderLayer` of a module takes the n-th block, whatever it is called; GPT-2's must have `normFirst`,
 * BERT's must not, and both want gelu (GPT-2's is the tanh form). Other names are given by `rename`; query, key and
 * value renamed to the one `in_proj_weight` (or `in_proj_bias`) of an `nn.MultiheadAttention` become one. Tied weights
 * may be there once or twice, on both sides; buffers without weights are passed over, and BERT's old names `gamma` and
 * `beta` are known.
 *
 * Returns the keys of the module that stayed as they were and the weights that found no place, both empty when
 * `strict`. Errors: CheckpointError that names file and reason, or lists missing, unexpected and mismatched keys.
 *
 * ```ts
 * import { checkpoint, nn, randn } from "@toro/toro";
 *
 * class Words extends nn.Module {
 *   wte = new nn.Embedding(50, 8);
 *   override forward(ids: Parameters<nn.Embedding["forward"]>[0]) {
 *     return this.wte.forward(ids);
 *   }
 * }
 * const words = new Words(), weights = { "transformer.wte.weight": randn([50, 8]) };
 * await checkpoint.loadHuggingFace(words, weights, "gpt2");
 * ```
 */
export async function loadHuggingFace(
  model: Module,
  source: string | URL | Readonly<Record<string, Tensor>>,
  architecture: HuggingFaceArchitecture,
  options: HuggingFaceOptions = {},
): Promise<LoadReport> {
  const { rename, ...others } = optionsOf("loadHuggingFace", options, [
    "strict",
    "rename",
    "ignoreMismatchedSizes",
  ]);
  checkModule(model, "loadHuggingFace");
  if (!Object.hasOwn(ARCHITECTURES, architecture)) {
    throw new ArgumentError(
      `Cannot loadHuggingFace of ${show(architecture)}: it is not one of ${
        Object.keys(ARCHITECTURES).join(", ")
      }`,
      { op: "loadHuggingFace" },
    );
  }
  const known = ARCHITECTURES[architecture];
  const weights = new Weights(isOptions(source) ? source : await read(source), known);
  const state = place(model, weights, known, rename);
  return model.loadStateDict(state, others);
}

/** Tensors by key, out of whichever kind of file it is. */
async function read(source: string | URL): Promise<Record<string, unknown>> {
  const { pathname } = source instanceof URL ? source : { pathname: String(source) };
  return /\.(bin|pth|pt)$/.test(pathname) ? await loadTorch(source) : await load(source);
}

/** The three maps of an attention that `nn.MultiheadAttention` keeps as one, in its order. */
const QKV = [/\.query\./, /\.key\./, /\.value\./] as const;

/** The module's keys with their values, and what is left of the weights. */
function place(
  model: Module,
  weights: Weights,
  architecture: Architecture,
  rename: HuggingFaceOptions["rename"],
): StateDict {
  const entries = new Map<string, Tensor>();
  const own = Object.keys(model.stateDict());
  const owners = new Map(model.namedModules());
  const put = (key: string, value: Tensor | null) => {
    if (value !== null) entries.set(key, value);
  };
  // Layers of PyTorch's own, by their order.
  let block = 0;
  const isIn = (key: string) => [...layers].some((name) => key.startsWith(`${name}.`));
  const layers = new Set<string>();
  for (const [name, module] of owners) {
    if (!(module instanceof TransformerEncoderLayer)) continue;
    if (module.normFirst !== architecture.normFirst) {
      throw new ArgumentError(
        `Cannot loadHuggingFace into ${name}: normFirst is ${module.normFirst}, the weights' blocks want ${architecture.normFirst}`,
        { op: "loadHuggingFace" },
      );
    }
    layers.add(name);
    const at = architecture.block(block++);
    for (const [part, sources] of architecture.layer) {
      for (const kind of ["weight", "bias"]) {
        const parts = sources.map((s) => weights.take(`${at}${s}${kind}`, true));
        if (parts.some((p) => p === null)) continue;
        const whole = parts.length === 1 ? parts[0] : inMode(false, () => cat(parts as Tensor[]));
        put(`${name}.${part}${kind}`, whole);
      }
    }
  }
  // The others by their keys, or what they are renamed to.
  const plain = new Map(
    own.filter((key) => !isIn(key)).map((key) => [plainKey(key, architecture), key]),
  );
  const isLinear = (key: string) => {
    const owner = owners.get(key.slice(0, Math.max(0, key.lastIndexOf("."))));
    return owner instanceof Linear || owner instanceof MultiheadAttention;
  };
  const sources = new Map<string, string[]>();
  for (const key of weights.rest()) {
    const wanted = renamed(key, rename);
    if (wanted === null) weights.take(key, false);
    const target = wanted === null || own.includes(wanted) ? wanted : plain.get(wanted) ?? null;
    if (target !== null) sources.set(target, [...sources.get(target) ?? [], key]);
  }
  for (const [target, keys] of sources) {
    const isFused = keys.length === QKV.length && /(^|\.)in_proj_(weight|bias)$/.test(target) &&
      QKV.every((part) => keys.some((key) => part.test(key)));
    if (entries.has(target) || keys.length > 1 && !isFused) {
      throw new CheckpointError(
        `Cannot loadHuggingFace: two weights stand for ${target}${
          keys.length > 1 ? `, ${keys[0]} and ${keys[1]}` : ""
        }`,
        { op: "loadHuggingFace" },
      );
    }
    const order = isFused ? QKV.map((part) => keys.find((key) => part.test(key))!) : keys;
    const parts = order.map((key) => weights.take(key, isLinear(target))!);
    put(target, parts.length === 1 ? parts[0] : inMode(false, () => cat(parts)));
  }
  for (const [a, b] of architecture.tied) {
    for (const [key, from] of [[a, b], [b, a]]) {
      const name = renamed(key, rename) ?? key,
        target = own.includes(name) ? name : plain.get(name);
      if (target !== undefined && !entries.has(target)) put(target, weights.take(from, false));
    }
  }
  const left = weights.rest();
  for (const key of left) if (!weights.isTied(key)) put(key, weights.take(key, false));
  return Object.fromEntries(entries);
}

function renamed(key: string, rename: HuggingFaceOptions["rename"]): string | null {
  if (rename === undefined) return key;
  if (typeof rename === "function") return rename(key);
  return Object.hasOwn(rename, key) ? rename[key] : key;
}
