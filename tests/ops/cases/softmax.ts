/** Cases of softmax. */
import { type Entry, t } from "../spec.ts";

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const cases = [
  { args: [t([4, 5]), 1] },
  { args: [t([4, 5]), 0] },
  { args: [t([2, 5, 20]), 1] },
  { args: [t([3, 40]), -1] },
  { args: [t([]), 0] },
  { args: [t([2, 5]), 1, { dtype: "float64" }] },
];

export const softmaxCases: Record<string, Entry> = {
  softmax: { cases, dtypes: FLOATS },
  logSoftmax: { cases, dtypes: FLOATS },
  softmin: { cases, dtypes: FLOATS, torch: "torch.nn.functional.softmin" },
};
