/** How both sides are timed, turn by turn. */
import { memory, type Tensor } from "@toro/toro";
import type { Torch } from "./torch.ts";

export const median = (xs: number[]): number => xs.toSorted((a, b) => a - b)[xs.length >> 1];

/** Milliseconds between turns: a thread of PyTorch's looks for work on a core of its own for ten after its last. */
const REST = 20;
const rest = () => new Promise((done) => setTimeout(done, REST));

/** Milliseconds for which a row runs before it is measured, at least and at most. */
const WARM_UP = 1000;
const LONG_WARM_UP = 10_000;
/** For so many of them Toro's memory must not have grown: until its first collection each output has pages that are new. */
const STEADY = 500;

/**
 * Milliseconds of an iteration, on our side and on PyTorch's, which has the same one prepared: so many alternating
 * measurements of some 100 ms each, and as many more where `isOpen` says so.
 */
export async function alternate(
  iteration: () => Tensor,
  torch: Torch,
  pairs: number,
  isOpen: (toro: number[], torch: number[]) => boolean = () => false,
): Promise<{ toroMs: number[]; torchMs: number[] }> {
  const run = (times: number): number => {
    const begin = performance.now();
    let last = iteration();
    for (let i = 1; i < times; i++) last = iteration();
    // Elementwise ops wait for the next one; the last of them counts too.
    last.storage.settle("bench");
    return (performance.now() - begin) / times;
  };
  const ask = (times: number) => torch.ask<number>({ do: "run", times });
  const often = (ms: number) => Math.max(1, Math.min(20_000, Math.floor(100 / Math.max(ms, 1e-3))));
  // Both sides for a second first, and Toro until memory is reused as in any longer run.
  const begin = performance.now();
  let most = 0, grown = begin;
  for (let now = begin; now - begin < LONG_WARM_UP; now = performance.now()) {
    const { liveBytes, cachedBytes } = memory();
    if (liveBytes + cachedBytes > most) [most, grown] = [liveBytes + cachedBytes, now];
    if (now - begin > WARM_UP && now - grown > STEADY) break;
    run(1);
  }
  await ask(Math.ceil(WARM_UP / Math.max(await ask(3), 0.01)));
  const times = often(run(3)), theirTimes = often(await ask(3));
  const toroMs: number[] = [], torchMs: number[] = [];
  for (let pair = 0; pair < pairs || pair < 2 * pairs && isOpen(toroMs, torchMs); pair++) {
    await rest();
    toroMs.push(run(times));
    await rest();
    torchMs.push(await ask(theirTimes));
  }
  return { toroMs, torchMs };
}
