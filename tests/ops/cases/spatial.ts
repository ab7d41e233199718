/** Cases of convolutions, pools and other ops on the dims behind batch and channels. */
import { type Entry, t } from "../spec.ts";

const FLOATS = ["float32", "float64", "bfloat16", "float16"] as const;
const WIDE = ["float32", "float64"] as const;
const ALL = [...FLOATS, "int64"] as const;
const SUMMED = { bfloat16: [1.6e-2, 4e-2], float16: [1e-3, 4e-3] } as const;
const DENSE = "windows are read row by row, for which an operand of other strides is laid out anew";

const conv: Pick<Entry, "dtypes" | "copies" | "tolerance"> = {
  dtypes: ALL,
  copies: DENSE,
  tolerance: SUMMED,
};

const BYTES = { low: 0, high: 255 };

const SAMPLED: Pick<Entry, "dtypes" | "copies" | "grad2"> = {
  dtypes: WIDE,
  copies: DENSE,
  grad2: "PyTorch has none either",
};

export const spatialCases: Record<string, Entry> = {
  conv1d: {
    cases: [
      { args: [t([2, 3, 7]), t([4, 3, 3]), t([4])] },
      { args: [t([3, 7]), t([2, 3, 2]), { stride: 2, padding: 1 }] },
      { args: [t([1, 4, 9]), t([4, 2, 3]), null, 1, { groups: 2, dilation: 2, padding: "same" }] },
      { args: [t([2, 3, 20]), t([3, 1, 3]), { groups: 3, stride: 2, padding: 2 }] },
    ],
    ...conv,
    torch: "torch.nn.functional.conv1d",
  },
  conv2d: {
    cases: [
      { args: [t([2, 3, 5, 4]), t([4, 3, 3, 2]), t([4])] },
      { args: [t([3, 5, 4]), t([2, 3, 1, 1])] },
      { args: [t([2, 2, 6, 5]), t([3, 2, 3, 3]), t([3]), { stride: [2, 1], padding: [1, 0] }] },
      { args: [t([1, 2, 6, 6]), t([2, 2, 2, 2]), { padding: "same", dilation: [1, 2] }] },
      { args: [t([2, 4, 5, 5]), t([6, 2, 3, 3]), t([6]), { groups: 2, padding: 1 }] },
      { args: [t([2, 3, 5, 20]), t([3, 1, 3, 3]), t([3]), { groups: 3, padding: 1 }] },
      { args: [t([1, 2, 7, 7]), t([4, 1, 3, 3]), { groups: 2, padding: 1, stride: 2 }] },
      { args: [t([1, 20, 6, 6]), t([17, 20, 3, 3]), { padding: 2, stride: 3 }] },
    ],
    ...conv,
    torch: "torch.nn.functional.conv2d",
  },
  conv3d: {
    cases: [
      { args: [t([1, 2, 3, 4, 3]), t([2, 2, 2, 2, 2]), t([2])] },
      { args: [t([2, 3, 4, 3]), t([2, 1, 1, 2, 3]), { groups: 2, padding: 1, stride: [1, 2, 1] }] },
    ],
    ...conv,
    torch: "torch.nn.functional.conv3d",
  },
  convTranspose1d: {
    cases: [
      { args: [t([2, 3, 5]), t([3, 4, 3]), t([4])] },
      { args: [t([4, 5]), t([4, 1, 2]), { stride: 3, outputPadding: 1, groups: 2, dilation: 2 }] },
    ],
    ...conv,
    torch: "torch.nn.functional.conv_transpose1d",
  },
  convTranspose2d: {
    cases: [
      { args: [t([2, 3, 4, 3]), t([3, 2, 3, 3]), t([2])] },
      { args: [t([1, 2, 3, 3]), t([2, 3, 2, 2]), t([3]), { stride: 2, padding: 1 }] },
      {
        args: [t([1, 4, 3, 3]), t([4, 1, 3, 3]), t([4]), {
          groups: 4,
          stride: 2,
          outputPadding: 1,
        }],
      },
    ],
    ...conv,
    torch: "torch.nn.functional.conv_transpose2d",
  },
  convTranspose3d: {
    cases: [{ args: [t([1, 2, 2, 3, 2]), t([2, 2, 2, 2, 2]), t([2]), { stride: [1, 2, 1] }] }],
    ...conv,
    torch: "torch.nn.functional.conv_transpose3d",
  },
  maxPool1d: {
    cases: [
      { args: [t([2, 3, 7]), 3] },
      { args: [t([3, 7]), 2, { stride: 1, padding: 1, dilation: 2, ceilMode: true }] },
      { args: [t([2, 3, 7]), 2, 2, { returnIndices: true }] },
    ],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.max_pool1d",
  },
  maxPool2d: {
    cases: [
      { args: [t([2, 3, 6, 5]), 2] },
      { args: [t([3, 6, 5]), [3, 2], [2, 1], 1, { ceilMode: true }] },
      { args: [t([2, 2, 6, 5]), 2, { dilation: 2, stride: 1, returnIndices: true }] },
    ],
    dtypes: ALL,
    copies: DENSE,
    torch: "torch.nn.functional.max_pool2d",
  },
  maxPool3d: {
    cases: [{ args: [t([1, 2, 4, 4, 5]), 2] }, { args: [t([2, 4, 4, 5]), [1, 2, 3], 2, 0] }],
    dtypes: ALL,
    copies: DENSE,
    torch: "torch.nn.functional.max_pool3d",
  },
  adaptiveMaxPool1d: {
    cases: [{ args: [t([2, 3, 7]), 3] }, { args: [t([3, 7]), 9, { returnIndices: true }] }],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.adaptive_max_pool1d",
  },
  adaptiveMaxPool2d: {
    cases: [{ args: [t([2, 3, 7, 5]), [3, null]] }, { args: [t([2, 5, 4]), 2] }],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.adaptive_max_pool2d",
  },
  adaptiveMaxPool3d: {
    cases: [{ args: [t([1, 2, 4, 3, 5]), [2, 1, 3]] }],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.adaptive_max_pool3d",
  },
  fractionalMaxPool2d: {
    cases: [
      {
        args: [t([2, 2, 7, 6]), [2, 3], {
          outputSize: [4, 3],
          _randomSamples: t([2, 2, 2], { low: 0.05, high: 0.95, grad: false }),
        }],
      },
      {
        args: [t([2, 7, 6]), 2, {
          outputRatio: [0.5, 0.5],
          returnIndices: true,
          _randomSamples: t([1, 2, 2], { low: 0.05, high: 0.95, grad: false }),
        }],
      },
    ],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.fractional_max_pool2d",
  },
  fractionalMaxPool3d: {
    cases: [{
      args: [t([1, 2, 4, 5, 6]), 2, {
        outputSize: [2, 3, 3],
        _randomSamples: t([1, 2, 3], { low: 0.05, high: 0.95, grad: false }),
      }],
    }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.fractional_max_pool3d",
  },
  maxUnpool1d: {
    cases: [{ args: [t([1, 1, 3]), t([1, 1, 3], { dtype: "int64", values: [0, 3, 5] }), 2] }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.max_unpool1d",
  },
  maxUnpool2d: {
    cases: [
      { args: [t([1, 2, 2]), t([1, 2, 2], { dtype: "int64", values: [0, 6, 9, 15] }), 2] },
      {
        args: [t([1, 1, 2, 2]), t([1, 1, 2, 2], { dtype: "int64", values: [0, 6, 12, 24] }), 2, {
          outputSize: [5, 5],
        }],
      },
    ],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.max_unpool2d",
  },
  maxUnpool3d: {
    cases: [{
      args: [
        t([1, 1, 1, 2, 1]),
        t([1, 1, 1, 2, 1], { dtype: "int64", values: [3, 9] }),
        2,
      ],
    }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.max_unpool3d",
  },
  avgPool1d: {
    cases: [
      { args: [t([2, 3, 7]), 3] },
      { args: [t([3, 7]), 2, 1, 1, { countIncludePad: false, ceilMode: true }] },
    ],
    dtypes: ALL,
    copies: DENSE,
    torch: "torch.nn.functional.avg_pool1d",
  },
  avgPool2d: {
    cases: [
      { args: [t([2, 3, 6, 5]), 2] },
      { args: [t([3, 6, 5]), [3, 2], { stride: 2, padding: 1, ceilMode: true }] },
      { args: [t([1, 2, 5, 5]), 3, 2, { padding: 1, countIncludePad: false }] },
      { args: [t([1, 2, 5, 5]), 2, { divisorOverride: 3 }] },
    ],
    dtypes: ALL,
    copies: DENSE,
    torch: "torch.nn.functional.avg_pool2d",
  },
  avgPool3d: {
    cases: [{ args: [t([1, 2, 4, 4, 5]), 2] }, { args: [t([2, 4, 4, 5]), 2, { padding: 1 }] }],
    dtypes: ALL,
    copies: DENSE,
    torch: "torch.nn.functional.avg_pool3d",
  },
  adaptiveAvgPool1d: {
    cases: [{ args: [t([2, 3, 7]), 3] }, { args: [t([3, 7]), 9] }],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.adaptive_avg_pool1d",
  },
  adaptiveAvgPool2d: {
    cases: [{ args: [t([2, 3, 7, 5]), [3, null]] }, { args: [t([2, 5, 4]), 1] }],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.adaptive_avg_pool2d",
  },
  adaptiveAvgPool3d: {
    cases: [{ args: [t([1, 2, 4, 3, 5]), [2, 1, 3]] }],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.adaptive_avg_pool3d",
  },
  lpPool1d: {
    cases: [{ args: [t([2, 3, 7], { low: 0.2 }), 2, 3] }, {
      args: [t([3, 7], { low: 0.2 }), 3, 2, { stride: 1, ceilMode: true }],
    }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.lp_pool1d",
  },
  lpPool2d: {
    cases: [{ args: [t([1, 3, 6, 5], { low: 0.2 }), 2, [2, 3]] }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.lp_pool2d",
  },
  lpPool3d: {
    cases: [{ args: [t([1, 2, 4, 4, 4], { low: 0.2 }), 2, 2] }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.lp_pool3d",
  },
  interpolate: {
    cases: [
      { args: [t([2, 3, 5]), 8] },
      { args: [t([1, 2, 5, 4]), [3, 7], { mode: "nearest-exact" }] },
      { args: [t([2, 3, 5]), null, 1.7, { mode: "linear" }] },
      { args: [t([1, 2, 4, 5]), [7, 3], { mode: "bilinear" }] },
      { args: [t([1, 2, 4, 5]), [7, 3], { mode: "bilinear", alignCorners: true }] },
      { args: [t([1, 2, 6, 7]), [3, 4], { mode: "bilinear", antialias: true }] },
      { args: [t([1, 2, 4, 5]), [7, 3], { mode: "bicubic" }] },
      { args: [t([1, 2, 8, 7]), [3, 9], { mode: "bicubic", antialias: true }] },
      { args: [t([1, 1, 3, 2, 4]), null, [2, 1.5, 0.5], { mode: "trilinear" }] },
      { args: [t([1, 2, 5, 6]), [2, 4], { mode: "area" }] },
      {
        args: [t([1, 2, 5, 6]), { scaleFactor: 0.6, recomputeScaleFactor: true, mode: "bilinear" }],
      },
      {
        args: [t([1, 2, 8, 7], BYTES), [3, 9], { mode: "bilinear", antialias: true }],
        dtypes: ["uint8"],
      },
      { args: [t([1, 2, 4, 5], BYTES), [7, 3], { mode: "bicubic" }], dtypes: ["uint8"] },
      {
        args: [t([1, 1, 4, 5], BYTES), [7, 3], { mode: "bicubic", alignCorners: true }],
        dtypes: ["uint8"],
      },
    ],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.interpolate",
  },
  upsampleNearest: {
    cases: [{ args: [t([1, 2, 3, 2]), { scaleFactor: 2 }] }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.interpolate",
  },
  upsampleBilinear: {
    cases: [{ args: [t([1, 2, 3, 2]), [5, 4]] }],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.upsample_bilinear",
  },
  gridSampler: {
    cases: [{ args: [t([2, 3, 4, 5]), t([2, 3, 2, 2], { low: -1.3, high: 1.3 }), 0, 1, false] }],
    ...SAMPLED,
    torch: "torch.grid_sampler",
  },
  gridSampler2d: {
    cases: [{ args: [t([1, 2, 4, 5]), t([1, 3, 2, 2], { low: -1.3, high: 1.3 }), 2, 0, true] }],
    ...SAMPLED,
    torch: "torch.grid_sampler_2d",
  },
  gridSampler3d: {
    cases: [{
      args: [t([1, 2, 3, 4, 2]), t([1, 2, 2, 3, 3], { low: -1.3, high: 1.3 }), 0, 2, false],
    }],
    ...SAMPLED,
    torch: "torch.grid_sampler_3d",
  },
  gridSample: {
    cases: [
      { args: [t([2, 3, 4, 5]), t([2, 3, 2, 2], { low: -1.3, high: 1.3 })] },
      {
        args: [t([1, 2, 4, 5]), t([1, 3, 2, 2], { low: -1.3, high: 1.3 }), {
          mode: "bicubic",
          paddingMode: "reflection",
        }],
      },
      {
        args: [t([1, 2, 4, 5]), t([1, 3, 2, 2], { low: -2.3, high: 2.3 }), {
          paddingMode: "reflection",
          alignCorners: true,
        }],
      },
      {
        args: [t([1, 2, 4, 5]), t([1, 3, 2, 2], { low: -1.7, high: 1.7, grad: false }), {
          mode: "nearest",
          paddingMode: "border",
        }],
      },
      { args: [t([1, 2, 3, 4, 2]), t([1, 2, 2, 3, 3], { low: -1.3, high: 1.3 })] },
    ],
    ...SAMPLED,
    torch: "torch.nn.functional.grid_sample",
  },
  affineGrid: {
    cases: [
      { args: [t([2, 2, 3]), [2, 1, 3, 4]] },
      { args: [t([1, 3, 4]), [1, 1, 2, 3, 2], { alignCorners: true }] },
    ],
    dtypes: WIDE,
    torch: "torch.nn.functional.affine_grid",
  },
  im2col: {
    cases: [
      { args: [t([2, 3, 5, 4]), [2, 3]] },
      { args: [t([3, 5, 4]), 2, { dilation: 2, padding: 1, stride: [2, 1] }] },
    ],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.unfold",
  },
  col2im: {
    cases: [
      { args: [t([2, 12, 12]), [4, 5], 2] },
      { args: [t([8, 6]), [4, 3], 2, 1, 1, { stride: 2 }] },
    ],
    dtypes: FLOATS,
    copies: DENSE,
    torch: "torch.nn.functional.fold",
  },
  pixelShuffle: {
    cases: [{ args: [t([2, 8, 3, 2]), 2] }, { args: [t([9, 1, 2]), 3] }],
    dtypes: ALL,
    torch: "torch.nn.functional.pixel_shuffle",
  },
  pixelUnshuffle: {
    cases: [{ args: [t([2, 2, 4, 6]), 2] }, { args: [t([1, 3, 6]), 3] }],
    dtypes: ALL,
    torch: "torch.nn.functional.pixel_unshuffle",
  },
  channelShuffle: {
    cases: [{ args: [t([2, 6, 3, 2]), 3] }, { args: [t([1, 4, 2]), 2] }],
    dtypes: ALL,
    torch: "torch.channel_shuffle",
  },
  localResponseNorm: {
    cases: [
      { args: [t([2, 5, 4]), 3] },
      { args: [t([1, 5, 2, 3]), 2, 0.5, 0.6, { k: 2 }] },
    ],
    dtypes: WIDE,
    copies: DENSE,
    torch: "torch.nn.functional.local_response_norm",
  },
};
