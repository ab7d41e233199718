/** From PyTorch's names to Toro's: the mechanical rule, and the aliases that PyTorch has and Toro leaves out. */

/** A Python name in camelCase: inner underscores go, the next letter is raised; leading and trailing ones stay. */
export function camel(name: string): string {
  return name.replace(/(?<=[A-Za-z0-9])_+([A-Za-z0-9])/g, (_, next: string) => next.toUpperCase());
}

/**
 * PyTorch's second names, and the special methods of Python, by what a script writes in Toro. They hold for in-place forms
 * too: `clip_` is `clamp_`. Nothing else is renamed but by the rule.
 */
export const ALIASES: Readonly<Record<string, string>> = {
  __getitem__: "at",
  __setitem__: "set",
  absolute: "abs",
  arccos: "acos",
  arccosh: "acosh",
  arcsin: "asin",
  arcsinh: "asinh",
  arctan: "atan",
  arctan2: "atan2",
  arctanh: "atanh",
  clip: "clamp",
  concat: "cat",
  concatenate: "cat",
  divide: "div",
  fix: "trunc",
  ger: "outer",
  greater: "gt",
  greater_equal: "ge",
  less: "lt",
  less_equal: "le",
  moveaxis: "movedim",
  multiply: "mul",
  ndimension: "dim",
  negative: "neg",
  not_equal: "ne",
  row_stack: "vstack",
  subtract: "sub",
  swapaxes: "transpose",
  swapdims: "transpose",
  true_divide: "div",
};

/** The last part of a PyTorch name as Toro writes it: `torch.index_put_` → `indexPut_`, `torch.clip_` → `clamp_`. */
export function toroName(name: string): string {
  const last = name.slice(name.lastIndexOf(".") + 1);
  const inplace = /[^_]_$/.test(last);
  const alias = ALIASES[last] ?? (inplace ? ALIASES[last.slice(0, -1)] : undefined);
  return alias === undefined ? camel(last) : alias + (inplace ? "_" : "");
}
