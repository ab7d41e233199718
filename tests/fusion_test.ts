/** Elementwise ops that wait for each other give what they give one by one, whatever happens in between. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  memory,
  noGrad,
  ones,
  optim,
  randn,
  scope,
  setMemoryLimit,
  type Tensor,
  tensor,
} from "@toro/toro";
import { forgetRegrets, LARGE, STEPS } from "../src/fusion.ts";
import { collectGarbage, requested } from "../src/memory.ts";
import { mapAll } from "../src/ops/map.ts";
import { OP } from "../ffi/opcodes.gen.ts";

const N = LARGE + 77;

/** Has everything run that waits, and gives the tensor. */
function settled(t: Tensor): Tensor {
  t.storage.settle("test");
  return t;
}

function assertSame(a: Tensor, b: Tensor, what?: string): void {
  const bits = (t: Tensor) => {
    const { buffer, byteOffset, byteLength } = t.toTypedArray();
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
  const x = bits(a), y = bits(b);
  assertEquals(x.length, y.length, what);
  const at = x.findIndex((v, i) => v !== y[i]);
  assert(at < 0, `${what}: byte ${at} differs`);
}

/** What native/src/ops has of operands and numbers; all others take one tensor. */
const PAIRS = ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "fmax", "fmin"];
const NUMBERS: Record<string, number[]> = {
  add_scaled: [0.3],
  leaky_relu: [0.1],
  elu: [1, 1.5, 1],
};

for (const dtype of ["float32", "float64", "bfloat16", "float16"] as const) {
  Deno.test(`each op inside a chain has the bits of the op alone: ${dtype}`, () => {
    forgetRegrets();
    const x = randn([N]).to(dtype), y = randn([N]).to(dtype);
    const names = Object.entries(OP).filter(([, code]) => STEPS.has(code));
    assertEquals(names.length, STEPS.size);
    for (const [name, code] of names) {
      const rest = name === "clamp"
        ? [-0.5, 0.75]
        : PAIRS.includes(name) || name === "add_scaled"
        ? [y]
        : [];
      const apply = (t: Tensor) => mapAll(name, code, [t, ...rest], t.info, t.info, NUMBERS[name]);
      const before = requested.bytes;
      const chain = settled(apply(x.mul(0.5)).neg());
      assertEquals(requested.bytes - before, N * x.info.size, `${name} was no chain`);
      const alone = settled(settled(apply(settled(x.mul(0.5)))).neg());
      assertSame(chain, alone, name);
    }
  });
}

Deno.test("one number that stands for all is a part of a chain", () => {
  forgetRegrets();
  for (const dtype of ["float32", "bfloat16"] as const) {
    const x = randn([2, N]).to(dtype), one = tensor(0.75).to(dtype);
    for (
      const number of [one, one.view([1, 1]), one.expand([2, N]), x.narrow(0, 1, 1).narrow(1, 7, 1)]
    ) {
      const before = requested.bytes;
      const chain = settled(x.mul(2).mul(number).add(number));
      assertEquals(requested.bytes - before, 2 * N * x.info.size);
      const alone = settled(settled(settled(x.mul(2)).mul(number)).add(number));
      assertSame(chain, alone);
    }
    const line = settled(x.mul(2).mul(x.narrow(0, 0, 1)));
    assertSame(
      line,
      settled(settled(x.mul(2)).mul(settled(x.narrow(0, 0, 1).expand([2, N]).contiguous()))),
    );
  }
  const p = randn([N]), q = p.clone().requiresGrad_();
  q.square().sum().backward();
  assertSame(q.grad as Tensor, settled(p.mul(2)));
});

Deno.test("what lies inside a chain is there for who reads it later", () => {
  forgetRegrets();
  const x = randn([N]), y = randn([N]);
  const product = x.mul(y), sum = product.add(x), result = sum.relu();
  const [p, s] = [settled(x.mul(y)), settled(settled(x.mul(y)).add(x))];
  assertSame(result, settled(s.relu()));
  assertSame(product, p);
  assertSame(sum, s);
  const twice = x.exp();
  assertSame(twice.mul(twice), settled(settled(x.exp()).square()));
  assertSame(twice.add(1), settled(settled(x.exp()).add(1)));
});

Deno.test("changes in place come after what reads the old elements", () => {
  forgetRegrets();
  const x = randn([N]), old = x.clone();
  const doubled = x.mul(2), more = doubled.add(1), view = doubled.view([N, 1]);
  x.zero_();
  assertSame(more, settled(settled(old.mul(2)).add(1)));
  assertSame(doubled, settled(old.mul(2)));
  assertSame(view.flatten(), doubled);
  const tripled = old.mul(3), half = tripled.div(2);
  tripled.add_(1);
  assertSame(half, settled(settled(old.mul(3)).div(2)));
  assertSame(tripled, settled(settled(old.mul(3)).add(1)));
  // Many rounds, past the point where ops give up waiting.
  let expected = old.clone();
  const y = old.clone();
  for (let i = 0; i < 40; i++) {
    y.sub_(y.mul(0.5).add(1).mul(0.1));
    expected = settled(expected.sub(settled(settled(settled(expected.mul(0.5)).add(1)).mul(0.1))));
  }
  assertSame(y, expected);
});

Deno.test("an optimiser's step comes after what reads its parameters", () => {
  forgetRegrets();
  const p = tensor([1]).repeat([N]);
  p.requiresGrad = true;
  const sgd = new optim.SGD([p], { lr: 1 });
  p.sum().backward();
  const [doubled, more] = noGrad(() => {
    const doubled = p.mul(2);
    return [doubled, doubled.add(1)];
  });
  sgd.step();
  assertEquals(more.toTypedArray()[5], 3);
  assertEquals(doubled.toTypedArray()[N - 1], 2);
  assertEquals(p.detach().toTypedArray()[7], 0);
});

Deno.test("memory may go while something waits for it", () => {
  forgetRegrets();
  const x = randn([N]), copy = x.clone();
  const doubled = x.mul(2), more = doubled.add(1);
  x.dispose();
  assertSame(more, settled(settled(copy.mul(2)).add(1)));
  assertThrows(() => x.mul(2), Error, "disposed");
  const gone = copy.mul(2);
  gone.dispose();
  assertThrows(() => gone.add(1), Error, "disposed");
  const kept = scope(() => copy.mul(3).add(1).relu());
  collectGarbage();
  assertSame(kept, settled(settled(settled(copy.mul(3)).add(1)).relu()));
  const inner = copy.mul(4);
  scope(() => inner.add(1).sum().item());
  assertSame(inner, settled(copy.mul(4)));
});

Deno.test("chains end where an instruction has no room, and at other shapes, dtypes and layouts", () => {
  forgetRegrets();
  const x = randn([N]).div(8);
  let long = x, alone = x;
  for (let i = 0; i < 21; i++) {
    long = long.add(x).mul(0.5);
    alone = settled(settled(alone.add(x)).mul(0.5));
  }
  assertSame(long, alone);
  const many = Array.from({ length: 12 }, (_, i) => x.mul(i));
  assertSame(many.reduce((a, b) => a.add(b)), many.reduce((a, b) => settled(a.add(b))));
  const square = randn([600, 600]), row = randn([600]);
  assertSame(square.exp().t().add(1), settled(settled(square.exp()).t().add(1)));
  assertSame(square.exp().add(row).mul(2), settled(settled(settled(square.exp()).add(row)).mul(2)));
  assertSame(
    square.mul(2).to("float64").add(1),
    settled(settled(square.mul(2)).to("float64").add(1)),
  );
  assertSame(
    square.mul(2).narrow(0, 1, 500).add(1),
    settled(square.mul(2)).narrow(0, 1, 500).add(1),
  );
  assertEquals(square.add(2n).sub(square).round().mean().item(), 2);
});

Deno.test("a chain inside and beside autograd has the same gradients", () => {
  forgetRegrets();
  const make = (wait: (t: Tensor) => Tensor) => {
    const x = tensor([0.5, -0.25, 2]).repeat([N]);
    x.requiresGrad = true;
    const c = wait(x.detach().mul(2).add(1));
    wait(x.mul(c).exp().add(x)).mul(c).sum().backward();
    return x.grad!;
  };
  assertSame(make((t) => t), make(settled));
});

Deno.test("what waits runs by the end of the synchronous code", async () => {
  forgetRegrets();
  const x = ones([N]);
  const y = x.mul(2);
  const before = memory().liveBytes;
  await Promise.resolve();
  assert(memory().liveBytes >= before + 4 * N);
  assertEquals(y.storage.state, 0);
});

Deno.test("without memory the error comes to who reads the result, and it can be had later", () => {
  forgetRegrets();
  const { budgetBytes } = memory();
  const x = settled(ones([16 * LARGE]));
  collectGarbage();
  try {
    setMemoryLimit(memory().liveBytes + 1024 * 1024);
    forgetRegrets();
    const y = x.mul(2);
    assertThrows(() => y.toTypedArray(), Error, "Cannot allocate");
    assertThrows(() => x.mul(2).add(1).sum(), Error, "Cannot allocate");
    setMemoryLimit(budgetBytes);
    assertEquals(y.toTypedArray()[3], 2);
    // A change in place that finds no memory for what reads the old elements leaves them, and can be tried again.
    forgetRegrets();
    const doubled = x.mul(2), more = doubled.add(1);
    setMemoryLimit(memory().liveBytes + 1024 * 1024);
    assertThrows(() => x.zero_(), Error, "Cannot allocate");
    setMemoryLimit(budgetBytes);
    x.zero_();
    assertEquals([doubled, more, x].map((t) => t.toTypedArray()[3]), [2, 3, 0]);
  } finally {
    setMemoryLimit(budgetBytes);
  }
});
