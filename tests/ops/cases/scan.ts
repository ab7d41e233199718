/** Cases of running reductions. */
import { type Entry, t } from "../spec.ts";

const cases = [
  { args: [t([3, 4]), 1] },
  { args: [t([3, 4]), 0] },
  { args: [t([2, 3, 40]), -1] },
  { args: [t([]), 0] },
];

export const scanCases: Record<string, Entry> = {
  cumsum: { cases },
  cumprod: { cases: [{ args: [t([3, 4]), 1] }, { args: [t([3, 4]), 0] }, { args: [t([]), 0] }] },
  cummax: { cases },
  cummin: { cases },
  logcumsumexp: {
    cases,
    dtypes: ["float32", "float64"],
    grad2: "its gradient works in logarithms of gradients, which end at 0",
  },
};
