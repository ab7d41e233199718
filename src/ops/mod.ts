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
  clone,
  contiguous,
  expand,
  permute,
  reshape,
  type Sized,
  transpose,
  view,
} from "./view.ts";
