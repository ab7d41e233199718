import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { autograd, AutogradError, nn, type Tensor, tensor } from "../../mod.ts";

/** Where the call of a function is, as `anomaly_test.ts:LINE`. */
function here(): string {
  const line = new Error().stack!.split("\n")[2];
  return /anomaly_test\.ts:\d+/.exec(line)![0];
}

let place = "";

class Root extends nn.Module {
  override forward(x: Tensor): Tensor {
    place = here();
    return x.sqrt();
  }
}

const model = () => new nn.Sequential(new nn.Identity(), new Root());

function nan(): void {
  const x = tensor([0, 4], { requiresGrad: true });
  // 0 · ∞ in the gradient of the root.
  model().forward(x).mul(0).sum().backward();
}

Deno.test("a NaN in a gradient names the op and the line of the user's code", () => {
  nan();
  const error = assertThrows(
    () => autograd.detectAnomaly(nan),
    AutogradError as never,
    "Cannot run backward through sqrt, which was made at ",
  ) as AutogradError;
  const line = Number(place.split(":")[1]) + 1;
  assert(error.message.includes(`anomaly_test.ts:${line}:`), `${error.message}\n${line}`);
  assert(error.message.includes("its gradient of input 0 holds a NaN"));
  assertEquals(error.op, "sqrt");
});

Deno.test("frames of Toro's own between the op and the user's line are passed over", () => {
  const layer = new nn.Linear(2, 2);
  const stack = new nn.Sequential(new nn.Sequential(new nn.Sequential(layer, new nn.Tanh())));
  const x = tensor([[NaN, 1]]);
  let line = 0;
  const error = assertThrows(
    () =>
      autograd.detectAnomaly(() => {
        line = Number(here().split(":")[1]) + 1;
        const y = stack.forward(x);
        y.sum().backward();
      }),
    AutogradError as never,
  ) as AutogradError;
  assert(error.message.includes(`anomaly_test.ts:${line}:`), `${error.message}, not ${line}`);
});

Deno.test("an error inside backward names the line too", () => {
  class Broken extends autograd.Function {
    static forward(_: autograd.FunctionContext, x: Tensor): Tensor {
      return x.mul(1);
    }
    static backward(): never {
      throw new Error("no gradient today");
    }
  }
  const x = tensor([1], { requiresGrad: true });
  const error = assertThrows(
    () => autograd.detectAnomaly(() => Broken.apply(x).sum().backward()),
    AutogradError as never,
    "no gradient today",
  ) as AutogradError;
  assert(/Broken, which was made at .*anomaly_test\.ts:/.test(error.message), error.message);
});

Deno.test("the search ends with its block, and does not reach other tasks", async () => {
  {
    using _ = autograd.detectAnomaly();
    assertThrows(nan, AutogradError as never);
  }
  nan();
  autograd.detectAnomaly(nan, { checkNan: false });
  const inside = autograd.detectAnomaly(async () => {
    await new Promise((done) => setTimeout(done, 5));
    nan();
  });
  nan();
  await assertRejects(() => inside, AutogradError as never, "holds a NaN");
  assertThrows(() => autograd.detectAnomaly({ check: true } as never), TypeError, "unknown option");
});

/** Functions whose gradient at some place is 0 · ∞, ∞ − ∞ or 0 / 0, by the op that makes it so. */
const planted: [op: string, plant: (x: Tensor) => Tensor][] = [
  ["sqrt", (x) => x.mul(0).sqrt().mul(0)],
  ["log", (x) => x.mul(0).log().mul(0)],
  ["div", (x) => x.mul(0).div(x.mul(0))],
  ["pow", (x) => x.mul(0).pow(0.25).mul(0)],
  ["reciprocal", (x) => x.mul(0).reciprocal().mul(0)],
  ["rsqrt", (x) => x.mul(0).rsqrt().mul(0)],
  ["exp", (x) => x.add(1000).exp().mul(0)],
  ["asin", (x) => x.mul(0).add(1).asin().mul(0)],
  ["log1p", (x) => x.mul(0).sub(1).log1p().mul(0)],
  ["logSoftmax", (x) => x.mul(0).add(-Infinity).logSoftmax(0)],
];

Deno.test("NaNs planted in ten places of a net are each traced to their op and line", () => {
  const source = Deno.readTextFileSync(new URL(import.meta.url)).split("\n");
  for (const [op, plant] of planted) {
    class Planted extends nn.Module {
      override forward(x: Tensor): Tensor {
        return plant(x);
      }
    }
    const net = new nn.Sequential(new nn.Linear(3, 4), new nn.Tanh(), new Planted());
    const x = tensor([[1, 2, 3], [4, 5, 6]]);
    const loss = () => net.forward(x).sum();
    // Without the search nothing is thrown.
    loss().backward();
    const error = assertThrows(
      () => autograd.detectAnomaly(() => loss().backward()),
      AutogradError as never,
    ) as AutogradError;
    assertEquals(error.op, op, error.message);
    // The line is the planted function's, which is the op's row in the table.
    const line = Number(/anomaly_test\.ts:(\d+)/.exec(error.message)![1]);
    assert(source[line - 1].includes(`["${op}"`), error.message);
  }
});
