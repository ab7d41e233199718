import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  checkpoint,
  manualSeed,
  memory,
  nn,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "../../mod.ts";

memory(); // opens the library before the sanitizers look

const Int8Linear = nn.quantized.dynamic.Linear;

function largest(t: Tensor): number {
  return t.abs().max().item();
}

/** What the layer should give: inputs of each row in 256 steps, weights in 255, products of these numbers. */
function byHand(x: Tensor, layer: InstanceType<typeof Int8Linear>): Tensor {
  const low = x.amin(-1, { keepdim: true }).clamp(null, 0),
    high = x.amax(-1, { keepdim: true }).clamp(0);
  const scale = high.sub(low).div(255), zero = low.neg().div(scale).round();
  const q = x.div(scale).round().add(zero).clamp(0, 255).sub(zero);
  const y = q.to("float64").matmul(layer.weight.to("float64").t());
  const scaled = y.mul(scale.to("float64")).mul(layer.scale.to("float64"));
  return layer.bias === null ? scaled : scaled.add(layer.bias.to("float64"));
}

Deno.test("an int8 layer is a float layer to within the steps of its weights and inputs", () => {
  manualSeed(3);
  for (const [k, n, bias] of [[256, 512, true], [30, 17, false], [128, 1, true]] as const) {
    const linear = new nn.Linear(k, n, { bias }), layer = Int8Linear.fromFloat(linear);
    assertEquals([layer.weight.dtype, layer.weight.shape], ["int8", [n, k]]);
    assert(layer.weight.to("int32").abs().amax(1).eq(127).all().item());
    const restored = layer.weight.to("float32").mul(layer.scale.unsqueeze(1));
    const step = layer.scale.unsqueeze(1).mul(0.5001);
    assert(restored.sub(linear.weight.detach()).abs().le(step).all().item());
    const x = randn([50, k]), y = layer.forward(x);
    assertEquals([y.shape, y.dtype, y.requiresGrad], [[50, n], "float32", false]);
    const exact = linear.forward(x).detach();
    const deviation = y.sub(exact).std().item() / exact.std().item();
    assert(deviation < 0.02, `${k} → ${n}: ${deviation}`);
    assert(largest(y.to("float64").sub(byHand(x, layer))) < 1e-5 * (1 + largest(exact)));
  }
});

Deno.test("a row's result does not depend on its batch, on leading dims or on strides", () => {
  manualSeed(4);
  const layer = Int8Linear.fromFloat(new nn.Linear(20, 33));
  const x = randn([6, 4, 20]).mul(randn([6, 4, 1])), y = layer.forward(x);
  assertEquals(y.shape, [6, 4, 33]);
  assertEquals(layer.forward(x.select(0, 5)).toArray(), y.select(0, 5).toArray());
  assertEquals(
    layer.forward(x.select(0, 2).select(0, 1)).toArray(),
    y.select(0, 2).select(0, 1).toArray(),
  );
  const strided = x.permute([2, 0, 1]).contiguous().permute([1, 2, 0]);
  assertEquals(strided.isContiguous(), false);
  assertEquals(layer.forward(strided).toArray(), y.toArray());
  assertEquals(layer.forward(zeros([0, 20])).shape, [0, 33]);
});

Deno.test("rows of zeros give the bias, and rows that are not finite give NaN", () => {
  const layer = Int8Linear.fromFloat(new nn.Linear(3, 2));
  const y = layer.forward(tensor([[0, 0, 0], [1, NaN, 0], [-Infinity, 0, 0], [1, 1, 1]]));
  assertEquals(y.select(0, 0).toArray(), layer.bias!.toArray());
  assertEquals(y.isnan().to("int32").toArray(), [[0, 0], [1, 1], [1, 1], [0, 0]]);
});

Deno.test("state is saved and loaded, and takes effect in a layer that was used before", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const layer = Int8Linear.fromFloat(new nn.Linear(9, 5));
    assertEquals(Object.keys(layer.stateDict()), ["weight", "scale", "bias"]);
    assertEquals(layer.parameters(), []);
    await checkpoint.save(`${dir}/layer.safetensors`, layer.stateDict());
    const other = new Int8Linear(9, 5), x = randn([2, 9]);
    assertEquals(other.forward(x).toArray(), zeros([2, 5]).toArray());
    const state = await checkpoint.load(`${dir}/layer.safetensors`);
    other.loadStateDict(state as nn.StateDict);
    assertEquals(other.forward(x).toArray(), layer.forward(x).toArray());
    other.bias!.fill_(7);
    other.weight.fill_(0);
    assertEquals(other.forward(x).toArray(), zeros([2, 5]).add(7).toArray());
    layer.double();
    assertEquals(layer.scale.dtype, "float64");
    assertEquals(layer.forward(x).dtype, "float32");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("wrong inputs and weights are named", () => {
  const layer = new Int8Linear(4, 2, { bias: false });
  assertEquals(layer.toString(), "Linear(inFeatures=4, outFeatures=2, bias=false, dtype=int8)");
  assertThrows(
    () => layer.forward(zeros([2, 3])),
    RangeError,
    "Cannot linear input [2, 3] by weight [2, 4]: input's last size must be 4",
  );
  assertThrows(
    () => layer.forward(zeros([2, 4], { dtype: "float64" })),
    TypeError,
    "it must be float32",
  );
  const broken = new nn.Linear(2, 2);
  broken.weight.detach().fill_(NaN);
  assertThrows(() => Int8Linear.fromFloat(broken), TypeError, "its values are not finite");
  assertThrows(() => new Int8Linear(70_000, 1).forward(zeros([1, 70_000])), RangeError, "65536");
});
