/** Cases of losses. */
import { type Entry, t } from "../spec.ts";

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const WIDE = ["float32", "float64"] as const;
const probability = (shape: number[]) => t(shape, { low: 0.05, high: 0.95 });
const classes = (shape: number[]) => t(shape, { dtype: "int64", low: 0, high: 4 });
const both = (options: object = {}) => [
  { args: [t([3, 4]), t([3, 4]), { ...options }] },
  { args: [t([3, 4]), t([3, 4]), { ...options, reduction: "sum" }] },
  { args: [t([3, 4]), t([3, 4]), { ...options, reduction: "none" }] },
  { args: [t([3, 4]), t([4]), { ...options }] },
];
const F = "torch.nn.functional.";

export const lossCases: Record<string, Entry> = {
  mseLoss: { cases: both(), dtypes: FLOATS, torch: `${F}mse_loss` },
  l1Loss: { cases: both(), dtypes: FLOATS, torch: `${F}l1_loss` },
  smoothL1Loss: {
    cases: [...both(), ...both({ beta: 0.5 })],
    dtypes: FLOATS,
    torch: `${F}smooth_l1_loss`,
  },
  huberLoss: {
    cases: [...both(), ...both({ delta: 0.5 })],
    dtypes: FLOATS,
    torch: `${F}huber_loss`,
  },
  binaryCrossEntropy: {
    cases: [
      { args: [probability([3, 4]), probability([3, 4])] },
      { args: [probability([3, 4]), probability([3, 4]), probability([4])] },
      { args: [probability([3, 4]), probability([3, 4]), { reduction: "sum" }] },
      { args: [probability([3, 4]), probability([3, 4]), { reduction: "none" }] },
    ],
    dtypes: WIDE,
    torch: `${F}binary_cross_entropy`,
  },
  binaryCrossEntropyWithLogits: {
    cases: [
      { args: [t([3, 4]), probability([3, 4])] },
      { args: [t([3, 4]), probability([3, 4]), probability([4])] },
      {
        args: [t([3, 4]), probability([3, 4]), { reduction: "none", posWeight: probability([4]) }],
      },
      { args: [t([3, 4]), probability([3, 4]), { reduction: "sum" }] },
    ],
    dtypes: FLOATS,
    torch: `${F}binary_cross_entropy_with_logits`,
  },
  crossEntropy: {
    cases: [
      { args: [t([4, 5]), t([4], { dtype: "int64", low: 0, high: 4 })] },
      { args: [t([5]), t([], { dtype: "int64", low: 0, high: 4 })] },
      {
        args: [t([2, 5, 3]), t([2, 3], { dtype: "int64", low: 0, high: 4 }), { reduction: "none" }],
      },
      {
        args: [
          t([4, 5]),
          t([4], { dtype: "int64", low: 0, high: 4 }),
          t([5], { low: 0.5, high: 2, grad: false }),
          {
            labelSmoothing: 0.1,
            ignoreIndex: 2,
          },
        ],
      },
      {
        args: [t([4, 5]), t([4], { dtype: "int64", low: 0, high: 4 }), {
          reduction: "sum",
          labelSmoothing: 0.2,
        }],
      },
      { args: [t([4, 5]), probability([4, 5])] },
    ],
    dtypes: WIDE,
    torch: `${F}cross_entropy`,
  },
  nllLoss: {
    cases: [
      { args: [t([4, 5]), t([4], { dtype: "int64", low: 0, high: 4 })] },
      {
        args: [t([2, 5, 3]), t([2, 3], { dtype: "int64", low: 0, high: 4 }), { reduction: "none" }],
      },
      {
        args: [
          t([4, 5]),
          t([4], { dtype: "int64", low: 0, high: 4 }),
          t([5], { low: 0.5, high: 2, grad: false }),
          {
            ignoreIndex: 2,
          },
        ],
      },
    ],
    dtypes: WIDE,
    torch: `${F}nll_loss`,
  },
  klDiv: {
    cases: [
      { args: [t([3, 4]), probability([3, 4]), { reduction: "batchmean" }] },
      { args: [t([3, 4]), probability([3, 4]), { reduction: "none" }] },
      { args: [t([3, 4]), t([3, 4]), { logTarget: true }] },
    ],
    dtypes: WIDE,
    torch: `${F}kl_div`,
  },
  marginRankingLoss: {
    cases: [
      { args: [t([4]), t([4]), t([4], { values: [1, -1, 1, -1], grad: false }), 0.5] },
      {
        args: [t([4]), t([4]), t([4], { values: [1, -1, 1, -1], grad: false }), {
          reduction: "sum",
        }],
      },
    ],
    dtypes: WIDE,
    torch: `${F}margin_ranking_loss`,
  },
  hingeEmbeddingLoss: {
    cases: [{ args: [t([4]), t([4], { values: [1, -1, 1, -1], grad: false })] }],
    dtypes: WIDE,
    torch: `${F}hinge_embedding_loss`,
  },
  softMarginLoss: {
    cases: [{ args: [t([4]), t([4], { values: [1, -1, 1, -1], grad: false })] }],
    dtypes: WIDE,
    torch: `${F}soft_margin_loss`,
  },
  cosineEmbeddingLoss: {
    cases: [{ args: [t([4, 3]), t([4, 3]), t([4], { values: [1, -1, 1, -1], grad: false }), 0.1] }],
    dtypes: WIDE,
    torch: `${F}cosine_embedding_loss`,
  },
  pairwiseDistance: {
    cases: [{ args: [t([4, 3]), t([4, 3])] }, {
      args: [t([4, 3]), t([4, 3]), 1, { keepdim: true }],
    }],
    dtypes: WIDE,
    torch: `${F}pairwise_distance`,
  },
  cosineSimilarity: {
    cases: [{ args: [t([4, 3]), t([4, 3])] }, { args: [t([4, 3]), t([1, 3]), -1] }],
    dtypes: WIDE,
    torch: `${F}cosine_similarity`,
  },
  tripletMarginLoss: {
    cases: [
      { args: [t([4, 3]), t([4, 3]), t([4, 3])] },
      { args: [t([4, 3]), t([4, 3]), t([4, 3]), 2, { swap: true }] },
    ],
    dtypes: WIDE,
    torch: `${F}triplet_margin_loss`,
  },
  poissonNllLoss: {
    cases: [
      { args: [t([4, 3]), t([4, 3], { low: 0.5, high: 4, grad: false })] },
      {
        args: [t([4, 3], { low: 0.5 }), t([4, 3], { low: 0.5, high: 4, grad: false }), {
          logInput: false,
          full: true,
        }],
      },
    ],
    dtypes: WIDE,
    torch: `${F}poisson_nll_loss`,
  },
  gaussianNllLoss: {
    cases: [
      { args: [t([4, 3]), t([4, 3]), t([4, 3], { low: 0.5 })] },
      { args: [t([4, 3]), t([4, 3]), t([4], { low: 0.5 }), { full: true }] },
    ],
    dtypes: WIDE,
    torch: `${F}gaussian_nll_loss`,
  },
  tripletMarginWithDistanceLoss: {
    cases: [
      { args: [t([4, 3]), t([4, 3]), t([4, 3])] },
      { args: [t([4, 3]), t([4, 3]), t([4, 3]), { margin: 2, swap: true, reduction: "none" }] },
    ],
    dtypes: WIDE,
    torch: `${F}triplet_margin_with_distance_loss`,
  },
  linearCrossEntropy: {
    cases: [
      { args: [t([3, 4]), t([5, 4]), classes([3])] },
      { args: [t([4]), t([5, 4]), classes([]), { linearBias: t([5]), reduction: "sum" }] },
      {
        args: [t([3, 4]), t([5, 2, 4]), classes([3, 2]), {
          linearBias: t([5, 2]),
          ignoreIndex: 1,
          labelSmoothing: 0.1,
          reduction: "none",
        }],
      },
    ],
    dtypes: WIDE,
    copies: "weights of several dims become a matrix",
    torch: `${F}linear_cross_entropy`,
  },
  multiMarginLoss: {
    cases: [
      { args: [t([4, 5]), classes([4])] },
      { args: [t([4, 5]), classes([4]), 2, 0.5, { weight: t([5], { grad: false }) }] },
      { args: [t([5]), classes([]), { reduction: "sum" }] },
      { args: [t([5]), classes([1]), { reduction: "none" }] },
    ],
    dtypes: WIDE,
    copies: "class numbers are read here to be checked",
    torch: `${F}multi_margin_loss`,
  },
  multilabelMarginLoss: {
    cases: [
      {
        args: [
          t([3, 4]),
          t([3, 4], { dtype: "int64", values: [3, 0, -1, 1, -1, 2, 2, 2, 0, 0, 3, 1] }),
        ],
      },
      {
        args: [t([4]), t([4], { dtype: "int64", values: [1, 2, -1, 0] }), { reduction: "none" }],
      },
    ],
    dtypes: WIDE,
    copies: "the target is multiplied by what is listed, whatever its strides",
    torch: `${F}multilabel_margin_loss`,
  },
  multilabelSoftMarginLoss: {
    cases: [
      { args: [t([3, 4]), probability([3, 4])] },
      { args: [t([3, 4]), probability([3, 4]), { weight: probability([4]), reduction: "none" }] },
    ],
    dtypes: WIDE,
    torch: `${F}multilabel_soft_margin_loss`,
  },
};
