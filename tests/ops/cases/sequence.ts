/** Cases of attention, attention by heads and bags of rows. */
import { type Entry, t } from "../spec.ts";

const rows = (shape: number[], values: number[]) => t(shape, { dtype: "int64", values });
const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;

/** What stands between the inputs and the options of attention by heads: four features by two heads. */
const heads = (
  inProjWeight: unknown,
  { biased = true, biasKv = false, zero = false } = {},
): unknown[] => [
  4,
  2,
  inProjWeight,
  biased ? t([12]) : null,
  biasKv ? t([1, 1, 4]) : null,
  biasKv ? t([1, 1, 4]) : null,
  zero,
  0,
  t([4, 4]),
  biased ? t([4]) : null,
];

export const sequenceCases: Record<string, Entry> = {
  scaledDotProductAttention: {
    cases: [
      { args: [t([2, 3, 5, 4]), t([2, 3, 6, 4]), t([2, 3, 6, 7])] },
      { args: [t([5, 4]), t([6, 4]), t([6, 3])] },
      { args: [t([2, 5, 4]), t([2, 5, 4]), t([2, 5, 4]), { isCausal: true, scale: 0.3 }] },
      { args: [t([2, 5, 4]), t([2, 3, 4]), t([2, 3, 4]), { isCausal: true }] },
      { args: [t([2, 4, 3, 5]), t([2, 2, 6, 5]), t([2, 2, 6, 5]), { enableGqa: true }] },
      { args: [t([2, 1, 3, 5]), t([3, 6, 5]), t([1, 6, 2])] },
      { args: [t([2, 3, 4]), t([2, 5, 4]), t([2, 5, 4]), t([3, 5], { grad: false })] },
      {
        args: [
          t([2, 3, 4]),
          t([2, 3, 4]),
          t([2, 3, 4]),
          t([1, 3, 3], { dtype: "bool", values: [1, 0, 1, 0, 0, 0, 1, 1, 1] }),
        ],
      },
    ],
    dtypes: FLOATS,
    copies: "the log-sum-exp of each query is kept beside the result",
    torch: "torch.nn.functional.scaled_dot_product_attention",
  },
  multiHeadAttentionForward: {
    cases: [
      { args: [t([3, 2, 4]), t([5, 2, 4]), t([5, 2, 4]), ...heads(t([12, 4]))] },
      {
        args: [
          t([3, 2, 4]),
          t([5, 2, 4]),
          t([5, 2, 4]),
          ...heads(t([12, 4]), { biasKv: true, zero: true }),
          { averageAttnWeights: false, attnMask: t([3, 5]) },
        ],
      },
      {
        args: [
          t([3, 4]),
          t([5, 4]),
          t([5, 4]),
          ...heads(t([12, 4]), { biased: false }),
          { keyPaddingMask: t([5], { dtype: "bool", values: [0, 0, 1, 0, 1] }) },
        ],
      },
      {
        args: [
          t([3, 2, 4]),
          t([5, 2, 3]),
          t([5, 2, 2]),
          ...heads(null),
          {
            useSeparateProjWeight: true,
            qProjWeight: t([4, 4]),
            kProjWeight: t([4, 3]),
            vProjWeight: t([4, 2]),
            attnMask: t([4, 3, 5]),
          },
        ],
      },
    ],
    dtypes: ["float32", "float64"],
    copies: "projections and weights are made on the way",
    torch: "torch.nn.functional.multi_head_attention_forward",
  },
  embeddingBag: {
    cases: [
      { args: [rows([2, 3], [4, 0, 4, 1, 2, 2]), t([5, 3])] },
      { args: [rows([5], [4, 0, 4, 1, 1]), t([20, 3]), rows([3], [0, 2, 2]), { mode: "sum" }] },
      {
        args: [
          rows([5], [4, 0, 4, 1, 1]),
          t([5, 3]),
          rows([4], [0, 2, 2, 5]),
          { mode: "sum", perSampleWeights: t([5]), includeLastOffset: true },
        ],
      },
      { args: [rows([2, 3], [4, 0, 4, 1, 2, 2]), t([5, 70]), { mode: "max" }] },
      { args: [rows([2, 3], [4, 0, 4, 1, 2, 2]), t([5, 3], { grad: false }), { paddingIdx: 4 }] },
    ],
    dtypes: FLOATS,
    strided: "the table is read by rows; row numbers are copied where they are not dense",
    torch: "torch.nn.functional.embedding_bag",
  },
};
