/** Cases of normalisations. */
import { type Entry, t } from "../spec.ts";

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const WIDE = ["float32", "float64"] as const;
const running = (c: number) => [
  t([c], { grad: false }),
  t([c], { low: 0.5, high: 2, grad: false }),
];

export const normalizationCases: Record<string, Entry> = {
  batchNorm: {
    cases: [
      { args: [t([6, 4]), null, null, t([4]), t([4]), { training: true }] },
      { args: [t([6, 4]), null, null, { training: true }] },
      { args: [t([3, 4, 5]), null, null, t([4]), t([4]), { training: true }] },
      { args: [t([40, 33]), null, null, t([33]), t([33]), { training: true, eps: 1e-3 }] },
      { args: [t([6, 4]), ...running(4), t([4]), t([4])] },
      { args: [t([2, 4, 3, 2]), ...running(4)] },
    ],
    dtypes: WIDE,
    torch: "torch.nn.functional.batch_norm",
  },
  layerNorm: {
    cases: [
      { args: [t([3, 8]), [8]] },
      { args: [t([3, 8]), [8], t([8]), t([8])] },
      { args: [t([2, 3, 4]), [3, 4], t([3, 4]), t([3, 4])] },
      { args: [t([2, 3, 40]), [40], t([40])] },
    ],
    dtypes: FLOATS,
    torch: "torch.nn.functional.layer_norm",
  },
  rmsNorm: {
    cases: [
      { args: [t([3, 8]), [8]] },
      { args: [t([3, 8]), [8], t([8])] },
      { args: [t([2, 3, 40]), [40], t([40]), 1e-5] },
    ],
    dtypes: WIDE,
    torch: "torch.nn.functional.rms_norm",
  },
  groupNorm: {
    cases: [{ args: [t([2, 6, 5]), 3] }, { args: [t([2, 6, 5]), 2, t([6]), t([6])] }],
    dtypes: WIDE,
    torch: "torch.nn.functional.group_norm",
  },
  instanceNorm: {
    cases: [{ args: [t([2, 3, 5])] }, { args: [t([2, 3, 5]), { weight: t([3]), bias: t([3]) }] }],
    dtypes: WIDE,
    torch: "torch.nn.functional.instance_norm",
  },
  normalize: {
    cases: [{ args: [t([3, 4])] }, { args: [t([3, 4]), 1, 0] }, {
      args: [t([2, 3, 4]), { dim: -1, eps: 1e-6 }],
    }],
    dtypes: FLOATS,
    torch: "torch.nn.functional.normalize",
  },
};
