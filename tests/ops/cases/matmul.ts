/** Cases of matrix products. */
import { type Entry, t } from "../spec.ts";

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;

export const matmulCases: Record<string, Entry> = {
  matmul: {
    cases: [
      { args: [t([4]), t([4])] },
      { args: [t([3, 4]), t([4])] },
      { args: [t([4]), t([4, 5])] },
      { args: [t([3, 4]), t([4, 5])] },
      { args: [t([2, 3, 4]), t([4, 5])] },
      { args: [t([2, 1, 3, 4]), t([5, 4, 2])] },
      { args: [t([2, 0]), t([0, 3])] },
      { args: [t([33, 40]), t([40, 17])] },
    ],
  },
  mm: { cases: [{ args: [t([3, 4]), t([4, 5])] }] },
  bmm: { cases: [{ args: [t([2, 3, 4]), t([2, 4, 5])] }] },
  mv: { cases: [{ args: [t([3, 4]), t([4])] }] },
  dot: { cases: [{ args: [t([7]), t([7])] }] },
  outer: { cases: [{ args: [t([3]), t([5])] }] },
  addmm: {
    cases: [
      { args: [t([5]), t([3, 4]), t([4, 5])] },
      { args: [t([3, 5]), t([3, 4]), t([4, 5]), { beta: 2, alpha: 3 }] },
    ],
  },
  baddbmm: {
    cases: [
      { args: [t([2, 3, 5]), t([2, 3, 4]), t([2, 4, 5])] },
      { args: [t([3, 5]), t([2, 3, 4]), t([2, 4, 5]), { beta: 2, alpha: 3 }] },
    ],
  },
  linear: {
    cases: [
      { args: [t([3, 4]), t([5, 4])] },
      { args: [t([3, 4]), t([5, 4]), t([5])] },
      { args: [t([2, 3, 4]), t([5, 4]), t([5])] },
      { args: [t([4]), t([5, 4]), t([5])] },
      { args: [t([3, 4]), t([4])] },
    ],
    dtypes: FLOATS,
    torch: "torch.nn.functional.linear",
  },
  einsum: {
    cases: [
      { args: ["ij,jk->ik", t([3, 4]), t([4, 5])] },
      { args: ["bij,bjk", t([2, 3, 4]), t([2, 4, 5])] },
      { args: ["ii->i", t([4, 4])] },
      { args: ["...ij->...ji", t([2, 3, 4])] },
      { args: ["i,j,k->ikj", t([2]), t([3]), t([4])] },
      { args: ["bhtd,bhsd->bhts", t([2, 3, 4, 5]), t([2, 3, 6, 5])] },
    ],
    dtypes: ["float32", "float64"],
    copies: "reshaped operands of a product may need a copy",
  },
  bilinear: {
    cases: [
      { args: [t([4, 3]), t([4, 2]), t([5, 3, 2])] },
      { args: [t([2, 4, 3]), t([2, 4, 2]), t([5, 3, 2]), t([5])] },
      { args: [t([3]), t([2]), t([5, 3, 2]), t([5])] },
    ],
    dtypes: ["float32", "float64"],
    copies: "leading dims are joined into rows",
    torch: "torch.nn.functional.bilinear",
  },
};
