/** The short form of `deno task test:soak allocations`: every so many-th allocation fails. */
import { assert } from "@std/assert";
import { checkpoint, memory } from "@toro/toro";
import { failLoad, failOptimizer, failSave, failTraining } from "./allocations.ts";
import { inFolder } from "../folder.ts";

memory(); // opens the library before the sanitizers look

Deno.test("an allocation that fails in a training step is an error, and the step can be done again", async () => {
  const { points, survived, reported, grownBytes } = await failTraining(11);
  assert(points > 40 && survived > 0 && reported > 0, `${points} ${survived} ${reported}`);
  // Slabs of small tensors, which fill at other moments.
  assert(grownBytes < 2 ** 20, `${grownBytes} bytes stayed behind`);
});

Deno.test("an optimiser's step is done as a whole or, where memory runs out, not at all", async () => {
  const { survived, reported } = await failOptimizer(4);
  assert(survived > 0 && reported > 0);
});

for (
  const [name, save, stride] of [
    ["save", checkpoint.save, 1],
    ["asyncSave", checkpoint.asyncSave, 11],
  ] as const
) {
  Deno.test(`an allocation that fails in ${name} leaves a whole file and no litter`, () =>
    inFolder(async (dir) => {
      const { points, survived, reported } = await failSave(dir, stride, save);
      assert(points > 0 && survived + reported > 2, `${points} ${survived} ${reported}`);
    }));
}

Deno.test("an allocation that fails in a load is an error, and the next load reads all", () =>
  inFolder(async (dir) => {
    const { points, survived, reported } = await failLoad(dir);
    assert(survived + reported >= 3 * points && survived > 0 && reported > 0);
  }));
