/** Cases of views, of whole tensors and of parts. */
import { type Entry, t } from "../spec.ts";

const one = (...args: unknown[]) => ({ args });

export const viewCases: Record<string, Entry> = {
  clone: { cases: [one(t([3, 4])), one(t([]))] },
  contiguous: { cases: [one(t([3, 4])), one(t([2, 0]))], copies: "that is what it is for" },
  view: {
    cases: [one(t([3, 4]), [2, 6]), one(t([2, 3, 4]), [-1, 4]), one(t([]), [1, 1])],
    strided: "takes only strides that the new shape can have",
  },
  viewAs: {
    cases: [one(t([3, 4]), t([2, 6], { grad: false }))],
    strided: "takes only strides that the new shape can have",
  },
  reshape: {
    cases: [one(t([3, 4]), [2, 6]), one(t([2, 3, 4]), [-1, 4]), one(t([2, 0, 3]), [3, 0])],
    copies: "copies where strides demand it, as PyTorch",
  },
  reshapeAs: {
    cases: [one(t([3, 4]), t([2, 6], { grad: false }))],
    copies: "copies where strides demand it, as PyTorch",
  },
  ravel: { cases: [one(t([3, 4]))], copies: "copies where strides demand it, as PyTorch" },
  permute: { cases: [one(t([2, 3, 4]), [2, 0, 1]), one(t([2, 3]), [-1, 0]), one(t([]), [])] },
  transpose: { cases: [one(t([2, 3, 4]), 0, 2), one(t([2, 3, 4]), -1, -2)] },
  swapaxes: { cases: [one(t([2, 3, 4]), 0, 1)] },
  t: { cases: [one(t([2, 3])), one(t([4])), one(t([]))] },
  movedim: { cases: [one(t([2, 3, 4]), 0, -1), one(t([2, 3, 4]), [0, 1], [2, 0])] },
  expand: { cases: [one(t([3, 1]), [3, 4]), one(t([3, 1]), [2, -1, 4]), one(t([]), [2, 3])] },
  expandAs: { cases: [one(t([3, 1]), t([3, 4], { grad: false }))] },
  broadcastTo: { cases: [one(t([3, 1]), [2, 3, 4])] },
  squeeze: {
    cases: [
      one(t([2, 1, 3, 1])),
      one(t([2, 1, 3, 1]), 1),
      one(t([1, 2, 1]), [0, 2]),
      one(t([2]), 0),
    ],
  },
  unsqueeze: { cases: [one(t([2, 3]), 0), one(t([2, 3]), -1), one(t([]), 0)] },
  flatten: {
    cases: [one(t([2, 3, 4])), one(t([2, 3, 4]), 1), one(t([2, 3, 4]), 0, 1), one(t([]))],
    copies: "copies where strides demand it, as PyTorch",
  },
  unflatten: { cases: [one(t([2, 6]), 1, [2, 3]), one(t([6, 2]), 0, [-1, 2])] },
  narrow: { cases: [one(t([4, 5]), 1, 1, 3), one(t([4, 5]), 0, -2, 2), one(t([4, 5]), 0, 4, 0)] },
  select: { cases: [one(t([4, 5]), 0, 2), one(t([4, 5]), -1, -1), one(t([3]), 0, 0)] },
  diagonal: {
    cases: [
      one(t([3, 4])),
      one(t([3, 4]), 1),
      one(t([2, 3, 4]), -1, 0, { dim2: 2 }),
      one(t([2, 2]), 5),
    ],
  },
  diag: { cases: [one(t([3])), one(t([3]), -1), one(t([3, 4])), one(t([3, 4]), 2)] },
  diagEmbed: { cases: [one(t([3])), one(t([2, 3]), 1), one(t([2, 3]), 0, 0, { dim2: 2 })] },
  unfold: {
    cases: [one(t([7]), 0, 3, 2), one(t([2, 6]), 1, 2, 1), one(t([2, 6]), 1, 2, 3)],
    torch: "torch.Tensor.unfold",
  },
  asStrided: {
    cases: [
      one(t([3, 4]), [2, 3], [4, 1]),
      one(t([3, 4]), [3, 3], [1, 2], 1),
      one(t([4]), [2, 2], [0, 1]),
    ],
    strided: "its strides are those of the storage",
  },
  unbind: { cases: [one(t([3, 4])), one(t([3, 4]), 1)] },
  split: { cases: [one(t([5, 3]), 2), one(t([5, 3]), [1, 4]), one(t([3, 6]), 4, -1)] },
  chunk: { cases: [one(t([5, 3]), 2), one(t([3, 7]), 3, 1), one(t([2]), 5)] },
  tensorSplit: { cases: [one(t([7, 2]), 3), one(t([7, 2]), [1, 5, 9]), one(t([2, 5]), 2, 1)] },
  hsplit: { cases: [one(t([2, 4]), 2), one(t([6]), [1, 4])] },
  vsplit: { cases: [one(t([4, 2]), 2), one(t([4, 2]), [1])] },
  dsplit: { cases: [one(t([2, 2, 4]), 2)] },
};
