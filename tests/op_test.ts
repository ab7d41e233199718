import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import { ArgumentError, ones, sum, tensor, zeros } from "@toro/toro";
import { bind, parseSignature, signatureOf } from "../src/op.ts";

Deno.test("a signature knows names, defaults and what may be positional", () => {
  const s = parseSignature("sum(input, dim=null, keepdim=false, dtype=null)");
  assertEquals(s.params.map((p) => p.name), ["input", "dim", "keepdim", "dtype"]);
  assertEquals([s.required, s.positional], [1, 2]);
  const list = parseSignature("pad(input, pad, mode='constant', value=0, betas=[0.9, 0.999])");
  assertEquals([list.required, list.positional], [2, 2]);
  assertEquals(list.params.at(-1)?.default, [0.9, 0.999]);
});

Deno.test("arguments bind by place, by name, and to defaults", () => {
  const s = parseSignature("f(input, dim=null, eps=1e-5, keepdim=false)");
  assertEquals(bind(s, ["x"]), ["x", null, 1e-5, false]);
  assertEquals(bind(s, ["x", 2]), ["x", 2, 1e-5, false]);
  assertEquals(bind(s, ["x", 2, 1]), ["x", 2, 1, false]);
  assertEquals(bind(s, ["x", { keepdim: true }]), ["x", null, 1e-5, true]);
  assertEquals(bind(s, ["x", 1, { eps: 3 }]), ["x", 1, 3, false]);
  assertEquals(bind(s, ["x", undefined, { dim: 4 }]), ["x", 4, 1e-5, false]);
  assertEquals(bind(s, ["x", null]), ["x", null, 1e-5, false]);
});

Deno.test("wrong calls say what is wrong", () => {
  const x = ones([2, 3]);
  const wrong = (f: () => unknown, text: string) => {
    const error = assertThrows(f);
    assertInstanceOf(error, ArgumentError);
    assertEquals(error.message, text);
  };
  wrong(
    () => sum(x, { keepDim: true } as never),
    'Cannot sum: unknown option "keepDim"; known are dim, keepdim, dtype',
  );
  wrong(
    () => sum(x, 1, { dim: 0 } as never),
    "Cannot sum: dim is given twice, as argument 2 and as an option",
  );
  wrong(
    () => sum(x, 1, true as never),
    "Cannot sum: 3 positional arguments, at most 2 are taken (input, dim)\nHint: pass { keepdim: true }",
  );
  wrong(() => sum(3 as never), "Cannot sum 3: input must be a tensor");
  wrong(() => (zeros as () => unknown)(), "Cannot zeros: argument size is missing");
});

Deno.test("every op carries the signature that it was declared with", () => {
  assertEquals(signatureOf(sum)?.name, "sum");
  assertEquals(signatureOf(tensor)?.required, 1);
});
