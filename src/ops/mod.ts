/**
 * The public ops and their types, and nothing else: the table of cases, the oracle runner and the list of ops are made
 * from what is exported here.
 *
 * @module
 */
export {
  type Create,
  type CreationOptions,
  empty,
  type MakeTensor,
  type NestedValues,
  ones,
  tensor,
  zeros,
} from "./creation.ts";
export { add, div, mul, sub } from "./pointwise.ts";
export { eq } from "./logic.ts";
export { exp } from "./math.ts";
export { type Binary, type BinaryInplace, type Operand, type Unary } from "./map.ts";
export {
  broadcastTo,
  clone,
  contiguous,
  type DimsArgument,
  expand,
  expandAs,
  flatten,
  type FlattenOptions,
  type Like,
  movedim,
  permute,
  ravel,
  reshape,
  reshapeAs,
  type Sized,
  squeeze,
  swapaxes,
  t,
  transpose,
  type TwoDims,
  unflatten,
  unsqueeze,
  view,
  viewAs,
} from "./view.ts";
export {
  asStrided,
  type AsStridedOptions,
  chunk,
  diagonal,
  type DiagonalOptions,
  type DimArgument,
  dsplit,
  hsplit,
  narrow,
  select,
  type Split,
  split,
  tensorSplit,
  unbind,
  unfold,
  vsplit,
} from "./window.ts";
export {
  blockDiag,
  cat,
  dstack,
  hstack,
  type Join,
  type JoinAll,
  pad,
  type PadMode,
  type PadOptions,
  stack,
  vstack,
} from "./joining.ts";
export {
  type Dims,
  mean,
  type ReduceOptions,
  type Reduction,
  sum,
  type TypedReduceOptions,
  type TypedReduction,
} from "./reduction.ts";
export { type Embed, embedding, type EmbeddingOptions } from "./embedding.ts";
export {
  type IndexAdd,
  indexAdd,
  indexAdd_,
  indexCopy,
  indexCopy_,
  type IndexFill,
  indexFill,
  indexFill_,
  type IndexPut,
  indexPut,
  indexPut_,
  type IndexSelect,
  indexSelect,
  type IndexWrite,
} from "./indexing.ts";
export {
  type Gather,
  gather,
  type Scatter,
  scatter,
  scatter_,
  type ScatterAdd,
  scatterAdd,
  scatterAdd_,
  type ScatterMode,
  type ScatterOptions,
  type ScatterReduce,
  scatterReduce,
  scatterReduce_,
  take,
  takeAlongDim,
} from "./scattering.ts";
export {
  argwhere,
  bincount,
  type BincountOptions,
  histc,
  type HistcOptions,
  type MaskedScatter,
  maskedScatter,
  maskedScatter_,
  maskedSelect,
  type Nonzero,
  nonzero,
  repeatInterleave,
  type RepeatOptions,
} from "./masking.ts";
export {
  addmm,
  type AddProduct,
  type AddProductOptions,
  baddbmm,
  bmm,
  dot,
  type Linear,
  linear,
  matmul,
  mm,
  mv,
  outer,
  type Product,
} from "./matmul.ts";
export {
  logSoftmax,
  type Softmax,
  softmax,
  type SoftmaxOptions,
} from "./softmax.ts";
