import { assert, assertEquals, assertThrows } from "@std/assert";
import { allclose, autograd, AutogradError, ShapeError, type Tensor, tensor } from "../../mod.ts";

const vector = (...values: number[]) => tensor(values, { dtype: "float64" });
const { jacobian, hessian, vjp, jvp, vhp, hvp } = autograd;

/** `[x0² x1, sin x1 + 5 x0]`, whose Jacobian is written down below. */
const f = (x: Tensor) => {
  const [a, b] = x;
  return tensorOf(a.mul(a).mul(b), b.sin().add(a.mul(5)));
};
const tensorOf = (a: Tensor, b: Tensor) =>
  a.unsqueeze(0).mul(vector(1, 0)).add(b.unsqueeze(0).mul(vector(0, 1)));
const J = (a: number, b: number) => [[2 * a * b, a * a], [5, Math.cos(b)]];
/** `x0³ x1 + x1²`. */
const energy = (x: Tensor) => {
  const [a, b] = x;
  return a.pow(3).mul(b).add(b.square());
};
const H = (a: number, b: number) => [[6 * a * b, 3 * a * a], [3 * a * a, 2]];

function same(got: Tensor, want: unknown): void {
  const expected = tensor(want as number[], { dtype: "float64" });
  assert(allclose(got, expected), `${got}\n${expected}`);
}

Deno.test("jacobian has outputs' dims first, and arrays for several tensors", () => {
  const x = vector(1.5, -2);
  same(jacobian(f, x), J(1.5, -2));
  const two = jacobian((x: Tensor, y: Tensor) => [x.mul(y), y.sum()], [x, vector(3, 4)]);
  same(two[0][0], [[3, 0], [0, 4]]);
  same(two[0][1], [[1.5, 0], [0, -2]]);
  same(two[1][0], [0, 0]);
  same(two[1][1], [1, 1]);
  assertEquals(jacobian((x) => x.reshape([2, 1]).mul(2), x).shape, [2, 1, 2]);
  assert(!jacobian(f, x).requiresGrad);
});

Deno.test("hessian, vhp and hvp", () => {
  const x = vector(1.5, -2), v = vector(0.5, 3);
  const h = H(1.5, -2);
  same(hessian(energy, x), h);
  const product = h.map((row) => row[0] * 0.5 + row[1] * 3);
  same(vhp(energy, x, v)[1] as Tensor, product);
  const [value, p] = hvp(energy, x, v);
  same(p as Tensor, product);
  assertEquals(value.item(), 1.5 ** 3 * -2 + 4);
  const blocks = hessian((x: Tensor, y: Tensor) => x.mul(y).sum(), [x, v]);
  same(blocks[0][1], [[1, 0], [0, 1]]);
  same(blocks[0][0], [[0, 0], [0, 0]]);
  assertThrows(() => hessian((x) => x.mul(2), x), ShapeError, "it must give one number");
});

Deno.test("vjp and jvp give the outputs and a product", () => {
  const x = vector(1.5, -2), v = vector(0.5, 3);
  const j = J(1.5, -2);
  const [y, left] = vjp(f, x, v);
  same(left as Tensor, [0, 1].map((c) => 0.5 * j[0][c] + 3 * j[1][c]));
  same(y as Tensor, [2.25 * -2, Math.sin(-2) + 7.5]);
  const [, right] = jvp(f, x, v);
  same(right as Tensor, j.map((row) => row[0] * 0.5 + row[1] * 3));
  same(vjp((x) => x.square().sum(), x)[1] as Tensor, [3, -4]);
  assertThrows(() => vjp(f, x), TypeError, "without v");
  assertThrows(() => jvp(f, x, vector(1)), ShapeError, "it must have [2]");
});

Deno.test("with a graph the derivatives are themselves differentiated", () => {
  const x = vector(1.5, -2).requiresGrad_();
  jacobian(f, x, { createGraph: true }).sum().backward();
  // d/dx of 2ab + a² + 5 + cos b.
  same(x.grad!, [2 * -2 + 2 * 1.5, 2 * 1.5 - Math.sin(-2)]);
  x.grad = null;
  (jvp(f, x, vector(1, 0), { createGraph: true })[1] as Tensor).sum().backward();
  same(x.grad!, [2 * -2, 2 * 1.5]);
});

Deno.test("strict refuses an output that does not depend on an input", () => {
  const x = vector(1, 2);
  const constant = () => vector(1);
  same(jacobian(constant, x), [[0, 0]]);
  assertThrows(
    () => jacobian(constant, x, { strict: true }),
    AutogradError as never,
    "Cannot jacobian: an output does not depend on an input",
  );
});
