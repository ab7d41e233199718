import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  ArgumentError,
  autograd,
  AutogradError,
  exp,
  grad,
  ones,
  type Tensor,
  tensor,
} from "../../mod.ts";

type Ctx = autograd.FunctionContext;

class Exp extends autograd.Function {
  static forward(ctx: Ctx, x: Tensor): Tensor {
    const y = exp(x);
    ctx.saveForBackward(y);
    return y;
  }
  static backward(ctx: Ctx, g: Tensor): Tensor {
    return g.mul(ctx.savedTensors[0]!);
  }
}

/** `a · b + c` with a number, two outputs, and a context that is set up afterwards. */
class Scaled extends autograd.Function {
  static forward(x: Tensor, factor: number, y: Tensor): [Tensor, Tensor] {
    return [x.mul(factor).add(y), x.mul(y)];
  }
  static setupContext(ctx: Ctx, [x, factor, y]: [Tensor, number, Tensor]): void {
    ctx.saveForBackward(x, y);
    ctx.factor = factor;
  }
  static backward(ctx: Ctx, g1: Tensor, g2: Tensor): (Tensor | null)[] {
    const [x, y] = ctx.savedTensors as Tensor[];
    return [g1.mul(ctx.factor).add(g2.mul(y)), null, g1.add(g2.mul(x))];
  }
}

const double = (values: number[]) => tensor(values, { dtype: "float64", requiresGrad: true });

Deno.test("an op of one's own is differentiated, to any order", () => {
  const x = double([0.3, -1]), y = double([2, 0.5]);
  assert(autograd.gradcheck((x) => Exp.apply(x), x));
  assert(autograd.gradgradcheck((x) => Exp.apply(x), x));
  assert(autograd.gradcheck((x, y) => Scaled.apply(x, 3, y), [x, y]));
  assert(autograd.gradgradcheck((x, y) => Scaled.apply(x, 3, y), [x, y]));
  // One of two outputs is used: the other's gradient is zeros.
  Scaled.apply(x, 3, y)[1].sum().backward();
  assertEquals(x.grad!.toArray(), [2, 0.5]);
});

Deno.test("forward is unrecorded, and nothing is recorded where no gradient is wanted", () => {
  assert(!Exp.apply(tensor([1])).requiresGrad);
  let inside: boolean | undefined;
  class Look extends autograd.Function {
    static forward(_: Ctx, x: Tensor): Tensor {
      const y = x.mul(2);
      inside = y.requiresGrad;
      return y;
    }
    static backward(_: Ctx, g: Tensor): Tensor {
      return g.mul(2);
    }
  }
  assert(Look.apply(double([1])).requiresGrad);
  assertEquals(inside, false);
});

Deno.test("ctx says which gradients are wanted, which outputs have none, and gives null when told", () => {
  let wanted: readonly boolean[] = [], given: unknown[] = [];
  class Sort extends autograd.Function {
    static forward(ctx: Ctx, x: Tensor, w: Tensor, _name: string): Tensor[] {
      const { values, indices } = x.sort();
      const half = values.mul(w);
      ctx.markNonDifferentiable(half);
      ctx.setMaterializeGrads(false);
      ctx.saveForBackward(indices);
      wanted = ctx.needsInputGrad;
      return [values, indices, half, values.mul(1)];
    }
    static backward(ctx: Ctx, ...grads: (Tensor | null)[]): (Tensor | null)[] {
      given = grads.map((g) => g === null ? null : g.shape);
      const [indices] = ctx.savedTensors as Tensor[];
      return [grads[0]!.gather(0, indices.argsort()), null, null];
    }
  }
  const x = double([3, 1, 2]);
  const [values, , half] = Sort.apply(x, tensor([1, 1, 1], { dtype: "float64" }), "up");
  assertEquals(wanted, [true, false, false]);
  assert(values.requiresGrad && !half.requiresGrad);
  values.mul(tensor([10, 20, 30], { dtype: "float64" })).sum().backward();
  assertEquals(x.grad!.toArray(), [30, 10, 20]);
  assertEquals(given, [[3], null, null, null]);
});

Deno.test("an input that is changed in place has the op in its history", () => {
  class Twice extends autograd.Function {
    static forward(ctx: Ctx, x: Tensor): Tensor {
      ctx.markDirty(x);
      return x.mul_(2);
    }
    static backward(_: Ctx, g: Tensor): Tensor {
      return g.mul(2);
    }
  }
  const x = double([1, 2]), y = x.mul(3);
  assertEquals(Twice.apply(y), y);
  y.sum().backward();
  assertEquals(x.grad!.toArray(), [6, 6]);
  const z = x.detach().requiresGrad_().mul(3), v = z.narrow(0, 0, 1);
  Twice.apply(v);
  assertEquals(z.toArray(), [6, 6]);
  const [g] = grad(z.sum(), [v.base === z ? z : z]);
  assertEquals(g.toArray(), [1, 1]);
  assertThrows(() => Twice.apply(double([1])), AutogradError as never, "a leaf that requires grad");
});

Deno.test("an input that is given back is an output of its own", () => {
  class Pass extends autograd.Function {
    static forward(_: Ctx, x: Tensor): Tensor {
      return x;
    }
    static backward(_: Ctx, g: Tensor): Tensor {
      return g.mul(-1);
    }
  }
  const x = double([1, 2]), y = Pass.apply(x);
  assert(y !== x && y.storage === x.storage);
  y.sum().backward();
  assertEquals(x.grad!.toArray(), [-1, -1]);
});

Deno.test("gradients of broadcast arguments are summed, wrong ones named", () => {
  const op = (backward: (ctx: Ctx, g: Tensor) => autograd.FunctionGradients) => {
    class Own extends autograd.Function {
      static forward(_: Ctx, x: Tensor, _scale: number): Tensor {
        return x.expand([3, 2]).mul(1);
      }
      static backward(ctx: Ctx, g: Tensor): autograd.FunctionGradients {
        return backward(ctx, g);
      }
    }
    return Own;
  };
  const x = tensor([1, 2], { requiresGrad: true });
  op((_, g) => [g.double(), null]).apply(x, 1).sum().backward();
  assertEquals([x.grad!.dtype, x.grad!.toArray()], ["float32", [3, 3]]);
  const cases: [(ctx: Ctx, g: Tensor) => autograd.FunctionGradients, string][] = [
    [(_, g) => g, "it gives 1 gradients for 2 arguments of forward"],
    [(_, g) => [g, g], "it gives a float32 tensor [3, 2] as the gradient of argument 1, 1"],
    [() => [ones([5]), null], "its gradient of argument 0 is [5], the argument [2]"],
  ];
  for (const [backward, text] of cases) {
    assertThrows(
      () => op(backward).apply(x, 1).sum().backward(),
      AutogradError as never,
      `Cannot run backward through Own: ${text}`,
    );
  }
  class Half extends autograd.Function {
    static forward(_: Ctx, x: Tensor): Tensor {
      return x;
    }
  }
  assertThrows(
    () => (Half as unknown as typeof Exp).apply(x),
    ArgumentError,
    "Cannot apply Half: it has no static backward",
  );
});

Deno.test("a saved tensor that was changed in place is found when it is read", () => {
  const x = double([1]), y = Exp.apply(x);
  y.add_(1);
  assertThrows(
    () => y.sum().backward(),
    AutogradError as never,
    "backward through Exp: a tensor [1]",
  );
});

Deno.test("onceDifferentiable refuses a second derivative", () => {
  class Square extends autograd.Function {
    static forward(ctx: Ctx, x: Tensor): Tensor {
      ctx.saveForBackward(x);
      return x.mul(x);
    }
    static backward = autograd.onceDifferentiable((ctx: Ctx, g: Tensor) =>
      g.mul(ctx.savedTensors[0]!).mul(2)
    );
  }
  const x = double([3]);
  Square.apply(x).sum().backward();
  assertEquals(x.grad!.toArray(), [6]);
  const [g] = grad(Square.apply(x).mul(x).sum(), x, { createGraph: true });
  assertThrows(() => g.sum().backward(), AutogradError as never, "differentiate twice");
});
