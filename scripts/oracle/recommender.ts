/** Trains the small recommender of the oracle for its fifty steps and compares every figure on the way. */
import * as toro from "../../mod.ts";
import { noGrad } from "../../src/autograd.ts";
import * as nn from "../../src/nn/mod.ts";
import type * as optim from "../../src/optim/mod.ts";
import type { Tensor } from "../../src/tensor.ts";
import { difference } from "./compare.ts";
import { construct, entriesOf } from "./modules.ts";
import type { Shard } from "./shards.ts";
import { place, tensorOf } from "./values.ts";

type Shapes = Record<string, readonly number[]>;

/**
 * Users' and items' embeddings, the mean of up to three categories (0 is none) and some numbers side by side; a layer
 * with a norm and ReLU, one with GELU, one output, to which the product of user and item is added.
 */
class Recommender extends nn.Module {
  user: nn.Embedding;
  item: nn.Embedding;
  cat: nn.Embedding;
  fc1: nn.Linear;
  norm: nn.BatchNorm1d | nn.LayerNorm;
  fc2: nn.Linear;
  out: nn.Linear;

  constructor(shapes: Shapes, kind: "bn" | "ln", dtype: toro.DType) {
    super();
    const embedding = (name: string) =>
      new nn.Embedding(shapes[name][0], shapes[name][1], { dtype });
    const linear = (name: string) => new nn.Linear(shapes[name][1], shapes[name][0], { dtype });
    this.user = embedding("user.weight");
    this.item = embedding("item.weight");
    this.cat = embedding("cat.weight");
    this.fc1 = linear("fc1.weight");
    const width = shapes["fc1.weight"][0];
    this.norm = kind === "bn"
      ? new nn.BatchNorm1d(width, { dtype })
      : new nn.LayerNorm([width], { dtype });
    this.fc2 = linear("fc2.weight");
    this.out = linear("out.weight");
  }

  override forward(u: Tensor, i: Tensor, c: Tensor, x: Tensor): Tensor {
    const user = this.user.forward(u), item = this.item.forward(i);
    const given = c.ne(0).to(user.dtype).unsqueeze(-1);
    const category = this.cat.forward(c).mul(given).sum(1).div(given.sum(1).clamp(1));
    const features = toro.cat([user, item, category, x], 1);
    const h = toro.relu(this.norm.forward(this.fc1.forward(features)));
    const score = this.out.forward(toro.gelu(this.fc2.forward(h))).squeeze(-1);
    return score.add(user.mul(item).sum(1));
  }
}

/** A figure that may differ by so much of itself. */
function off(got: number, want: number, share: number, what: string): string | null {
  return Math.abs(got - want) <= share * Math.max(Math.abs(want), 1e-12)
    ? null
    : `${what} is ${got}, PyTorch's ${want}`;
}

// deno-lint-ignore no-explicit-any
export function runRecommender(c: any, shard: Shard): string | null {
  const float64 = c.dtype === "float64";
  const [lossShare, normShare] = float64 ? [1e-10, 1e-9] : [1e-5, 1e-4];
  const load = (v: { t: string }) => tensorOf(shard.tensor(v.t));
  const init = c.init as Record<string, { t: string }>;
  const shapes = Object.fromEntries(
    Object.entries(init).map(([k, v]) => [k, shard.tensor(v.t).shape]),
  );
  const model = new Recommender(shapes, c.norm, c.dtype);
  if (place.device !== 0) model.to(`cuda:${place.device - 1}`);
  model.loadStateDict(Object.fromEntries(Object.entries(init).map(([k, v]) => [k, load(v)])));
  const [name, options] = c.opt as [string, Record<string, unknown>];
  const optimizer = construct(
    `optim.${name}`,
    [[...model.parameters()]],
    options,
  ) as optim.Optimizer;
  const { class: kind, ...rest } = c.sched;
  const scheduler = construct(`optim.lrScheduler.${kind}`, [optimizer], rest) as { step(): void };
  const criterion = new nn.BCEWithLogitsLoss();
  for (const [step, batch] of c.batches.entries()) {
    const at = `step ${step + 1}`;
    const { u, i, c: category, x, y } = batch;
    const loss = criterion.forward(
      model.forward(load(u), load(i), load(category), load(x)),
      load(y),
    );
    optimizer.zeroGrad();
    loss.backward();
    const norm = nn.utils.clipGradNorm_(model.parameters(), c.clip_grad_norm);
    const lr = Number(optimizer.paramGroups[0].lr);
    const text = off(loss.item(), c.loss_per_step[step], lossShare, `the loss of ${at}`) ??
      off(norm.item(), c.grad_norm_per_step[step], normShare, `the gradient norm of ${at}`) ??
      off(lr, c.lr_per_step[step], 1e-12, `the learning rate of ${at}`);
    if (text !== null) return text;
    optimizer.step();
    scheduler.step();
    const wanted = step === 0 ? c.params_after_1 : step === 9 ? c.params_after_10 : null;
    const wrong = wanted && compareState(model, wanted, shard, float64, `after ${at}`);
    if (wrong) return wrong;
  }
  const wrong = compareState(model, c.final, shard, float64, "at the end");
  if (wrong !== null) return wrong;
  model.eval();
  const { u, i, c: category, x } = c.batches.at(-1);
  const out = noGrad(() => model.forward(load(u), load(i), load(category), load(x)));
  return difference(out, shard.tensor(c.eval_out.t), drift(float64), "the evaluation");
}

/** Fifty steps let rounding grow: what PyTorch's own two precisions drift apart by. */
function drift(float64: boolean): number[] {
  return float64 ? [1e-9, 1e-9] : [1e-5, 1e-4];
}

function compareState(
  model: Recommender,
  wanted: Record<string, { t: string }>,
  shard: Shard,
  float64: boolean,
  when: string,
): string | null {
  const state = entriesOf(model.stateDict() as never);
  for (const [key, want] of Object.entries(wanted)) {
    const text = difference(
      state.get(key)!,
      shard.tensor(want.t),
      drift(float64),
      `${key} ${when}`,
    );
    if (text !== null) return text;
  }
  return null;
}
