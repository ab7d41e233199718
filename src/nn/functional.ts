/**
 * The functions behind the layers, as `torch.nn.functional` has them; each is the very op that is also at top level or a
 * method, where PyTorch has it there.
 *
 * @module
 */
export {
  celu,
  celu_,
  elu,
  elu_,
  gelu,
  glu,
  hardshrink,
  hardsigmoid,
  hardswish,
  hardtanh,
  hardtanh_,
  leakyRelu,
  leakyRelu_,
  logsigmoid,
  mish,
  prelu,
  relu,
  relu6,
  relu_,
  selu,
  selu_,
  sigmoid,
  silu,
  softplus,
  softshrink,
  softsign,
  tanhshrink,
  threshold,
  threshold_,
} from "../ops/activation.ts";
export { tanh } from "../ops/math.ts";
export { logSoftmax, softmax, softmin } from "../ops/softmax.ts";
export {
  alphaDropout,
  dropout,
  dropout1d,
  dropout2d,
  dropout3d,
  featureAlphaDropout,
  gumbelSoftmax,
  rrelu,
} from "../ops/dropout.ts";
export { bilinear, linear } from "../ops/matmul.ts";
export { scaledDotProductAttention } from "../ops/attention.ts";
export { multiHeadAttentionForward } from "../ops/multihead.ts";
export { embeddingBag } from "../ops/embedding_bag.ts";
export { embedding } from "../ops/embedding.ts";
export { oneHot } from "../ops/pattern.ts";
export { pdist } from "../ops/differences.ts";
export { pad } from "../ops/joining.ts";
export {
  batchNorm,
  groupNorm,
  instanceNorm,
  layerNorm,
  normalize,
  rmsNorm,
} from "../ops/normalization.ts";
export {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  huberLoss,
  klDiv,
  l1Loss,
  mseLoss,
  smoothL1Loss,
} from "../ops/loss.ts";
export { crossEntropy, linearCrossEntropy, nllLoss } from "../ops/cross_entropy.ts";
export {
  cosineEmbeddingLoss,
  cosineSimilarity,
  gaussianNllLoss,
  hingeEmbeddingLoss,
  marginRankingLoss,
  pairwiseDistance,
  poissonNllLoss,
  softMarginLoss,
  tripletMarginLoss,
  tripletMarginWithDistanceLoss,
} from "../ops/margin_loss.ts";
export {
  multilabelMarginLoss,
  multilabelSoftMarginLoss,
  multiMarginLoss,
} from "../ops/class_margin.ts";
export {
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from "../ops/convolution.ts";
export {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  avgPool1d,
  avgPool2d,
  avgPool3d,
  lpPool1d,
  lpPool2d,
  lpPool3d,
  maxPool1d,
  maxPool2d,
  maxPool3d,
  maxUnpool1d,
  maxUnpool2d,
  maxUnpool3d,
} from "../ops/pooling.ts";
export { interpolate, upsampleBilinear, upsampleNearest } from "../ops/resampling.ts";
export { fractionalMaxPool2d, fractionalMaxPool3d } from "../ops/fractional_pooling.ts";
export { affineGrid, gridSample } from "../ops/grid_sampling.ts";
export {
  channelShuffle,
  col2im as fold,
  im2col as unfold,
  pixelShuffle,
  pixelUnshuffle,
} from "../ops/blocks.ts";
export { localResponseNorm } from "../ops/local_response.ts";
