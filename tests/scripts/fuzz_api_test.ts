/** The public surface at random, a short and fixed part of `deno task fuzz:api`; and what longer runs found. */
import {
  assertEquals,
  assertMatch,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  ArgumentError,
  autocast,
  autograd,
  broadcastShapes,
  combinations,
  data,
  deploy,
  einsum,
  empty,
  memory,
  mvlgamma,
  nn,
  ones,
  OutOfMemoryError,
  setMemoryLimit,
  ShapeError,
  type Tensor,
  ToroError,
  trilIndices,
  triuIndices,
  utils,
  vander,
} from "../../mod.ts";

memory();

Deno.test("random calls end in a value or in an error of Toro's, and at least half are valid", async () => {
  const script = fromFileUrl(new URL("../../scripts/fuzz_api.ts", import.meta.url));
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, "--calls", "4000", "--seed", "7"],
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(success, true, text);
  assertMatch(text, /^4000 calls in \d+ s, [5-9]\d\.\d % valid; 0 signals/m);
});

Deno.test("triangle indices count rightly, and are refused before they are counted where nothing holds them", () => {
  assertEquals(trilIndices(3, 2).toArray(), [[0, 1, 1, 2, 2], [0, 0, 1, 0, 1]]);
  assertEquals(trilIndices(3, 3, -2).toArray(), [[2], [0]]);
  assertEquals(triuIndices(2, 4, 2).toArray(), [[0, 0, 1], [2, 3, 3]]);
  assertEquals(triuIndices(4, 2).toArray(), [[0, 0, 1], [0, 1, 1]]);
  assertEquals(triuIndices(2, 2, 5).shape, [2, 0]);
  const { budgetBytes } = memory();
  setMemoryLimit(64 * 2 ** 20);
  try {
    assertThrows(() => triuIndices(3, 2 ** 40, 1), OutOfMemoryError);
    assertThrows(() => trilIndices(2 ** 32, 4, -1), OutOfMemoryError);
    assertThrows(() => mvlgamma(ones([4]), 2 ** 31), OutOfMemoryError);
    assertThrows(() => vander(ones([4]), 2 ** 40), OutOfMemoryError, "Cannot vander: ");
    assertThrows(() => combinations(ones([1000]), 12), ShapeError, "Cannot combinations");
  } finally {
    setMemoryLimit(budgetBytes);
  }
});

Deno.test("arguments of a wrong kind, where a check of their own says so", () => {
  const x = ones([2]), layer = () => new nn.Linear(3, 2), { parametrize } = nn.utils;
  class Odd extends nn.Module {
    override forward(x: Tensor): Tensor {
      return x;
    }
    rightInverse(): number {
      return 3;
    }
  }
  const wrong: [string, () => unknown][] = [
    ["Cannot grad: output 0, 3, is no tensor", () => autograd.grad(3 as never, x)],
    ["Cannot grad: input 1, null, is no tensor", () => autograd.grad(x, [x, null as never])],
    [
      "Cannot gradcheck: input 0, null, is no tensor",
      () => autograd.gradcheck((y) => y, null as never),
    ],
    [
      "Cannot checkpointSequential 3: it must be a sequence",
      () => utils.checkpoint.checkpointSequential(3 as never, 1, x),
    ],
    [
      "Cannot randomSplit 2 examples into 3: lengths must be an array of numbers",
      () => data.randomSplit({ x }, 3 as never),
    ],
    ["Cannot make SequentialSampler of null", () => new data.SequentialSampler(null as never)],
    ["Cannot make RandomSampler of 7", () => new data.RandomSampler(7 as never)],
    ["Cannot make ModuleList of 7", () => new nn.ModuleList(7 as never)],
    ["Cannot make Unflatten with unflattenedSize 2", () => new nn.Unflatten(0, 2 as never)],
    [
      "Cannot checkpointSequential with 3 in the sequence",
      () => utils.checkpoint.checkpointSequential([3 as never], 1, x),
    ],
    ["Cannot gradgradcheck 2: it must be a function", () => autograd.gradgradcheck(2 as never, x)],
    [
      "Cannot gradcheck a function that gives 3",
      () =>
        autograd.gradcheck(() => 3 as never, ones([1], { dtype: "float64", requiresGrad: true })),
    ],
    [
      "Cannot backward with the gradient { sum }: it is no tensor",
      () => autograd.backward(ones([2], { requiresGrad: true }).sum(), { sum: 2 } as never),
    ],
    [
      "Cannot make TransformerEncoder of 9007199254740991 layers: at most 4096 are cloned",
      () => new nn.TransformerEncoder(new nn.TransformerEncoderLayer(4, 2), 2 ** 53 - 1),
    ],
    [
      "Cannot make Transformer with customEncoder 1: it must be a module",
      () => new nn.Transformer({ customEncoder: 1 as never }),
    ],
    [
      "Cannot globalUnstructured of [3]: it takes pairs of module and name",
      () =>
        nn.utils.prune.globalUnstructured([3 as never], nn.utils.prune.l1Unstructured, {
          amount: 1,
        }),
    ],
    ["Cannot vjp of 2: it must be a function", () => autograd.functional.vjp(2 as never, x)],
    ["Cannot hessian of 2", () => autograd.functional.hessian(2 as never, x)],
    [
      "Cannot ConvTranspose1d a float32 tensor [1, 1, 3] to 7: sizes come in an array",
      () => new nn.ConvTranspose1d(1, 1, 2).forward(ones([1, 1, 3]), 7 as never),
    ],
    [
      "Cannot ReflectionPad1d undefined: it must be a tensor",
      () => new nn.ReflectionPad1d(1).forward(undefined as never),
    ],
    ["Cannot typeAs undefined: it must be a tensor", () => x.typeAs(undefined as never)],
    [
      "Cannot weightNorm of 3: it must be a module",
      () => nn.utils.weightNorm(3 as never),
    ],
    [
      'Cannot weightNorm: unknown option "axis"; known are name, dim',
      () => nn.utils.parametrizations.weightNorm(layer(), { axis: 1 } as never),
    ],
    [
      "Cannot weightNorm of 7: a parameter's name is a string",
      () => nn.utils.parametrizations.weightNorm(layer(), { name: 7 as never }),
    ],
    [
      "Cannot removeWeightNorm: argument module is missing",
      () => nn.utils.removeWeightNorm(undefined as never),
    ],
    [
      "Cannot spectralNorm with nPowerIterations 0: at least 1 is needed",
      () => nn.utils.parametrizations.spectralNorm(layer(), { nPowerIterations: 0 }),
    ],
    [
      'Cannot spectralNorm with eps "small": it must be a number',
      () => nn.utils.spectralNorm(layer(), { eps: "small" as never }),
    ],
    [
      "Cannot isParametrized of null: it must be a module",
      () => parametrize.isParametrized(null as never),
    ],
    [
      "Cannot registerParametrization: argument parametrization is missing",
      () => parametrize.registerParametrization(layer(), "weight", undefined as never),
    ],
    [
      "Cannot registerParametrization with Odd: its rightInverse gave 3, no tensor or array of",
      () => parametrize.registerParametrization(layer(), "weight", new Odd() as never),
    ],
    [
      "Cannot removeParametrizations of 3: it must be a module",
      () => parametrize.removeParametrizations(3 as never, "weight"),
    ],
    ["Cannot run 3 cached: it must be a function", () => parametrize.cached(3 as never)],
    ["Cannot autocast 3: the body must be a function", () => autocast({}, 3 as never)],
    ["Cannot make RNNBase: it is only what", () => new (nn.RNNBase as never as new () => void)()],
    [
      "Cannot make RNNCellBase: it is only what",
      () => new (nn.RNNCellBase as never as new () => void)(),
    ],
    [
      "Cannot make Hardtanh: minVal must be a number, got Symbol(a)",
      () => new nn.Hardtanh(Symbol("a") as never),
    ],
    ["Cannot make ModuleDict of 3: it takes an object", () => new nn.ModuleDict(3 as never)],
    ["Cannot make ParameterDict of [3]", () => new nn.ParameterDict([3] as never)],
    ["Cannot make ParameterList of null", () => new nn.ParameterList(null as never)],
    [
      "Cannot make WeightedRandomSampler: weight 1 is NaN",
      () => new data.WeightedRandomSampler([1, Symbol("a") as never], 1),
    ],
    ["Cannot einsum null: the equation must be", () => einsum(null as never, x)],
    [
      'Cannot make BatchSampler: unknown option "dropped"; known are dropLast',
      () => new data.BatchSampler([0, 1] as never, 2, { dropped: true } as never),
    ],
    [
      "Cannot make ModelDeployment with 3: options are an object",
      () => new deploy.ModelDeployment(layer(), 3 as never),
    ],
    [
      'Cannot backward: unknown option "keepGraph"; known are createGraph, retainGraph',
      () => x.backward(null, { keepGraph: true } as never),
    ],
    [
      "Cannot spectralNorm with nPowerIterations 1e+300: at most 1000000 are made",
      () => nn.utils.spectralNorm(layer(), { nPowerIterations: 1e300 }),
    ],
    [
      'Cannot gradcheck: unknown option "step"; known are eps, atol, rtol, raiseException',
      () => autograd.gradcheck((x) => x, x, { step: 1 } as never),
    ],
    [
      "Cannot toArray [2147483648, 0]: nested arrays of this shape do not fit",
      () => empty([2 ** 31, 0]).toArray(),
    ],
    [
      "Cannot make LinearCrossEntropyLoss with outFeatures 3: sizes come in an array",
      () => new nn.LinearCrossEntropyLoss(2, 2, { outFeatures: 3 as never }),
    ],
  ];
  for (const [text, call] of wrong) {
    assertStringIncludes((assertThrows(call, ArgumentError) as ToroError).message, text);
  }
});

Deno.test("collating what is no array", () => {
  assertThrows(
    () => data.defaultCollate(undefined as never),
    ToroError,
    "Cannot collate undefined",
  );
});

Deno.test("an argument that no check foresaw is an error of Toro's with JavaScript's behind it", () => {
  const error = assertThrows(() => broadcastShapes(3 as never), ArgumentError);
  assertStringIncludes(
    (error as ToroError).message,
    "Cannot broadcastShapes 3: an argument is not of a kind",
  );
  assertEquals((error as ToroError).cause instanceof TypeError, true);
});

Deno.test("what a declared module's forward cannot take is an error of Toro's, with JavaScript's behind it", () => {
  const given: [string, () => unknown][] = [
    ["Cannot forward BatchNorm2d of 1:", () => new nn.BatchNorm2d(2).forward(1 as never)],
    [
      "Cannot forward InstanceNorm3d of nothing:",
      () => (new nn.InstanceNorm3d(2) as never as { forward(): void }).forward(),
    ],
    ["Cannot forward RandomMask of null:", () => new data.RandomMask().forward(null as never)],
    ["Cannot forward Softmax2d of true:", () => new nn.Softmax2d().forward(true as never)],
  ];
  for (const [text, call] of given) {
    const error = assertThrows(call, ArgumentError) as ToroError;
    assertStringIncludes(error.message, text);
    assertEquals(error.cause instanceof TypeError, true);
  }
  const layer = new nn.InstanceNorm3d(2);
  assertEquals(layer.forward.length, 1);
  assertEquals(layer.forward.name, "forward");
});

Deno.test("errors of the caller's own code pass through a declared module as they are", () => {
  const mine = new TypeError("mine");
  const fail = () => {
    throw mine;
  };
  class Norm extends nn.BatchNorm2d {
    override forward(x: Tensor): Tensor {
      return typeof x === "number" ? fail() : super.forward(x);
    }
  }
  class Weight extends nn.Module {
    fails = false;
    override forward(x: Tensor): Tensor {
      return this.fails ? fail() : x;
    }
  }
  class Layer extends nn.Module {
    override forward(): Tensor {
      return fail();
    }
  }
  const hooked = new nn.BatchNorm2d(2), weight = new Weight(), parametrized = new nn.Linear(2, 2);
  hooked.registerForwardPreHook(fail);
  nn.utils.parametrize.registerParametrization(parametrized, "weight", weight);
  weight.fails = true;
  const distance = new nn.TripletMarginWithDistanceLoss({ distanceFunction: fail });
  const x = ones([2, 2]);
  const calls: (() => unknown)[] = [
    () => new Norm(2).forward(3 as never),
    () => hooked.forward(3 as never),
    () => parametrized.forward(x),
    () => parametrized.forward(3 as never),
    () => new nn.Sequential(new Layer()).forward(3 as never),
    () => new nn.TransformerEncoderLayer(2, 1, { activation: fail }).forward(x),
    () => distance.forward(x, x, x),
  ];
  for (const call of calls) assertStrictEquals(assertThrows(call), mine);
});
