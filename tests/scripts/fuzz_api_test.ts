/** The public surface at random, a short and fixed part of `deno task fuzz:api`; and what longer runs found. */
import { assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { fromFileUrl } from "@std/path";
import {
  ArgumentError,
  autograd,
  broadcastShapes,
  data,
  memory,
  mvlgamma,
  nn,
  ones,
  OutOfMemoryError,
  setMemoryLimit,
  ToroError,
  trilIndices,
  triuIndices,
  utils,
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
  } finally {
    setMemoryLimit(budgetBytes);
  }
});

Deno.test("arguments of a wrong kind, where a check of their own says so", () => {
  const x = ones([2]);
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
