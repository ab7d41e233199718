/** Recurrent layers: the kernel against its twin in plain ops, packed sequences, threads, gradients of gradients. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  cat,
  grad,
  manualSeed,
  memory,
  nn,
  ones,
  randn,
  stack,
  type Tensor,
  zeros,
} from "@toro/toro";
import { option } from "../../ffi/library.ts";
import { gradcheck, gradgradcheck } from "../../src/autograd/gradcheck.ts";
import { type CellKind, cellStep, gatesOf, recurrentLayer } from "../../src/ops/recurrent.ts";

memory(); // opens the library before the sanitizers look

const KINDS: readonly CellKind[] = ["tanh", "relu", "lstm", "gru"];
const { packPaddedSequence, padPackedSequence, packSequence, unpackSequence } = nn.utils.rnn;

function leaf(...shape: number[]): Tensor {
  const t = randn(shape, { dtype: "float64" });
  t.requiresGrad = true;
  return t;
}

const distance = (a: Tensor, b: Tensor): number => a.sub(b).abs().max().item();

/** A layer's inputs: gates, first state, weights and, where the kind has them, first cell and bias. */
function inputsOf(kind: CellKind, steps: number, batch: number, units: number): Tensor[] {
  const gates = gatesOf(kind);
  const all = [
    leaf(steps, batch, gates * units),
    leaf(batch, units),
    leaf(gates * units, units),
  ];
  if (kind === "lstm") all.push(leaf(batch, units));
  if (kind === "gru") all.push(leaf(units));
  return all;
}

function layer(kind: CellKind, reverse: boolean, sizes: number[] | null = null) {
  return ([x, h, weight, extra]: readonly Tensor[]): Tensor[] => {
    const out = recurrentLayer({
      kind,
      x,
      h,
      weight,
      c: kind === "lstm" ? extra : null,
      bias: kind === "gru" ? extra : null,
      projection: null,
      sizes,
      reverse,
    });
    return out.c === null ? [out.y, out.h] : [out.y, out.h, out.c];
  };
}

/** The same by single steps. */
function bySteps(kind: CellKind, reverse: boolean) {
  return ([x, h, weight, extra]: readonly Tensor[]): Tensor[] => {
    let c = kind === "lstm" ? extra : null;
    const outputs: Tensor[] = [];
    const order = Array.from({ length: x.shape[0] }, (_, t) => t);
    for (const t of reverse ? order.reverse() : order) {
      [h, c] = cellStep(kind, x.select(0, t), h, c, {
        weight,
        bias: kind === "gru" ? extra : null,
        projection: null,
      });
      outputs[t] = h;
    }
    return c === null ? [stack(outputs), h] : [stack(outputs), h, c];
  };
}

for (const kind of KINDS) {
  Deno.test(`${kind} layer as its steps, forward and back`, () => {
    manualSeed(1);
    for (const [steps, batch, units] of [[4, 3, 5], [3, 70, 40], [2, 1, 300], [3, 17, 90]]) {
      for (const reverse of [false, true]) {
        const inputs = inputsOf(kind, steps, batch, units);
        inputs[2].detach().mul_(0.1);
        const y = layer(kind, reverse)(inputs), expected = bySteps(kind, reverse)(inputs);
        y.forEach((t, i) => assert(distance(t, expected[i]) < 1e-11, `output ${i}`));
        const gradOutputs = y.map((t) => randn(t.shape, { dtype: "float64" }));
        const found = grad(y, inputs, { gradOutputs });
        const wanted = grad(expected, inputs, { gradOutputs });
        found.forEach((g, i) => {
          const off = distance(g, wanted[i]) / (1 + wanted[i].abs().max().item());
          assert(off < 1e-11, `gradient ${i} of ${steps}, ${batch}, ${units}: ${off}`);
        });
      }
    }
  });

  Deno.test(`${kind} layer: gradients by differences, and theirs`, () => {
    manualSeed(2);
    const f = (...t: Tensor[]) => layer(kind, false)(t);
    const inputs = inputsOf(kind, 3, 2, 3);
    gradcheck(f, inputs);
    gradgradcheck(f, inputs);
  });
}

const MODULES: readonly [string, () => nn.RNNBase][] = [
  ["RNN", () => new nn.RNN(4, 5, 2, { bidirectional: true, dtype: "float64" })],
  ["LSTM", () => new nn.LSTM(4, 5, 2, { bidirectional: true, dtype: "float64" })],
  ["LSTM with a projection", () => new nn.LSTM(4, 5, { projSize: 3, dtype: "float64" })],
  ["GRU", () => new nn.GRU(4, 5, 2, { bidirectional: true, dtype: "float64" })],
];

for (const [name, make] of MODULES) {
  Deno.test(`${name} of packed sequences gives what it gives each of them`, () => {
    manualSeed(3);
    const model = make() as nn.GRU;
    const sequences = [2, 5, 1, 3].map((n) => leaf(n, 4));
    const packed = packSequence(sequences, { enforceSorted: false });
    const [y, h] = model.forward(packed);
    const each = sequences.map((x) => model.forward(x));
    const parts = unpackSequence(y);
    parts.forEach((t, i) => assert(distance(t, each[i][0]) < 1e-12, `sequence ${i}`));
    const states = (s: Tensor | Tensor[]) => Array.isArray(s) ? s : [s];
    states(h).forEach((t, k) => {
      const alone = stack(each.map(([, s]) => states(s)[k]), 1);
      assert(distance(t, alone) < 1e-12, `last state ${k}`);
    });
    const found = grad(y.data.square().sum(), [...sequences, ...model.parameters()]);
    const wanted = grad(cat(each.map(([t]) => t)).square().sum(), [
      ...sequences,
      ...model.parameters(),
    ]);
    found.forEach((g, i) => assert(distance(g, wanted[i]) < 1e-10, `gradient ${i}`));
  });
}

Deno.test("batchFirst, one sequence and first states are the same in another form", () => {
  manualSeed(4);
  const model = new nn.LSTM(4, 6, 2, { batchFirst: true });
  const other = new nn.LSTM(4, 6, 2);
  other.loadStateDict(model.stateDict());
  const x = randn([3, 5, 4]), h0 = randn([2, 3, 6]), c0 = randn([2, 3, 6]);
  const [y, [h, c]] = model.forward(x, [h0, c0]);
  const [z, [i, d]] = other.forward(x.transpose(0, 1), { hx: [h0, c0] });
  assert(y.equal(z.transpose(0, 1)) && h.equal(i) && c.equal(d));
  const [one] = model.forward(x.select(0, 1), [h0.select(1, 1), c0.select(1, 1)]);
  assert(distance(one, y.select(0, 1)) < 1e-6);
  const half = new nn.GRU(4, 6, { dtype: "bfloat16" });
  assertEquals(half.forward(x.to("bfloat16"))[0].dtype, "bfloat16");
});

Deno.test("recurrent layers are the same for any number of threads", () => {
  manualSeed(5);
  const models = [new nn.RNN(32, 200), new nn.LSTM(32, 200), new nn.GRU(32, 200)] as nn.RNN[];
  const before = option("threads");
  // Of 20 sequences rows go apart on one thread, and steps are cut along units too on three.
  for (const model of models) {
    for (const batch of [70, 20, 3]) {
      const x = randn([4, batch, 32]);
      const run = (threads: number) => {
        option("threads", threads);
        const [y] = model.forward(x);
        return [y, ...grad(y.square().sum(), model.parameters())];
      };
      try {
        const one = run(1), three = run(3);
        one.forEach((t, i) => assert(t.equal(three[i]), `${batch} sequences, result ${i}`));
      } finally {
        option("threads", before);
      }
    }
  }
});

Deno.test("state keys are PyTorch's", () => {
  const model = new nn.LSTM(3, 4, { bidirectional: true, projSize: 2 });
  const ends = ["", "_reverse"].flatMap((end) =>
    ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"].map((key) => `${key}_l0${end}`)
  );
  assertEquals(Object.keys(model.stateDict()), ends);
});

Deno.test("cells are one step of their layers", () => {
  manualSeed(6);
  const cell = new nn.GRUCell(3, 4), model = new nn.GRU(3, 4);
  model.loadStateDict(
    Object.fromEntries(Object.entries(cell.stateDict()).map(([k, v]) => [`${k}_l0`, v])),
  );
  const x = randn([5, 3]), h = randn([5, 4]);
  const [y] = model.forward(x.unsqueeze(0), h.unsqueeze(0));
  assert(distance(cell.forward(x, h), y.squeeze(0)) < 1e-6);
  assertEquals(cell.forward(x.select(0, 0)).shape, [4]);
});

Deno.test("packing and padding", () => {
  const x = zeros([3, 2]).add(ones([3, 1]).cumsum(0));
  const packed = packPaddedSequence(x, [1, 3], { enforceSorted: false });
  assertEquals(packed.data.toArray(), [1, 1, 2, 3]);
  assertEquals(packed.sizes(), [2, 1, 1]);
  const [padded, lengths] = padPackedSequence(packed, { paddingValue: -1, totalLength: 4 });
  assertEquals(padded.transpose(0, 1).toArray(), [[1, -1, -1, -1], [1, 2, 3, -1]]);
  assertEquals(lengths.toArray(), [1, 3]);
  assertThrows(() => packPaddedSequence(x, [1, 3]), TypeError, "must fall");
  assertThrows(() => packPaddedSequence(x, [4, 3]), RangeError, "at most its steps");
  assertThrows(() => packPaddedSequence(x, [3, 0]), TypeError, "above 0");
});

Deno.test("recurrent layers: what does not fit", () => {
  const model = new nn.LSTM(3, 4), x = ones([2, 5, 3]);
  assertThrows(() => model.forward(ones([2, 5, 4])), RangeError, "I = 3");
  assertThrows(() => model.forward(x, [ones([1, 5, 4]), ones([1, 4, 4])]), RangeError, "c0");
  assertThrows(() => model.forward(x.to("float64")), TypeError, "its weights are float32");
  assertThrows(() => new nn.LSTM(3, 4, { projSize: 4 }), TypeError, "below hiddenSize");
  assertThrows(
    () => new nn.RNN(3, 4, { nonlinearity: "sin" as "tanh" }),
    TypeError,
    "nonlinearity",
  );
});
