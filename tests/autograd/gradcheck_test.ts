/** The gradient checker itself: it passes what is right, names what is wrong, and refuses what it cannot check. */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  ArgumentError,
  autograd,
  AutogradError,
  DTypeError,
  exp,
  memory,
  mul,
  type Tensor,
  tensor,
} from "../../mod.ts";
import { record } from "../../src/autograd.ts";

// The library is opened once and for good, outside any test.
memory();

function input(values: number[]): Tensor {
  return tensor(values, { dtype: "float64", requiresGrad: true });
}

/** `x²` whose backward forgets the 2. */
function wrong(x: Tensor): Tensor {
  const y = x.detach().mul(x.detach());
  record("wrong", [x], [y], ([g]) => [g && mul(g, x.detach())], []);
  return y;
}

/** `x²` whose backward is right, but is not differentiated itself. */
function flat(x: Tensor): Tensor {
  const y = x.detach().mul(x.detach());
  record("flat", [x], [y], ([g]) => [g && mul(mul(g, x.detach()), 2)], []);
  return y;
}

Deno.test("gradcheck passes right gradients, of several inputs and outputs", () => {
  const [x, y] = [input([0.5, -1, 2]), input([1.5, 0.25, -3])];
  assert(autograd.gradcheck((x, y) => [exp(x), mul(x, y)], [x, y]));
  assert(autograd.gradgradcheck((x, y) => mul(exp(x), y), [x, y]));
  assertEquals(x.grad, null);
});

Deno.test("gradcheck names the input and both numbers of a wrong gradient", () => {
  const x = input([0.5, -1, 2]);
  const error = assertThrows(() => autograd.gradcheck(wrong, x), AutogradError) as AutogradError;
  assertMatch(
    error.message,
    /^Cannot gradcheck: along a random direction of input 0 \[3\] backward gives -?[\d.e-]+, the difference of values -?[\d.e-]+$/,
  );
  assertEquals(autograd.gradcheck(wrong, x, { raiseException: false }), false);
  assert(autograd.gradcheck(flat, x));
  assertThrows(() => autograd.gradgradcheck(flat, x), AutogradError, "Cannot gradgradcheck");
});

Deno.test("gradcheck refuses what differences cannot show", () => {
  const single = tensor([1, 2], { requiresGrad: true });
  assertThrows(
    () => autograd.gradcheck((x) => exp(x), single),
    DTypeError,
    "Cannot gradcheck a float32 input [2]: differences need float64",
  );
  assertThrows(
    () => autograd.gradcheck((x) => exp(x), tensor([1], { dtype: "float64" })),
    ArgumentError,
    "Cannot gradcheck: none of the 1 inputs requires grad",
  );
  assertThrows(
    () => autograd.gradcheck(() => [] as Tensor[], input([1])),
    ArgumentError,
    "it must give tensors",
  );
});
