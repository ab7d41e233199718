/** Cases of embedding. The padding row is not read here: it has values but, on purpose, no gradient. */
import { type Entry, t } from "../spec.ts";

const rows = (shape: number[], values: number[]) => t(shape, { dtype: "int64", values });

export const embeddingCases: Record<string, Entry> = {
  embedding: {
    cases: [
      { args: [rows([3], [4, 0, 4]), t([5, 3])] },
      { args: [rows([2, 3], [0, 1, 1, 9, 0, 1]), t([20, 4])] },
      { args: [t([2], { dtype: "int32", values: [1, 0] }), t([2, 70])] },
      { args: [rows([], [2]), t([3, 2])] },
      { args: [rows([0], []), t([3, 2])] },
      { args: [rows([4], [3, 2, 3, 0]), t([20, 2]), 1] },
      { args: [rows([4], [1, 0, 1, 0]), t([3, 2]), { paddingIdx: -1 }] },
    ],
    dtypes: ["float32", "float64", "bfloat16", "float16"],
    copies: "row numbers in gapped memory are copied: they are few beside the rows",
    torch: "torch.nn.functional.embedding",
  },
};
