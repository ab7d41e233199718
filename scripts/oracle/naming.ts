/** From PyTorch's names to Toro's: the mechanical rule, and the aliases that PyTorch has and Toro leaves out. */

/** A Python name in camelCase: inner underscores go, the next letter is raised; leading and trailing ones stay. */
export function camel(name: string): string {
  return name.replace(/(?<=[A-Za-z0-9])_+([A-Za-z0-9])/g, (_, next: string) => next.toUpperCase());
}

/** PyTorch's second names by the first ones. */
const ALIASES: Readonly<Record<string, string>> = {
  absolute: "abs",
  absolute_: "abs_",
  arccos: "acos",
  arccosh: "acosh",
  arcsin: "asin",
  arcsinh: "asinh",
  arctan: "atan",
  arctan2: "atan2",
  arctanh: "atanh",
  clip: "clamp",
  clip_: "clamp_",
  concat: "cat",
  concatenate: "cat",
  divide: "div",
  divide_: "div_",
  fix: "trunc",
  fix_: "trunc_",
  ger: "outer",
  greater: "gt",
  greater_equal: "ge",
  less: "lt",
  less_equal: "le",
  moveaxis: "movedim",
  multiply: "mul",
  multiply_: "mul_",
  negative: "neg",
  negative_: "neg_",
  not_equal: "ne",
  row_stack: "vstack",
  subtract: "sub",
  subtract_: "sub_",
  swapaxes: "transpose",
  swapdims: "transpose",
  true_divide: "div",
  true_divide_: "div_",
};

/** Special methods of Python and what a script writes for them in Toro. */
const SPECIAL: Readonly<Record<string, string>> = { __getitem__: "at", __setitem__: "set" };

/** The last part of a PyTorch name as Toro writes it: `torch.index_put_` → `indexPut_`, `torch.clip` → `clamp`. */
export function toroName(name: string): string {
  const last = name.slice(name.lastIndexOf(".") + 1);
  return SPECIAL[last] ?? camel(ALIASES[last] ?? last);
}
