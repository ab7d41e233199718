/** A small training run whose bits can be compared. */
import { createHash } from "node:crypto";
import { getRngState, manualSeed, nn, optim, randint, Tensor } from "@toro/toro";

/** SHA-256 of all bytes of a nested state. */
export function digest(state: unknown): string {
  const hash = createHash("sha256");
  const walk = (value: unknown): void => {
    if (value instanceof Tensor) {
      const array = value.contiguous().toTypedArray();
      hash.update(`${value.dtype} ${value.shape}`);
      hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    } else if (typeof value === "object" && value !== null) {
      for (const [key, each] of Object.entries(value)) {
        hash.update(key);
        walk(each);
      }
    } else hash.update(String(value));
  };
  walk(state);
  return hash.digest("hex");
}

class Net extends nn.Module {
  table: nn.Embedding = new nn.Embedding(2000, 32);
  attend: nn.MultiheadAttention = new nn.MultiheadAttention(32, 4, { batchFirst: true });
  conv: nn.Conv1d = new nn.Conv1d(32, 48, 3, { padding: 1 });
  norm: nn.BatchNorm1d = new nn.BatchNorm1d(48);
  drop: nn.Dropout = new nn.Dropout(0.1);
  out: nn.Linear = new nn.Linear(48 * 8, 40);

  override forward(ids: Tensor): Tensor {
    const x = this.table.forward(ids);
    const [mixed] = this.attend.forward(x, x, x);
    const y = this.norm.forward(this.conv.forward(mixed.add(x).transpose(1, 2)));
    return this.out.forward(this.drop.forward(y.relu().flatten(1)));
  }
}

/** A model whose step goes through the kernels with scratch space, and through a table that is updated by rows. */
export class Training {
  readonly model: Net;
  readonly optimizer: optim.AdamW;
  readonly #criterion = new nn.CrossEntropyLoss();
  readonly #ids: Tensor;
  readonly #target: Tensor;

  constructor() {
    manualSeed(3);
    this.model = new Net();
    this.optimizer = new optim.AdamW(this.model.parameters(), { lr: 1e-2 });
    this.#ids = randint(0, 2000, [24, 8]);
    this.#target = randint(0, 40, [24]);
  }

  /** Forward, backward, clipping and the optimiser's step. */
  step(): void {
    this.gradients();
    this.optimizer.step();
    this.optimizer.zeroGrad();
  }

  gradients(): void {
    this.#criterion.forward(this.model.forward(this.#ids), this.#target).backward();
    nn.utils.clipGradNorm_(this.model.parameters(), 1);
  }

  state(): { model: nn.StateDict; optimizer: optim.OptimizerState; rng: unknown } {
    return {
      model: this.model.stateDict(),
      optimizer: this.optimizer.stateDict(),
      rng: getRngState(),
    };
  }

  digest(): string {
    return digest(this.state());
  }
}

/** A nested state with tensors of its own. */
export function copyOf(value: unknown): unknown {
  if (value instanceof Tensor) return value.detach().clone();
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, copyOf(v)]));
}
