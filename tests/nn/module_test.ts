import { assert, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { memory, nn, noGrad, ones, type Tensor, tensor, zeros } from "@toro/toro";

memory(); // opens the library before the sanitizers look

class Pair extends nn.Module {
  inProj: nn.Linear = new nn.Linear(3, 2);
  blocks: nn.Linear[] = [new nn.Linear(2, 2, { bias: false })];
  table: Map<string, nn.Module> = new Map([[
    "userEmbedding",
    new nn.Linear(2, 1, { bias: false }),
  ]]);
  nested: { inner: { gain: nn.Parameter } } = { inner: { gain: new nn.Parameter(ones([2])) } };
  W: nn.Parameter = new nn.Parameter(ones([1]));
  keep_me: nn.Parameter = new nn.Parameter(ones([1]));
  steps: nn.Buffer = new nn.Buffer(zeros([1]));
  cache: nn.Buffer = new nn.Buffer(zeros([4]), { persistent: false });
  plain: Tensor = ones([5]);
  #hidden: nn.Parameter = new nn.Parameter(ones([9]));

  override forward(x: Tensor): Tensor {
    void this.#hidden;
    return this.blocks[0].forward(this.inProj.forward(x)).mul(this.nested.inner.gain);
  }
}

Deno.test("parts are found in fields, arrays, Maps and objects, under PyTorch's keys", () => {
  const m = new Pair();
  const keys = [
    "in_proj.weight",
    "in_proj.bias",
    "blocks.0.weight",
    "table.user_embedding.weight",
    "nested.inner.gain",
    "W",
    "keep_me",
  ];
  assertEquals(m.namedParameters().map(([name]) => name), keys);
  assertEquals(Object.keys(m.stateDict()), [...keys, "steps"]);
  assertEquals(m.namedBuffers("pair").map(([name]) => name), ["pair.steps", "pair.cache"]);
  assertEquals(m.namedChildren().map(([name]) => name), [
    "in_proj",
    "blocks.0",
    "table.user_embedding",
  ]);
  assertEquals(m.namedModules().map(([name]) => name), [
    "",
    "in_proj",
    "blocks.0",
    "table.user_embedding",
  ]);
  assertEquals(m.parameters(false).length, 3);
  assertStrictEquals(m.getSubmodule("blocks.0"), m.blocks[0]);
  assertStrictEquals(m.getParameter("nested.inner.gain"), m.nested.inner.gain);
  assertThrows(
    () => m.getSubmodule("nope"),
    TypeError,
    'Cannot getSubmodule "nope" of Pair: it has in_proj',
  );
});

Deno.test("a part met twice counts once, while every path is in the state", () => {
  class Tied extends nn.Module {
    a = new nn.Linear(2, 2);
    b = this.a;
    override forward(x: Tensor): Tensor {
      return this.b.forward(this.a.forward(x));
    }
  }
  const m = new Tied();
  assertEquals(m.parameters().length, 2);
  assertEquals(m.modules().length, 2);
  assertEquals(Object.keys(m.stateDict()), ["a.weight", "a.bias", "b.weight", "b.bias"]);
});

Deno.test("a cycle and two fields with one key are errors that name the paths", () => {
  class Node extends nn.Module {
    child: Node | null = null;
    parent: Node | null = null;
    override forward(): null {
      return null;
    }
  }
  const root = new Node();
  root.child = new Node();
  root.child.child = new Node();
  root.child.child.parent = root.child;
  assertThrows(
    () => root.parameters(),
    TypeError,
    "Cannot walk Node: child.child.parent leads back to child, which is a cycle",
  );
  class Twice extends nn.Module {
    fooBar = new nn.Parameter(ones([1]));
    foo_bar = new nn.Parameter(ones([1]));
    override forward(): null {
      return null;
    }
  }
  assertThrows(
    () => new Twice().stateDict(),
    TypeError,
    "Cannot walk Twice: fooBar and foo_bar have the same state key foo_bar",
  );
});

Deno.test("to, half and loadStateDict keep each parameter's identity", () => {
  const m = new Pair(), before = m.parameters();
  before[0].grad = ones([2, 3]);
  m.half();
  assertEquals(m.parameters().map((p) => p.dtype), before.map(() => "float16"));
  m.parameters().forEach((p, i) => assertStrictEquals(p, before[i]));
  assertEquals(before[0].grad!.dtype, "float16");
  m.to({ dtype: "float32", device: "cpu" });
  const state = m.stateDict();
  const other = new Pair();
  assertEquals(other.loadStateDict(state), {
    missingKeys: [],
    unexpectedKeys: [],
    mismatchedKeys: [],
  });
  assertEquals(other.inProj.weight.toArray(), m.inProj.weight.toArray());
  assert(other.inProj.weight.requiresGrad);
  assertThrows(
    () => m.to("int64"),
    TypeError,
    "Cannot to int64: a module is cast to a float type only",
  );
});

Deno.test("loadStateDict lists what is missing, unexpected and mismatched, and writes nothing then", () => {
  const m = new nn.Linear(2, 1), weight = m.weight.toArray();
  const state = { weight: ones([1, 2]), extra: ones([1]) };
  const error = assertThrows(
    () => m.loadStateDict(state),
    Error,
    "Cannot load state into Linear: missing in the state: bias; unexpected in the state: extra",
  );
  assertEquals(error.name, "CheckpointError");
  assertEquals(m.weight.toArray(), weight);
  assertThrows(
    () => m.loadStateDict({ weight: ones([2, 2]), bias: ones([1]) }, { strict: false }),
    Error,
    "Cannot load state into Linear: of another shape: weight is [1, 2] in the module and [2, 2] in the state",
  );
  assertEquals(m.loadStateDict(state, { strict: false }), {
    missingKeys: ["bias"],
    unexpectedKeys: ["extra"],
    mismatchedKeys: [],
  });
  assertEquals(m.weight.toArray(), [[1, 1]]);
  const other = { weight: ones([2, 2]), bias: tensor([5]) };
  assertEquals(m.loadStateDict(other, { ignoreMismatchedSizes: true }), {
    missingKeys: [],
    unexpectedKeys: [],
    mismatchedKeys: ["weight"],
  });
  assertEquals([m.weight.toArray(), m.bias!.toArray()], [[[1, 1]], [5]]);
});

Deno.test("loadStateDict takes other names for keys", () => {
  const m = new nn.Linear(2, 1);
  const state = { "old.w": ones([1, 2]), bias: tensor([3]), "old.steps": ones([1]) };
  m.loadStateDict(state, { rename: { "old.w": "weight", "old.steps": null } });
  assertEquals([m.weight.toArray(), m.bias!.toArray()], [[[1, 1]], [3]]);
  const report = m.loadStateDict(state, {
    strict: false,
    rename: (key) => key.replace(/^old\./, "").replace(/^w$/, "weight"),
  });
  assertEquals(report.unexpectedKeys, ["steps"]);
  assertThrows(
    () => m.loadStateDict(state, { rename: () => "weight" }),
    Error,
    "Cannot load state into Linear: old.w and bias are both renamed to weight",
  );
});

Deno.test("training mode, zeroGrad, apply and requiresGrad_ reach every module", () => {
  const m = new nn.Sequential(new nn.Linear(1, 1), new nn.Sequential(new nn.Dropout()));
  assertStrictEquals(m.eval(), m);
  assertEquals(m.modules().map((part) => part.training), [false, false, false, false]);
  m.train();
  assert(m.modules().every((part) => part.training));
  const seen: string[] = [];
  m.apply((part) => seen.push(part.constructor.name));
  assertEquals(seen, ["Linear", "Dropout", "Sequential", "Sequential"]);
  m.requiresGrad_(false);
  assert(m.parameters().every((p) => !p.requiresGrad));
  m.parameters()[0].grad = ones([1, 1]);
  m.zeroGrad({ setToNone: false });
  assertEquals(m.parameters()[0].grad!.toArray(), [[0]]);
  m.zeroGrad();
  assertEquals(m.parameters()[0].grad, null);
});

Deno.test("forward hooks shadow forward on the instance and go without a trace", () => {
  const m = new nn.Identity();
  const removePre = m.registerForwardPreHook((_, [x]) => [x.mul(2)]);
  const removePost = m.registerForwardHook((_, [x], y) => x.add(y));
  assertEquals(m.forward(tensor([3])).toArray(), [12]);
  assertEquals(Object.keys(m), ["training"]);
  assert(Object.hasOwn(m, "forward"));
  removePre();
  removePre();
  assertEquals(m.forward(tensor([3])).toArray(), [6]);
  removePost();
  assert(!Object.hasOwn(m, "forward"));
  assertEquals(m.forward(tensor([3])).toArray(), [3]);
});

Deno.test("the tree prints as PyTorch's", () => {
  const m = new nn.Sequential(
    new nn.Linear(4, 2),
    new nn.Sequential({ act: new nn.ReLU(), drop: new nn.Dropout(0.2) }),
  );
  assertEquals(
    String(m),
    `Sequential(
  (0): Linear(inFeatures=4, outFeatures=2, bias=true)
  (1): Sequential(
    (act): ReLU()
    (drop): Dropout(p=0.2)
  )
)`,
  );
});

Deno.test("containers hold modules under numbers and names", () => {
  const list = new nn.ModuleList([new nn.Linear(1, 2), new nn.Linear(2, 3)]);
  list.push(new nn.Linear(3, 4));
  assertEquals([list.length, list.at(-1).outFeatures, list[0].outFeatures], [3, 4, 2]);
  assertEquals(Object.keys(list.stateDict()).slice(0, 2), ["0.weight", "0.bias"]);
  assertThrows(() => list.at(3), TypeError, "Cannot take member 3 of ModuleList: it has 3");
  assertThrows(() => list.forward(), TypeError, "Cannot forward a ModuleList");
  const dict = new nn.ModuleDict({ left: new nn.Linear(1, 1) }).set("right", new nn.Linear(1, 1));
  assertEquals(dict.keys(), ["left", "right"]);
  assertEquals(dict.delete("left"), true);
  assertThrows(() => dict.get("left"), TypeError, 'Cannot get "left" of ModuleDict: it has right');
  assertThrows(
    () => dict.set("forward", new nn.ReLU() as never),
    TypeError,
    "every module has that name",
  );
  assertThrows(
    () => new nn.Sequential(3 as never),
    TypeError,
    "Cannot put 3 into Sequential at 0: it must be a module",
  );
});

Deno.test("layers train through the tape", () => {
  const m = new Pair();
  m.forward(ones([4, 3])).sum().backward();
  assertEquals(m.inProj.weight.grad!.shape, [2, 3]);
  assertEquals(noGrad(() => m.forward(ones([4, 3]))).requiresGrad, false);
});

Deno.test("backward hooks see and change gradients of inputs and outputs", () => {
  class Scale extends nn.Module {
    override forward(x: Tensor, factor: number, y: Tensor): [Tensor, Tensor] {
      return [x.mul(factor), x.mul(y)];
    }
  }
  const seen: unknown[] = [];
  const plain = (grads: nn.ModuleGradients) => grads.map((g) => g === null ? null : g.toArray());
  const module = new Scale();
  const x = tensor([1, 2], { requiresGrad: true }), y = tensor([3, 4]);
  const removePre = module.registerFullBackwardPreHook((_, [a, b]) => {
    seen.push(["pre", plain([a, b])]);
    return [a, b!.mul(10)];
  });
  const remove = module.registerFullBackwardHook((m, gradInput, gradOutput) => {
    assert(m === module);
    seen.push(["post", plain(gradInput), plain(gradOutput)]);
    return gradInput.map((g) => g && g.mul(2));
  });
  const run = () => {
    x.grad = null;
    const [a, b] = module.forward(x, 5, y);
    a.add(b).sum().backward();
    return x.grad!.toArray();
  };
  assertEquals(run(), [70, 90]);
  assertEquals(seen, [
    ["pre", [[1, 1], [1, 1]]],
    ["post", [[35, 45], null], [[1, 1], [10, 10]]],
  ]);
  const out = module.forward(x, 5, y)[0];
  assertThrows(() => out.add_(1), Error, "a module with backward hooks takes or gives it");
  remove();
  removePre();
  assertEquals(run(), [8, 9]);
  assert(!Object.hasOwn(module, "forward"));
  // Without an input that wants gradients the hook comes with those of the outputs alone.
  const layer = new nn.Linear(2, 1);
  let called = 0;
  layer.registerFullBackwardHook((_, gradInput, gradOutput) => {
    called++;
    assertEquals([gradInput, gradOutput[0]!.shape], [[null], [1]]);
  });
  layer.forward(y).sum().backward();
  assertEquals(called, 1);
});
