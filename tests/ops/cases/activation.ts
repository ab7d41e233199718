/** Cases of activations. */
import { type Entry, t } from "../spec.ts";

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const F = "torch.nn.functional.";

/** An activation with its options, over both sides of 0 and far out. */
function activation(torch: string, ...options: unknown[]): Entry {
  return {
    cases: [
      { args: [t([4, 5])] },
      { args: [t([3, 7], { low: -8, high: 8 })] },
      ...options.map((o) => ({ args: [t([4, 5], { low: -4, high: 4 }), o] })),
    ],
    dtypes: [...FLOATS],
    torch,
  };
}

export const activationCases: Record<string, Entry> = {
  relu: {
    cases: [{ args: [t([4, 5])] }, { args: [t([])] }],
    torch: "torch.relu",
  },
  sigmoid: { cases: [{ args: [t([4, 5])] }, { args: [t([3, 7], { low: -8, high: 8 })] }] },
  relu_: { cases: [{ args: [t([4, 5])] }] },
  sigmoid_: { cases: [{ args: [t([4, 5])] }], dtypes: [...FLOATS] },
  leakyRelu_: activation(`${F}leaky_relu_`, { negativeSlope: 0.2 }),
  elu_: activation(`${F}elu_`, { alpha: 1.5 }),
  celu_: activation(`${F}celu_`, { alpha: 1.5 }),
  selu_: activation(`${F}selu_`),
  hardtanh_: activation(`${F}hardtanh_`, { minVal: -0.5, maxVal: 2 }),
  threshold_: {
    cases: [{ args: [t([4, 5]), 0.1, 20] }],
    dtypes: [...FLOATS],
    torch: `${F}threshold_`,
  },
  relu6: activation(`${F}relu6`),
  leakyRelu: activation(`${F}leaky_relu`, { negativeSlope: 0.2 }),
  elu: activation(`${F}elu`, { alpha: 1.5 }),
  selu: activation(`${F}selu`),
  celu: activation(`${F}celu`, { alpha: 1.5 }),
  gelu: activation(`${F}gelu`, { approximate: "tanh" }),
  silu: activation(`${F}silu`),
  mish: activation(`${F}mish`),
  softplus: activation(`${F}softplus`, { beta: 2, threshold: 3 }),
  softsign: activation(`${F}softsign`),
  hardtanh: activation(`${F}hardtanh`, { minVal: -0.5, maxVal: 2 }),
  hardsigmoid: activation(`${F}hardsigmoid`),
  hardswish: activation(`${F}hardswish`),
  logsigmoid: activation(`${F}logsigmoid`),
  tanhshrink: activation(`${F}tanhshrink`),
  hardshrink: activation(`${F}hardshrink`, { lambd: 1 }),
  softshrink: activation(`${F}softshrink`, { lambd: 1 }),
  threshold: {
    cases: [{ args: [t([4, 5]), 0.1, 20] }],
    dtypes: [...FLOATS],
    torch: `${F}threshold`,
  },
  prelu: {
    cases: [
      { args: [t([2, 3, 4]), t([3])] },
      { args: [t([2, 3]), t([1])] },
      { args: [t([5]), t([1])] },
    ],
    dtypes: [...FLOATS],
    torch: `${F}prelu`,
  },
  glu: {
    cases: [{ args: [t([4, 6])] }, { args: [t([4, 3, 2]), 0] }],
    dtypes: [...FLOATS],
    torch: `${F}glu`,
  },
};
