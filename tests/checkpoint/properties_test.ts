/** Random states come back as they were, whatever their structure. */
import { assert } from "@std/assert";
import { checkpoint, memory, randn, type Tensor } from "@toro/toro";
import { Random } from "./hostile/mutate.ts";
import { isSame } from "./hostile/seeds.ts";

memory(); // opens the library before the sanitizers look

const KEYS = [
  "a",
  "b.c",
  "",
  "__proto__",
  "constructor",
  "$tensor",
  "$object",
  "#2",
  "a#2",
  "ä\u{1f600}",
  '"',
  "0",
];
const DTYPES = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int64",
  "int16",
  "uint8",
  "bool",
] as const;

function anyTensor(random: Random): Tensor {
  const shape = Array.from({ length: random.below(4) }, () => random.below(4));
  let x = randn(shape).mul(3).to(random.pick(DTYPES));
  if (shape.length > 1 && random.below(2) === 0) x = x.transpose(0, 1);
  if (x.ndim > 0 && x.shape[0] > 1 && random.below(3) === 0) x = x.narrow(0, 1, x.shape[0] - 1);
  return x;
}

function anyValue(random: Random, depth: number): unknown {
  const list = <T>(make: () => T): T[] => Array.from({ length: random.below(4) }, make);
  const inner = () => anyValue(random, depth + 1);
  switch (random.below(depth > 4 ? 7 : 10)) {
    case 0:
      return random.pick([0, -0, 1, -1.5, NaN, Infinity, -Infinity, 2 ** 53, 5e-324]);
    case 1:
      return random.pick(["", "text", '\n"\\', "\u{1f600}", "$tensor"]);
    case 2:
      return random.pick([null, true, false]);
    case 3:
      return random.pick([0n, -1n, 2n ** 64n]);
    case 4:
      return random.pick([
        new Float32Array([1, NaN]),
        new Uint8Array(0),
        new BigInt64Array([-1n]),
        new Int16Array([1, 2, 3]),
      ]);
    case 5:
    case 6:
      return anyTensor(random);
    case 7:
      return list(inner);
    case 8:
      return new Map(list(() => [random.pick<unknown>([1, "k", true, 2n]), inner()] as const));
    default:
      return anyObject(random, depth);
  }
}

function anyObject(random: Random, depth: number): Record<string, unknown> {
  // fromEntries, so that __proto__ is a key like any other.
  return Object.fromEntries(
    Array.from({ length: random.below(5) }, () => [random.pick(KEYS), anyValue(random, depth + 1)]),
  );
}

Deno.test("any state that can be saved is read as it was", async () => {
  const dir = await Deno.makeTempDir(), path = `${dir}/state.safetensors`;
  try {
    for (let seed = 1; seed <= 300; seed++) {
      const state = anyObject(new Random(seed), 0);
      await checkpoint.save(path, state);
      assert(isSame(await checkpoint.load(path), state), `seed ${seed}`);
      await checkpoint.inspect(path);
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
