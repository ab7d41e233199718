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
export {
  add,
  type Binary,
  type BinaryInplace,
  div,
  eq,
  exp,
  mul,
  type Operand,
  sub,
  type Unary,
} from "./pointwise.ts";
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
