/** Chapter 2's modules: attention against PyTorch's numbers, the recommender's shapes, keys and initial values. */
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { type DType, memory, nn, randint, type Tensor, tensor } from "@toro/toro";
import { MultiHeadAttention, RecommendationSystem } from "../../examples/guide/02_modules.ts";
import { draws } from "../optim/table.ts";

memory(); // opens the library before the sanitizers look

/** scripts/golden_guide.py writes these. */
interface Golden {
  config: {
    dModel: number;
    heads: number;
    batch: number;
    time: number;
    source: number;
    masked: boolean;
  };
  every: number;
  output: number[];
  gradNorms: Record<string, number>;
  queryGrad: number[];
}

const goldens: Golden[] = JSON.parse(
  await Deno.readTextFile(new URL("../golden/guide/attention.json", import.meta.url)),
);

function near(got: number, want: number, tolerance: number, what: string): void {
  assertAlmostEquals(got, want, tolerance * Math.max(1, Math.abs(want)), what);
}

for (const [dtype, tolerance] of [["float64", 1e-8], ["float32", 2e-5]] as const) {
  Deno.test(`MultiHeadAttention equals PyTorch's with the same weights, ${dtype}`, () => {
    for (const golden of goldens) attend(golden, dtype, tolerance);
  });
}

function attend(golden: Golden, dtype: DType, tolerance: number): void {
  const { dModel, heads, batch, time, source, masked } = golden.config;
  const draw = draws(7);
  const drawn = (shape: readonly number[], scale = 1) => {
    const values = Float64Array.from(
      { length: shape.reduce((a, b) => a * b, 1) },
      () => (draw() * 2 - 1) * scale,
    );
    return tensor(values).view(shape).to(dtype);
  };
  const layer = new MultiHeadAttention(dModel, heads).to(dtype).eval();
  layer.loadStateDict(
    Object.fromEntries(
      Object.entries(layer.stateDict()).map(([key, p]) => [key, drawn(p.shape, 0.1)]),
    ),
  );
  const query = drawn([batch, time, dModel]);
  query.requiresGrad = true;
  const key = drawn([batch, source, dModel]), value = drawn([batch, source, dModel]);
  const mask = masked ? drawn([batch, 1, time, source]).gt(-0.3) : null;
  const output = layer.forward(query, key, value, mask);
  output.mul(drawn(output.shape)).sum().backward();
  const sampled = (t: Tensor) =>
    Array.from(t.detach().flatten().toTypedArray(), Number).filter((_, i) =>
      i % golden.every === 0
    );
  sampled(output).forEach((x, i) => near(x, golden.output[i], tolerance, `output ${i}`));
  sampled(query.grad!).forEach((x, i) => near(x, golden.queryGrad[i], tolerance, `gradient ${i}`));
  const named = layer.namedParameters();
  assertEquals(named.map(([name]) => name), Object.keys(golden.gradNorms));
  for (const [name, p] of named) {
    near(p.grad!.norm().item(), golden.gradNorms[name], 10 * tolerance, name);
  }
}

Deno.test("MultiHeadAttention drops weights in training only, and shares channels alike", () => {
  const layer = new MultiHeadAttention(16, 4, { dropout: 0.5 });
  const x = tensor(Float32Array.from({ length: 2 * 6 * 16 }, (_, i) => Math.sin(i))).view([
    2,
    6,
    16,
  ]);
  const run = () => layer.forward(x, x, x).toArray();
  assert(JSON.stringify(run()) !== JSON.stringify(run()));
  layer.eval();
  assertEquals(run(), run());
  assertThrows(() => new MultiHeadAttention(10, 4), RangeError, "10 channels among 4 heads");
});

Deno.test("RecommendationSystem has the guide's keys and initial values, one prediction a pair", () => {
  const model = new RecommendationSystem(2000, 300, { embeddingDim: 16, hiddenDims: [8, 4] });
  const state = model.stateDict();
  assertEquals(Object.keys(state).filter((key) => key.endsWith("weight")), [
    "user_embedding.weight",
    "item_embedding.weight",
    "deep_layers.0.weight",
    "deep_layers.1.weight",
    "deep_layers.4.weight",
    "deep_layers.5.weight",
    "deep_layers.8.weight",
  ]);
  assertAlmostEquals(state["user_embedding.weight"].std().item(), 0.1, 0.003);
  assertEquals(state["deep_layers.0.bias"].toArray(), Array(8).fill(0));
  const bound = Math.sqrt(6 / (32 + 8)), most = state["deep_layers.0.weight"].abs().max().item();
  assert(most <= bound && most > 0.9 * bound, `${most} of ${bound}`);
  for (const batch of [1, 7]) {
    const p = model.eval().forward(randint(2000, [batch]), randint(300, [batch]));
    assertEquals(p.shape, [batch]);
    assert(p.min().item() > 0 && p.max().item() < 1);
  }
  const linear = model.modules().filter((m) => m instanceof nn.Linear);
  assertEquals(linear.length, 3);
});
