/** What the case table cannot say of elementwise ops: in-place methods, overlaps, numbers as operands, error texts. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import * as toro from "../../mod.ts";

const { float, tensor, where } = toro;

Deno.test("in-place methods change the tensor and give it back", () => {
  const x = tensor([1, 2, 3]);
  assert(x.add_(1) === x);
  assertEquals(x.toArray(), [2, 3, 4]);
  assertEquals(x.mul_(2).sub_(tensor([1, 1, 1])).div_(2).toArray(), [1.5, 2.5, 3.5]);
  assertEquals(x.add_(tensor([1, 1, 1]), { alpha: 2 }).toArray(), [3.5, 4.5, 5.5]);
  assertEquals(x.floorDivide_(2).pow_(2).remainder_(3).toArray(), [1, 1, 1]);
  assertEquals(x.copy_(tensor([7n, 8n, 9n])).fmod_(4).toArray(), [3, 0, 1]);
  assertEquals(x.maskedFill_(x.eq(0), 5).toArray(), [3, 5, 1]);
  assertEquals(x.lerp_(tensor([1, 1, 1]), 0.5).toArray(), [2, 3, 1]);
  assertEquals(x.addcmul_(x, x).addcdiv_(x, x, { value: 2 }).toArray(), [8, 14, 4]);
  assertEquals(x.zero_().toArray(), [0, 0, 0]);
  const mask = tensor([true, false]);
  assertEquals(mask.logicalXor_(tensor([true, true])).logicalNot_().toArray(), [1, 0]);
  assertEquals(tensor([6n]).bitwiseAnd_(3).bitwiseOr_(8).bitwiseXor_(1).toArray(), [11]);
});

Deno.test("an operand that shares memory with the tensor is refused or read first", () => {
  const x = toro.arange(4, { dtype: "float32" });
  assertThrows(
    () => x.at(toro.slice(1, null)).add_(x.at(toro.slice(null, -1))),
    TypeError,
    "Cannot add_ a float32 tensor [3] by a float32 tensor [3] in place: they share memory, but not element by element\nHint: clone() the operand first",
  );
  assertThrows(
    () => x.view([2, 2]).add_(x.view([2, 2]).transpose(0, 1)),
    TypeError,
    "share memory",
  );
  assertEquals(x.mul_(x).toArray(), [0, 1, 4, 9]);
  assertEquals(x.at(toro.slice(0, 2)).add_(x.at(toro.slice(2, 4))).toArray(), [4, 10]);
  // Windows with gaps between them: what is read is what was there before.
  const m = toro.arange(3000, { dtype: "float32" }).view([1000, 3]);
  m.narrow(1, 1, 2).add_(m.narrow(1, 0, 2));
  assertEquals(m.at(999).toArray(), [2997, 5995, 5997]);
  assertThrows(() => m.add_(m.at(0)), TypeError, "share memory");
  // One value is read before anything is written.
  assertEquals(m.maskedFill_(m.gt(5), m.at(0, 2)).fill_(m.at(1, 1)).at(0).toArray(), [3, 3, 3]);
});

Deno.test("gradients flow through in-place changes", () => {
  const x = tensor([2, 3], { requiresGrad: true });
  const y = x.clone();
  y.mul_(y).sin_().mul_(tensor([1, 2]));
  y.sum().backward();
  const expected = [2, 3].map((v, i) => (i + 1) * 2 * v * Math.cos(v * v));
  assert(toro.allclose(x.grad!, tensor(expected)));
});

Deno.test("numbers as operands keep int64 exact and promote as Python's do", () => {
  const big = tensor([2n ** 62n]);
  assertEquals(big.add(1n).toArray({ bigint: true }), [2n ** 62n + 1n]);
  assertEquals(big.add(1).dtype, "int64");
  assertEquals(big.mul(0.5).dtype, "float32");
  assertEquals(big.mul(float(2)).dtype, "float32");
  assertEquals(tensor([1, 2]).maximum(1.5).toArray(), [1.5, 2]);
  assertEquals(toro.pow(2, tensor([3, -1])).toArray(), [8, 0.5]);
  assertEquals(toro.remainder(7, tensor([4, -4])).toArray(), [3, -1]);
  assertEquals(where(tensor([true, false]), 1, 2).dtype, "int64");
  assertEquals(where(tensor([true, false]), 1.5, 2).toArray(), [1.5, 2]);
});

Deno.test("special values", () => {
  const x = tensor([NaN, Infinity, -Infinity, -0]);
  assertEquals(x.isnan().toArray(), [1, 0, 0, 0]);
  assertEquals(tensor([1, -1, -0]).signbit().toArray(), [0, 1, 1]);
  assertEquals(x.maximum(0).toArray(), [NaN, Infinity, 0, 0]);
  assertEquals(tensor([NaN, Infinity, -1]).fmax(tensor(0)).toArray(), [0, Infinity, 0]);
  assertEquals(x.clamp(-1, 1).toArray(), [NaN, 1, -1, -0]);
  assertEquals(toro.nanToNum(x, { posinf: 9 }).toArray(), [0, 9, -3.4028234663852886e38, -0]);
  assertEquals(tensor([-7, 7]).div(2, { roundingMode: "floor" }).toArray(), [-4, 3]);
  assertEquals(tensor([-7, 7]).div(2, { roundingMode: "trunc" }).toArray(), [-3, 3]);
  assertEquals(tensor([0.5, 1.5, -2.5]).round().toArray(), [0, 2, -2]);
  assertEquals(toro.sin(tensor([1e30])).item(), Math.fround(Math.sin(Math.fround(1e30))));
});

Deno.test("texts of wrong calls", () => {
  const x = tensor([1, 2]), i = tensor([1n, 2n]), b = tensor([true, false]);
  // deno-lint-ignore no-explicit-any
  const any = (v: unknown): any => v;
  const calls: [() => unknown, string][] = [
    [
      () => x.add(tensor([1, 2, 3])),
      "Cannot add input [2] and other [3]: sizes 2 and 3 differ in dim -1 and neither is 1",
    ],
    [() => b.sub(b), "Cannot sub a bool tensor [2] and a bool tensor [2]: bool has no subtraction"],
    [
      () => i.add(i, { alpha: 1.5 }),
      "Cannot add an int64 tensor [2] and an int64 tensor [2] with alpha 1.5: the result is int64, alpha must be one too",
    ],
    [
      () => i.add_(0.5),
      "Cannot add_ an int64 tensor [2] by 0.5: the result is float32, which int64 cannot hold",
    ],
    [() => i.div_(2), "the result is float32, which int64 cannot hold"],
    [
      () => x.add_(toro.ones([3, 2])),
      "Cannot add_ [3, 2] to [2] in place: the result would not keep the shape",
    ],
    [() => i.pow(-1), "Cannot pow an int64 tensor [2] to -1: integers have no negative powers"],
    [
      () => i.remainder(0),
      "Cannot remainder an int64 tensor [2] by 0: integers have no quotient by zero",
    ],
    [() => i.floorDivide(tensor([0n, 1n])), "Cannot floorDivide: an integer was divided by zero"],
    [
      () => x.div(2, { roundingMode: any("up") }),
      'Cannot div: roundingMode "up" is not "trunc", "floor" or null',
    ],
    [() => x.clamp(), "Cannot clamp a float32 tensor [2]: min, max or both must be given"],
    [() => b.neg(), "Cannot neg a bool tensor [2]: it takes numbers"],
    [
      () => x.bitwiseAnd(1),
      "Cannot bitwiseAnd a float32 tensor [2] and 1: bits are of integers and bool",
    ],
    [
      () => where(i, x, x),
      "Cannot where with condition an int64 tensor [2]: it must be a bool tensor",
    ],
    [
      () => x.maskedFill(b, x),
      "Cannot maskedFill [2] with value [2]: it must be a number or have no dims",
    ],
    [
      () => x.add(any("1")),
      'Cannot add a float32 tensor [2] and "1": other must be a tensor or a number',
    ],
    [() => toro.glu(toro.ones([3])), "Cannot glu [3] over dim -1: its size 3 cannot be halved"],
    [
      () => toro.gelu(x, { approximate: any("erf") }),
      'Cannot gelu: approximate "erf" is not "none" or "tanh"',
    ],
    [
      () => toro.prelu(toro.ones([2, 3]), toro.ones([2])),
      "Cannot prelu [2, 3] with weight [2]: it must have 1 element or 3, one a channel",
    ],
    [
      () => toro.arange(0, 5, -1),
      "Cannot arange from 0 to 5 by -1: the step leads away from the end",
    ],
    [() => toro.oneHot(tensor([3n]), 3), "class 3 is out of range for 3 classes"],
    [() => toro.oneHot(tensor([-1n]), 3), "class -1 is out of range for 3 classes"],
    [() => toro.relu(any([1])), "Cannot relu [1]: input must be a tensor"],
    [() => x.to(any("float8")), 'Cannot to "float8": it is neither a dtype'],
  ];
  for (const [call, text] of calls) {
    const error = assertThrows(call, Error, text);
    assert(error instanceof toro.ToroError, text);
  }
});
