/**
 * Sums of products written by letters. Operands are contracted from left to right, each step one matrix product.
 *
 * @module
 */
import { autocasting } from "../autocast.ts";
import { ArgumentError, ShapeError, show } from "../errors.ts";
import { shapeText } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import { matmul } from "./matmul.ts";
import { mul } from "./pointwise.ts";
import { sum } from "./reduction.ts";
import { permute, reshape, squeeze } from "./view.ts";
import { diagonal } from "./window.ts";

/** A tensor with a label for each dim: a letter, or `…` and a number for dims that an ellipsis stands for. */
interface Labelled {
  readonly t: Tensor;
  readonly labels: readonly string[];
}

function fail(equation: unknown, rule: string): never {
  throw new ArgumentError(`Cannot einsum ${show(equation)}: ${rule}`, { op: "einsum" });
}

/** The labels of a term for a tensor of so many dims; dims under an ellipsis are numbered from the right. */
function labelsOf(equation: string, term: string, ndim: number | null, hidden: number): string[] {
  const parts = term.split("...");
  if (parts.length > 2) fail(equation, `${show(term)} has more than one ellipsis`);
  for (const letter of parts.join("")) {
    if (!/[a-zA-Z]/.test(letter)) fail(equation, `${show(letter)} is no letter`);
  }
  const named = parts.join("").length;
  const under = parts.length === 1 ? 0 : ndim === null ? hidden : ndim - named;
  if (ndim !== null && named + under !== ndim || under < 0) {
    fail(equation, `${show(term)} does not fit an operand of ${ndim} dims`);
  }
  const dots = Array.from({ length: under }, (_, i) => `…${under - i}`);
  return parts.length === 1 ? [...parts[0]] : [...parts[0], ...dots, ...parts[1]];
}

/** Repeated labels of one operand become its diagonal. */
function withoutRepeats({ t, labels }: Labelled): Labelled {
  for (let i = 0; i < labels.length; i++) {
    const j = labels.indexOf(labels[i], i + 1);
    if (j < 0) continue;
    if (t.shape[i] !== t.shape[j]) {
      throw new ShapeError(
        `Cannot einsum ${shapeText(t.shape)}: label ${show(labels[i])} stands for sizes ${
          t.shape[i]
        } and ${t.shape[j]}`,
        { op: "einsum" },
      );
    }
    const rest = labels.filter((_, d) => d !== i && d !== j);
    return withoutRepeats({ t: diagonal(t, { dim1: i, dim2: j }), labels: [...rest, labels[i]] });
  }
  return { t, labels };
}

/** Sums over the dims whose labels nobody needs any more. */
function reduced({ t, labels }: Labelled, needed: (label: string) => boolean): Labelled {
  const gone = labels.flatMap((l, d) => needed(l) ? [] : [d]);
  if (gone.length === 0) return { t, labels };
  return { t: sum(t, gone), labels: labels.filter(needed) };
}

function inOrder(x: Labelled, order: readonly string[]): Tensor {
  return permute(x.t, order.map((l) => x.labels.indexOf(l)));
}

/** The product of two operands, summed over the labels that only they have. */
function contract(a: Labelled, b: Labelled, later: (label: string) => boolean): Labelled {
  const x = reduced(a, (l) => later(l) || b.labels.includes(l));
  const y = reduced(b, (l) => later(l) || a.labels.includes(l));
  const both = x.labels.filter((l) => y.labels.includes(l));
  const batch = both.filter(later), inner = both.filter((l) => !later(l));
  const left = x.labels.filter((l) => !both.includes(l));
  const right = y.labels.filter((l) => !both.includes(l));
  const sizes = new Map([
    ...x.labels.map((l, d) => [l, x.t.shape[d]] as const),
    ...y.labels.map((l, d) => [l, y.t.shape[d]] as const),
  ]);
  const size = (list: readonly string[]) => list.map((l) => sizes.get(l)!);
  const count = (list: readonly string[]) => size(list).reduce((n, s) => n * s, 1);
  const labels = [...batch, ...left, ...right];
  const ones = (list: readonly string[]) => list.map(() => 1);
  if (inner.length === 0) {
    const px = reshape(inOrder(x, [...batch, ...left]), [
      ...size([...batch, ...left]),
      ...ones(right),
    ]);
    const py = reshape(inOrder(y, [...batch, ...right]), [
      ...size(batch),
      ...ones(left),
      ...size(right),
    ]);
    return { t: mul(px, py), labels };
  }
  const lead = batch.length > 0 ? [count(batch)] : [];
  const px = reshape(inOrder(x, [...batch, ...left, ...inner]), [
    ...lead,
    count(left),
    count(inner),
  ]);
  const py = reshape(inOrder(y, [...batch, ...inner, ...right]), [
    ...lead,
    count(inner),
    count(right),
  ]);
  return { t: reshape(matmul(px, py), size(labels)), labels };
}

const contracted = autocasting("einsum", (equation: string, tensors: readonly Tensor[]): Tensor => {
  if (typeof equation !== "string") fail(equation, "the equation must be a string");
  const [inputs, target, more] = equation.replaceAll(/\s/g, "").split("->");
  if (more !== undefined) fail(equation, "it has more than one arrow");
  const terms = inputs.split(",");
  if (tensors.length === 0 || terms.length !== tensors.length) {
    fail(equation, `${terms.length} terms for ${tensors.length} operands`);
  }
  const operands = tensors.map((t, i): Labelled => {
    if (!(t instanceof Tensor)) fail(equation, `operand ${i} must be a tensor, got ${show(t)}`);
    return withoutRepeats({ t, labels: labelsOf(equation, terms[i], t.ndim, 0) });
  });
  const sizes = new Map<string, number>();
  for (const { t, labels } of operands) {
    labels.forEach((label, d) => {
      const known = sizes.get(label) ?? 1, n = t.shape[d];
      if (known !== 1 && n !== 1 && known !== n) {
        throw new ShapeError(
          `Cannot einsum ${show(equation)}: label ${
            show(label)
          } stands for sizes ${known} and ${n}`,
          { op: "einsum" },
        );
      }
      sizes.set(label, known === 1 ? n : known);
    });
  }
  const all = [...sizes.keys()];
  const dots = all.filter((l) => l[0] === "…").sort((a, b) =>
    Number(b.slice(1)) - Number(a.slice(1))
  );
  let output: string[];
  if (target === undefined) {
    const once = (l: string) => inputs.split(l).length === 2;
    output = [...dots, ...all.filter((l) => l[0] !== "…" && once(l)).sort()];
  } else {
    output = labelsOf(equation, target, null, dots.length);
    const strange = output.find((l) => !sizes.has(l));
    if (strange !== undefined) fail(equation, `the output's ${show(strange)} is in no operand`);
    if (new Set(output).size !== output.length) {
      fail(equation, "a letter appears twice in the output");
    }
  }
  // Dims of size 1 that stretch take no part.
  const slim = operands.map(({ t, labels }): Labelled => {
    const thin = labels.flatMap((l, d) => t.shape[d] === 1 && sizes.get(l) !== 1 ? [d] : []);
    return thin.length === 0
      ? { t, labels }
      : { t: squeeze(t, thin), labels: labels.filter((_, d) => !thin.includes(d)) };
  });
  let result = slim[0];
  for (let i = 1; i < slim.length; i++) {
    const later = (l: string) =>
      output.includes(l) || slim.slice(i + 1).some((o) => o.labels.includes(l));
    result = contract(result, slim[i], later);
  }
  const final = reduced(result, (l) => output.includes(l));
  return inOrder(final, output);
});

/**
 * Sums of products by Einstein's convention: letters name dims, those that the output lacks are summed over, repeated
 * ones of an operand give its diagonal, `...` stands for dims that broadcast. Without `->` the output has the letters
 * that appear once, in alphabetical order. Types: as matmul.
 *
 * ```ts
 * import { einsum, ones } from "@toro/toro";
 * const y = einsum("bij,bjk->bik", ones([2, 3, 4]), ones([2, 4, 5])); // [2, 3, 5]
 * ```
 */
export function einsum(equation: string, ...given: (Tensor | readonly Tensor[])[]): Tensor {
  return contracted(equation, given.flat() as Tensor[]);
}
