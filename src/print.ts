/**
 * Tensors as text, as PyTorch prints them: four digits, columns aligned, the middle of large ones left out.
 *
 * @module
 */
import { inMode } from "./autograd.ts";
import { getDefaultDtype } from "./dtype.ts";
import { indexSelect } from "./ops/index_ops.ts";
import { fromElements, type Tensor } from "./tensor.ts";

const DIGITS = 4;
/** Tensors with more elements than this are summarised by so many at each end of a dim. */
const THRESHOLD = 1000;
const EDGE = 3;
const LINE_WIDTH = 80;

/** A decimal text of more digits than wanted, cut to the wanted ones; an exact tie goes to the even digit, as in C. */
function evenTie(exact: string, rounded: string): string {
  const [head, tail] = [exact.slice(0, rounded.length), exact.slice(rounded.length)];
  return /^50*$/.test(tail) && /[02468]$/.test(head) ? head : rounded;
}

/** `x` with so many decimals. */
function fixed(x: number): string {
  const sign = x < 0 || Object.is(x, -0) ? "-" : "", size = Math.abs(x);
  return sign + evenTie(size.toFixed(40), size.toFixed(DIGITS));
}

/** `x` as `1.2500e-05`, the exponent of two digits at least. */
function scientific(x: number): string {
  const sign = x < 0 || Object.is(x, -0) ? "-" : "", size = Math.abs(x);
  const [mantissa, exponent] = size.toExponential(DIGITS).split("e");
  const digits = evenTie(size.toExponential(40).split("e")[0], mantissa);
  return `${sign}${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

function special(x: number): string | null {
  if (Number.isNaN(x)) return "nan";
  return Number.isFinite(x) ? null : x > 0 ? "inf" : "-inf";
}

/** How the elements of one tensor are written: all in one form and width. */
class Format {
  readonly width: number;
  readonly #write: (x: number | bigint) => string;

  constructor(values: readonly (number | bigint)[], isFloat: boolean, isBool: boolean) {
    if (!isFloat) {
      this.#write = isBool ? (x) => x ? "true" : "false" : String;
      this.width = values.reduce<number>((w, x) => Math.max(w, this.#write(x).length), 1);
      return;
    }
    const seen = values.map(Number).filter((x) => Number.isFinite(x) && x !== 0);
    let least = Infinity, most = 0;
    for (const x of seen) {
      least = Math.min(least, Math.abs(x));
      most = Math.max(most, Math.abs(x));
    }
    const whole = seen.every(Number.isInteger);
    const asPower = seen.length > 0 && (most / least > 1000 || most > 1e8 || least < 1e-4);
    const plain = asPower
      ? scientific
      : whole
      ? (x: number) => `${Object.is(x, -0) ? "-0" : x}.`
      : fixed;
    this.#write = (x) => special(Number(x)) ?? plain(Number(x));
    this.width = seen.reduce((w, x) => Math.max(w, plain(x).length), 1);
  }

  write(x: number | bigint): string {
    return this.#write(x).padStart(this.width);
  }
}

/** The first and last elements of each long dim; the longest dims first, so that little is copied. */
function edges(x: Tensor): Tensor {
  const order = x.shape.map((_, d) => d).sort((a, b) => x.shape[b] - x.shape[a]);
  return order.reduce((t, d) => {
    const n = t.shape[d];
    if (n <= 2 * EDGE) return t;
    const kept = Array.from(
      { length: 2 * EDGE },
      (_, i) => BigInt(i < EDGE ? i : n - 2 * EDGE + i),
    );
    return indexSelect(
      t,
      d,
      fromElements(BigInt64Array.from(kept), "int64", [2 * EDGE], t.storage.device),
    );
  }, x);
}

/** The elements in brackets. */
function body(x: Tensor, indent: number): string {
  if (x.numel === 0) return "[]";
  const summarise = x.numel > THRESHOLD;
  const part = summarise ? inMode(false, () => edges(x)) : x;
  const values = Array.from<number | bigint>(part.toTypedArray() as ArrayLike<number | bigint>);
  const format = new Format(values, x.info.isFloat, x.dtype === "bool");
  let at = 0;
  const isCut = (d: number) => summarise && x.shape[d] > 2 * EDGE;
  const level = (d: number, indent: number): string => {
    if (d === x.ndim) return format.write(values[at++]);
    const parts: string[] = [];
    for (let i = 0; i < part.shape[d]; i++) {
      if (isCut(d) && i === EDGE) parts.push(d === x.ndim - 1 ? " ..." : "...");
      parts.push(level(d + 1, indent + 1));
    }
    if (d < x.ndim - 1) {
      return `[${parts.join("," + "\n".repeat(x.ndim - 1 - d) + " ".repeat(indent + 1))}]`;
    }
    const perLine = Math.max(1, Math.floor((LINE_WIDTH - indent) / (format.width + 2)));
    const lines: string[] = [];
    for (let i = 0; i < parts.length; i += perLine) {
      lines.push(parts.slice(i, i + perLine).join(", "));
    }
    return `[${lines.join(",\n" + " ".repeat(indent + 1))}]`;
  };
  return level(0, indent);
}

/** What stands behind the elements: only what does not go without saying. */
function suffixes(x: Tensor): string[] {
  const out: string[] = [];
  if (x.device !== "cpu") out.push(`device="${x.device}"`);
  if (x.numel === 0 && x.ndim !== 1) out.push(`size=[${x.shape.join(", ")}]`);
  const implied = x.dtype === getDefaultDtype() ||
    (x.numel > 0 && (x.dtype === "int64" || x.dtype === "bool"));
  if (!implied) out.push(`dtype=${x.dtype}`);
  const node = x.meta?.node ?? null;
  if (node !== null) out.push(`gradFn=<${node.op}>`);
  else if (x.meta?.requiresGrad) out.push("requiresGrad=true");
  return out;
}

/**
 * A tensor as text: `tensor([[1.0000, 2.5000], [3.0000, 4.0000]], requiresGrad=true)`. Over 1000 elements only the
 * first and last three of each dim are shown. The dtype stands there unless the values tell it.
 */
export function format(x: Tensor): string {
  if (x.isDisposed) return `tensor(<disposed>, shape=[${x.shape.join(", ")}], dtype=${x.dtype})`;
  const prefix = "tensor(";
  let text = prefix + body(x, prefix.length);
  let line = text.length - text.lastIndexOf("\n");
  for (const suffix of suffixes(x)) {
    const wraps = line + suffix.length + 2 > LINE_WIDTH;
    text += wraps ? `,\n${" ".repeat(prefix.length)}${suffix}` : `, ${suffix}`;
    line = wraps ? prefix.length + suffix.length : line + suffix.length + 2;
  }
  const named = x.constructor.name === "Parameter" ? "Parameter containing:\n" : "";
  return `${named}${text})`;
}
