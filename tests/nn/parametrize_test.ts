import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  allclose,
  ArgumentError,
  grad,
  nn,
  ones,
  optim,
  randn,
  ShapeError,
  type Tensor,
} from "../../mod.ts";

const { parametrize, parametrizations } = nn.utils;
const linear = () => new nn.Linear(3, 2);
/** State keys; those of numbered parts come first in JavaScript, so the order is not PyTorch's. */
const keys = (m: nn.Module) => Object.keys(m.stateDict()).sort();
const close = (a: Tensor, b: Tensor) =>
  assert(allclose(a.detach(), b.detach(), { rtol: 1e-5, atol: 1e-6 }));

class Double extends nn.Module {
  factor = new nn.Parameter(ones([1]).mul(2));
  override forward(x: Tensor): Tensor {
    return x.mul(this.factor);
  }
  rightInverse(value: Tensor): Tensor {
    return value.div(this.factor);
  }
}

class Triu extends nn.Module {
  override forward(x: Tensor): Tensor {
    return x.triu();
  }
}

Deno.test("a parametrized weight is computed when it is read, and its parts are trained", () => {
  const layer = linear(), before = layer.weight.detach().clone(), original = layer.weight;
  parametrize.registerParametrization(layer, "weight", new Double());
  assertEquals(keys(layer), [
    "bias",
    "parametrizations.weight.0.factor",
    "parametrizations.weight.original",
  ]);
  close(layer.weight, before);
  parametrize.registerParametrization(layer, "weight", new Triu());
  close(layer.weight, before.triu());
  assert(parametrize.isParametrized(layer, "weight") && !parametrize.isParametrized(layer, "bias"));
  const optimizer = new optim.SGD(layer.parameters(), { lr: 0.1 });
  layer.forward(randn([4, 3])).square().sum().backward();
  assertEquals(layer.parameters().map((p) => p.grad !== null), [true, true, true]);
  optimizer.step();
  assert(!allclose(layer.weight, before.triu()));
  const value = layer.weight.detach().clone();
  parametrize.removeParametrizations(layer, "weight");
  assert((layer.weight as unknown) === original);
  close(layer.weight, value);
  assertEquals(keys(layer), ["bias", "weight"]);
});

Deno.test("a weight is assigned through the inverses, and computed once while cached", () => {
  const layer = linear();
  let calls = 0;
  class Counted extends Double {
    override forward(x: Tensor): Tensor {
      calls++;
      return super.forward(x);
    }
  }
  parametrize.registerParametrization(layer, "weight", new Counted());
  calls = 0;
  (layer as { weight: Tensor }).weight = ones([2, 3]);
  close(layer.weight, ones([2, 3]));
  assertEquals(calls, 1);
  parametrize.cached(() => [layer.weight, layer.weight, layer.weight]);
  assertEquals(calls, 2);
  parametrize.removeParametrizations(layer, "weight", { leaveParametrized: false });
  close(layer.weight, ones([2, 3]).div(2));
  parametrize.registerParametrization(layer, "weight", new Triu());
  assertThrows(
    () => (layer as { weight: Tensor }).weight = ones([2, 3]),
    ArgumentError,
    "no rightInverse",
  );
});

Deno.test("parametrizing refuses what is no parameter, and other shapes", () => {
  class Flat extends nn.Module {
    override forward(x: Tensor): Tensor {
      return x.flatten();
    }
  }
  const layer = linear();
  assertThrows(
    () => parametrize.registerParametrization(layer, "inFeatures", new Triu()),
    ArgumentError,
    "Cannot registerParametrization of Linear.inFeatures: it is 3, no parameter or buffer",
  );
  assertThrows(
    () => parametrize.registerParametrization(layer, "weight", new Flat()),
    ShapeError,
    "[2, 3] float32 becomes a float32 tensor [6]",
  );
  assertThrows(
    () => parametrize.removeParametrizations(layer, "weight"),
    ArgumentError,
    "not parametrized",
  );
  parametrize.registerParametrization(layer, "weight", new Flat(), { unsafe: true });
  assertEquals(layer.weight.shape, [6]);
});

Deno.test("weight norm in both forms: keys, values, gradients, removal", () => {
  for (const dim of [0, 1, null]) {
    const old = linear(), value = old.weight.detach().clone();
    nn.utils.weightNorm(old, { dim });
    assertEquals(keys(old), ["bias", "weight_g", "weight_v"]);
    assertEquals(
      old.getParameter("weight_g").shape,
      dim === null ? [] : dim === 0 ? [2, 1] : [1, 3],
    );
    const other = linear();
    other.loadStateDict({ bias: old.bias!, weight: value });
    parametrizations.weightNorm(other, { dim });
    assertEquals(keys(other), [
      "bias",
      "parametrizations.weight.original0",
      "parametrizations.weight.original1",
    ]);
    const x = randn([5, 3]);
    const run = (m: nn.Linear) => {
      const y = m.forward(x);
      return [y, ...grad(y.square().sum(), m.parameters())];
    };
    const [a, b] = [run(old), run(other)];
    close(a[0], nn.functional.linear(x, value, old.bias));
    a.forEach((t, i) => close(t, b[i]));
    // A change of the length shows in the next forward.
    old.getParameter("weight_g").detach().mul_(2);
    close(old.forward(x), nn.functional.linear(x, value.mul(2), old.bias));
    nn.utils.removeWeightNorm(old);
    assertEquals(keys(old), ["bias", "weight"]);
    close(old.weight, value.mul(2));
    assert(!Object.hasOwn(old, "forward"));
  }
  const twice = nn.utils.weightNorm(linear());
  assertThrows(() => nn.utils.weightNorm(twice), ArgumentError, "no parameter");
  assertThrows(
    () => nn.utils.removeWeightNorm(linear()),
    ArgumentError,
    "its weight has no such norm",
  );
});

Deno.test("spectral norm in both forms divides by the largest singular value", () => {
  const forms = [
    (m: nn.Linear) => nn.utils.spectralNorm(m, { nPowerIterations: 5 }),
    (m: nn.Linear) => parametrizations.spectralNorm(m, { nPowerIterations: 5 }),
  ];
  const names = [
    ["bias", "weight_orig", "weight_u", "weight_v"],
    [
      "bias",
      "parametrizations.weight.0._u",
      "parametrizations.weight.0._v",
      "parametrizations.weight.original",
    ],
  ];
  forms.forEach((form, i) => {
    const layer = form(linear()), x = randn([2, 3]);
    assertEquals(keys(layer), names[i]);
    for (let k = 0; k < 20; k++) layer.forward(x);
    // The largest singular value of two rows: √ of the largest eigenvalue of W Wᵀ.
    const [[a, b], [, d]] = layer.weight.detach().matmul(layer.weight.detach().t())
      .toArray() as number[][];
    const largest = Math.sqrt((a + d) / 2 + Math.hypot((a - d) / 2, b));
    assert(Math.abs(largest - 1) < 1e-4, `${largest}`);
    // In evaluation nothing moves.
    layer.eval();
    const [first, second] = [layer.forward(x), layer.forward(x)];
    assertEquals(first.toArray(), second.toArray());
    layer.train();
    layer.forward(x).sum().backward();
    assert(layer.parameters().every((p) => p.grad !== null));
  });
  const old = nn.utils.spectralNorm(linear());
  old.forward(ones([1, 3]));
  nn.utils.removeSpectralNorm(old);
  assertEquals(keys(old), ["bias", "weight"]);
});

Deno.test("the total norm and scaling by it are the halves of clipping", () => {
  const make = () => {
    const w = [ones([2]), ones([3])].map((t) => t.requiresGrad_());
    w[0].sum().mul(3).add(w[1].sum().mul(4)).backward();
    return w;
  };
  const [a, b] = [make(), make()];
  const norm = nn.utils.getTotalNorm(a.map((p) => p.grad!));
  assert(Math.abs(norm.item() - Math.sqrt(18 + 48)) < 1e-6);
  nn.utils.clipGradsWithNorm_(a, 1, norm);
  nn.utils.clipGradNorm_(b, 1);
  a.forEach((p, i) => assertEquals(p.grad!.toArray(), b[i].grad!.toArray()));
  assertEquals(nn.utils.getTotalNorm([ones([2, 2]).t().mul(-3)], Infinity).item(), 3);
  assertThrows(() => nn.utils.clipGradsWithNorm_(a, 1, ones([2])), ArgumentError, "one element");
});
