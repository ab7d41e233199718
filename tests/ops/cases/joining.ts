/** Cases of joining and padding. */
import { type Entry, t } from "../spec.ts";

const one = (...args: unknown[]) => ({ args });
const ALL = ["float32", "float64", "bfloat16", "float16", "int64", "int32", "bool"] as const;

export const joiningCases: Record<string, Entry> = {
  cat: {
    cases: [
      one([t([2, 3]), t([1, 3])]),
      one([t([2, 3]), t([2, 1]), t([2, 4])], 1),
      one([t([2, 3, 2]), t([2, 3, 5])], -1),
      one([t([0]), t([3])]),
      one([t([2, 2]), t([2, 2], { dtype: "int32" })]),
      {
        ...one([t([300, 70]), t([300, 60])], 1),
        withoutPytorch: "its results are too large to keep",
      },
    ],
    dtypes: ALL,
  },
  stack: {
    cases: [
      one([t([2, 3]), t([2, 3])]),
      one([t([2, 3]), t([2, 3]), t([2, 3])], -1),
      one([t([]), t([])]),
    ],
    dtypes: ALL,
  },
  hstack: { cases: [one([t([2]), t([3])]), one([t([2, 3]), t([2, 1])]), one([t([]), t([2])])] },
  vstack: { cases: [one([t([3]), t([3])]), one([t([2, 3]), t([3])])] },
  dstack: { cases: [one([t([3]), t([3])]), one([t([2, 3]), t([2, 3])])] },
  blockDiag: { cases: [one([t([2, 3]), t([2]), t([])])], torch: "torch.block_diag" },
  pad: {
    cases: [
      one(t([2, 3]), [1, 2]),
      one(t([2, 3]), [1, -1, 2, 0], { value: 1.5 }),
      one(t([2, 3]), [-1, 0]),
      one(t([2, 5]), [2, 1], { mode: "reflect" }),
      one(t([2, 5]), [2, 6], { mode: "replicate" }),
      one(t([2, 5]), [2, 1], { mode: "circular" }),
      one(t([1, 2, 3, 4]), [1, 2, 2, 1], { mode: "reflect" }),
      one(t([1, 2, 3, 4]), [4, 0, 1, 3], { mode: "circular" }),
      one(t([2, 2, 3, 4]), [1, 1, 2, 2, 1, 1], { mode: "replicate" }),
    ],
    dtypes: ["float32", "float64", "bfloat16", "float16"],
    torch: "torch.nn.functional.pad",
  },
};
