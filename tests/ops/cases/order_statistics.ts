/** Cases of median, mode and quantiles. */
import { type Entry, t } from "../spec.ts";

const WIDE = ["float32", "float64"] as const;
const cases = [
  { args: [t([3, 4])] },
  { args: [t([3, 5]), 1] },
  { args: [t([3, 4]), 0, { keepdim: true }] },
];
const withNaN = t([6], { values: [3, NaN, 1, 2, NaN, 5], grad: false });
const quantiles = [
  { args: [t([3, 4]), 0.3] },
  { args: [t([3, 4]), 0.5, 1] },
  { args: [t([3, 4]), t([3], { values: [0, 0.25, 1], grad: false }), 0, { keepdim: true }] },
  { args: [t([3, 5]), 0.4, 1, { interpolation: "lower" }] },
  { args: [t([3, 5]), 0.4, 1, { interpolation: "higher" }] },
  { args: [t([3, 5]), 0.4, 1, { interpolation: "midpoint" }] },
  { args: [t([3, 5]), 0.4, 1, { interpolation: "nearest" }] },
  { args: [withNaN, 0.5] },
];

export const orderStatisticsCases: Record<string, Entry> = {
  median: { cases: [...cases, { args: [withNaN], dtypes: WIDE }], copies: "elements are sorted" },
  nanmedian: {
    cases: [...cases, { args: [withNaN], dtypes: WIDE }],
    copies: "elements are sorted",
  },
  mode: {
    cases: [
      { args: [t([3, 4], { values: [1, 2, 2, 3, 1, 1, 0, 0, 5, 6, 7, 4] })] },
      { args: [t([3, 4], { values: [1, 2, 2, 3, 1, 1, 0, 0, 5, 6, 7, 4] }), 0, { keepdim: true }] },
    ],
    grad: "ties make differences jump",
    copies: "elements are sorted",
  },
  quantile: { cases: quantiles, dtypes: WIDE, copies: "elements are sorted" },
  nanquantile: { cases: quantiles, dtypes: WIDE, copies: "elements are sorted" },
};
