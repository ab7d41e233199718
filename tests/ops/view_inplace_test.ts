/** Views in place: the tensor stays the same object, its memory is shared, its history is right. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  arange,
  asStrided_,
  AutogradError,
  detach_,
  noGrad,
  ones,
  resizeAs_,
  type Tensor,
  tensor,
  zeros,
} from "../../mod.ts";

const values = (x: Tensor) => x.toArray();

Deno.test("views in place change the object and share its memory", () => {
  const x = arange(6, { dtype: "float32" }).reshape([2, 3]).clone();
  const row = x.at(0);
  const flat = x.view([6]);
  assert(x.transpose_(0, 1) === x);
  assertEquals([...x.shape], [3, 2]);
  assertEquals(values(x), [[0, 3], [1, 4], [2, 5]]);
  x.mul_(2);
  assertEquals(values(row), [0, 2, 4]);
  assertEquals(values(flat), [0, 2, 4, 6, 8, 10]);
  assertEquals([...x.t_().unsqueeze_(0).shape], [1, 2, 3]);
  assertEquals([...x.squeeze_(0).shape], [2, 3]);
  assertEquals([...x.unsqueeze_(-1).squeeze_().shape], [2, 3]);
  assertEquals(values(asStrided_(x, [2, 2], [1, 2], { storageOffset: 1 })), [[2, 6], [4, 8]]);
});

Deno.test("gradients go through views in place, and through views made before and after", () => {
  const w = tensor([[1, 2, 3], [4, 5, 6]]).requiresGrad_();
  const factor = arange(6, { dtype: "float32" }).reshape([3, 2]);
  const y = w.mul(2).t_();
  y.mul(factor).sum().backward();
  assertEquals(values(w.grad!), [[0, 4, 8], [2, 6, 10]]);

  // A buffer without a history, turned, then written through old and new views.
  const scale = tensor([3]).requiresGrad_();
  const buffer = ones([2, 3]);
  const before = buffer.at(0);
  buffer.t_();
  buffer.at(2).mul_(scale);
  before.mul_(scale);
  assertEquals(values(buffer), [[3, 1], [3, 1], [9, 3]]);
  buffer.mul(factor).sum().backward();
  // 0·s + 1 + 2·s + 3 + 4·s² + 5·s at s = 3.
  assertEquals(values(scale.grad!), [2 + 24 + 5]);
});

Deno.test("views in place refuse what autograd cannot follow", () => {
  const leaf = zeros([2, 3], { requiresGrad: true });
  assertThrows(() => leaf.t_(), AutogradError, "leaf");
  assertThrows(() => leaf.resize_([6]), AutogradError, "gradients are wanted");
  noGrad(() => leaf.t_());
  assertEquals([[...leaf.shape], leaf.isLeaf, leaf.requiresGrad], [[3, 2], true, true]);
  leaf.sum().backward();
  assertEquals([...leaf.grad!.shape], [3, 2]);

  const y = leaf.mul(2);
  y.sum();
  assertThrows(() => y.unsqueeze_(0), AutogradError, "an op was recorded on it");
  const saved = leaf.mul(2), product = saved.detach().mul(leaf);
  saved.t_();
  assertThrows(() => product.sum().backward(), AutogradError, "changed in place");
  assertThrows(() => leaf.at(0).detach_(), AutogradError, "detach_");
  const made = leaf.mul(2);
  assert(detach_(made) === made);
  assertEquals([made.requiresGrad, made.isLeaf], [false, true]);
});

Deno.test("resize_ keeps elements and gives views the new memory", () => {
  const x = arange(6, { dtype: "float32" }).clone();
  const view = x.view([2, 3]);
  assertEquals(values(x.resize_([2])), [0, 1]);
  x.resize_([4, 5000]);
  assertEquals([...x.shape], [4, 5000]);
  assertEquals(values(view), [[0, 1, 2], [3, 4, 5]]);
  x.fill_(7);
  assertEquals(values(view), [[7, 7, 7], [7, 7, 7]]);
  assertEquals([...resizeAs_(x, view).shape], [2, 3]);
  const none = zeros([0]);
  assertEquals([...none.resize_([2, 2]).shape], [2, 2]);
  assertThrows(() => x.resize_([-1]), Error, "resize_");
});
